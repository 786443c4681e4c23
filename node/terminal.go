package node

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// Terminal is the person's end of an interactive shell.
type Terminal struct {
	// In is read from and, where it is a terminal, put into raw mode while
	// the shell lasts. Where it is not one (a pipe), the shell gets no
	// terminal either, as with ssh.
	In *os.File
	// Out gets the shell's output; where it is a terminal, its size is the
	// shell's.
	Out *os.File
	// Err gets the shell's stderr where there is no terminal.
	Err io.Writer
	// Type is the terminal's type, the TERM of the caller's environment;
	// "xterm-256color" when empty.
	Type string
	// Command runs in the terminal in place of the login shell (a full-screen
	// program, `docker exec -it`). Empty means the shell.
	Command string
}

// Interactive runs the user's login shell on the node until it ends, follows
// the size of the terminal, restores the terminal whatever happens, and
// returns the exit status of the shell as Result.Exit describes it.
func (c *Conn) Interactive(ctx context.Context, t Terminal) (int, error) {
	fd := int(t.In.Fd())
	if !term.IsTerminal(fd) {
		return c.exec(ctx, starting(t.Command), t.In, t.Out, t.Err)
	}
	width, height, err := term.GetSize(int(t.Out.Fd()))
	if err != nil {
		width, height = 80, 24
	}
	before, err := term.MakeRaw(fd)
	if err != nil {
		return 0, fmt.Errorf("take the terminal: %w", err)
	}
	defer func() { _ = term.Restore(fd, before) }()
	return c.InPty(ctx, Pty{In: t.In, Out: t.Out, Type: t.Type, Command: t.Command, Columns: width, Rows: height, Sizes: func(ctx context.Context, set func(int, int)) {
		watchSize(ctx, func() {
			if w, h, err := term.GetSize(int(t.Out.Fd())); err == nil && (w != width || h != height) {
				width, height = w, h
				set(w, h)
			}
		})
	}})
}

// Pty is a terminal whose other end is anywhere: here, or in a page.
type Pty struct {
	In            io.Reader
	Out           io.Writer
	Type, Command string // as in Terminal
	Columns, Rows int
	// Sizes calls set with each other size that the terminal gets, until ctx ends.
	Sizes func(ctx context.Context, set func(columns, rows int))
}

// InPty is Interactive for a terminal that is no file, or is in raw mode already.
func (c *Conn) InPty(ctx context.Context, t Pty) (int, error) {
	started := make(chan *ssh.Session, 1)
	following, stop := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		select {
		case s := <-started:
			t.Sizes(following, func(columns, rows int) { _ = s.WindowChange(rows, columns) })
		case <-following.Done():
		}
	}()
	defer func() { stop(); <-followed }()

	exit, err := c.exec(ctx, func(s *ssh.Session) error {
		// RFC 4254 section 8: the echo is the node's business, ours is raw.
		modes := ssh.TerminalModes{ssh.ECHO: 1, ssh.TTY_OP_ISPEED: 38400, ssh.TTY_OP_OSPEED: 38400}
		if err := s.RequestPty(cmp.Or(t.Type, "xterm-256color"), t.Rows, t.Columns, modes); err != nil {
			return fmt.Errorf("sshd gives no terminal: %w", err)
		}
		if err := starting(t.Command)(s); err != nil {
			return err
		}
		started <- s
		return nil
	}, t.In, t.Out, nil)
	if err != nil {
		return 0, fmt.Errorf("%s: shell: %w", c.Name(), err)
	}
	return exit, nil
}

// starting gives what starts a command, or the login shell.
func starting(command string) func(*ssh.Session) error {
	return func(s *ssh.Session) error {
		if command != "" {
			return s.Start(command)
		}
		return s.Shell()
	}
}

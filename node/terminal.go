package node

import (
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
	start := func(s *ssh.Session) error {
		if t.Command != "" {
			return s.Start(t.Command)
		}
		return s.Shell()
	}
	fd := int(t.In.Fd())
	if !term.IsTerminal(fd) {
		return c.exec(ctx, start, t.In, t.Out, t.Err)
	}

	if t.Type == "" {
		t.Type = "xterm-256color"
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

	started := make(chan *ssh.Session, 1)
	following, stop := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		select {
		case s := <-started:
			watchSize(following, func() {
				if w, h, err := term.GetSize(int(t.Out.Fd())); err == nil && (w != width || h != height) {
					width, height = w, h
					_ = s.WindowChange(h, w)
				}
			})
		case <-following.Done():
		}
	}()
	defer func() { stop(); <-followed }()

	h, w := height, width
	exit, err := c.exec(ctx, func(s *ssh.Session) error {
		// RFC 4254 section 8: the echo is the node's business, ours is raw.
		modes := ssh.TerminalModes{ssh.ECHO: 1, ssh.TTY_OP_ISPEED: 38400, ssh.TTY_OP_OSPEED: 38400}
		if err := s.RequestPty(t.Type, h, w, modes); err != nil {
			return fmt.Errorf("sshd gives no terminal: %w", err)
		}
		if err := start(s); err != nil {
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

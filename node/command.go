package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"
)

// connect opens the way to a node's sshd.
func (e Endpoint) connect(ctx context.Context, d net.Dialer) (net.Conn, error) {
	if e.Network != "command" {
		return d.DialContext(ctx, e.Network, e.Address)
	}
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	return startCommand(ctx, e.Command)
}

// commandConn is a connection over the standard input and output of a program.
// Its own end is a pipe in memory, which has deadlines.
type commandConn struct {
	net.Conn
	cmd  *exec.Cmd
	done chan struct{} // closed once the program has ended
}

// complaint holds the end of what a program wrote to standard error.
type complaint struct{ bytes.Buffer }

func (c *complaint) Write(p []byte) (int, error) {
	if c.Len() < 1<<10 {
		c.Buffer.Write(p[:min(len(p), 1<<10)])
	}
	return len(p), nil
}

// startCommand starts the program. Where it ends before it has said anything,
// reading gives what it wrote to standard error.
func startCommand(ctx context.Context, argv []string) (net.Conn, error) {
	if len(argv) == 0 {
		return nil, errors.New("no program leads to the node")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it lives as long as the connection
	Separate(cmd)
	ours, theirs := net.Pipe()
	var said complaint
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &commandConn{Conn: ours, cmd: cmd, done: make(chan struct{})}
	go func() {
		_, _ = io.Copy(in, theirs)
		_ = in.Close()
	}()
	first := make(chan error, 1)
	go func() {
		defer close(c.done)
		begin := make([]byte, 4096)
		n, err := io.ReadAtLeast(out, begin, 1)
		if err != nil {
			_ = cmd.Wait()
			first <- fmt.Errorf("%s ended: %s", argv[0], strings.TrimSpace(said.String()))
			_ = theirs.Close()
			return
		}
		first <- nil
		if _, err := theirs.Write(begin[:n]); err == nil {
			_, _ = io.Copy(theirs, out)
		}
		_ = theirs.Close()
		_ = cmd.Wait()
	}()
	// sshd speaks first.
	select {
	case err := <-first:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		_ = c.Close()
		return nil, ctx.Err()
	}
	return c, nil
}

// Close ends the program: its standard input first, and where it does not end
// by that, at once.
func (c *commandConn) Close() error {
	err := c.Conn.Close()
	go func() {
		late := time.NewTimer(time.Second)
		defer late.Stop()
		select {
		case <-c.done:
		case <-late.C:
			_ = c.cmd.Process.Kill()
		}
	}()
	return err
}

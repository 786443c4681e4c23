package node

import (
	"context"
	"io"
	"net"
)

// connect opens the way to a node's sshd.
func (e Endpoint) connect(ctx context.Context, d net.Dialer) (net.Conn, error) {
	if e.Dial == nil {
		return d.DialContext(ctx, e.Network, e.Address)
	}
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	return e.Dial(ctx)
}

// Join makes a connection of what is read from in and written to out. It has
// deadlines: its own end is a pipe in memory. Closing it closes out; ended is
// called, if not nil, once in has ended too.
func Join(in io.Reader, out io.WriteCloser, ended func()) net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		_, _ = io.Copy(out, theirs)
		_ = out.Close()
	}()
	go func() {
		_, _ = io.Copy(theirs, in)
		_ = theirs.Close()
		if ended != nil {
			ended()
		}
	}()
	return ours
}

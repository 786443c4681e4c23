package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// Proxy connects in and out to the unix socket: what the hidden command
// `dcalab ssh-proxy SOCKET` does as ssh's ProxyCommand. The end of in is
// passed on as the end of what is written to the socket. It returns when the
// socket's side has ended, or ctx; a Read of in may still be under way then.
func Proxy(ctx context.Context, socket string, in io.Reader, out io.Writer) error {
	// A unix socket connects at once or not at all: there is no ctx to honour.
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: socket})
	if err != nil {
		return fmt.Errorf("the node does not answer: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	go func() {
		_, _ = io.Copy(conn, in)
		_ = conn.CloseWrite()
	}()
	if _, err := io.Copy(out, conn); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return context.Cause(ctx)
}

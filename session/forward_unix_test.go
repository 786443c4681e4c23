//go:build unix

package session_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
)

// Connections that come at once share one SSH connection, each gets its own
// answer, and they end with the context.
func TestForwardedConnections(t *testing.T) {
	s, sshd, _ := withM1(t, "")
	pool := s.NewPool()
	defer pool.Close()
	service := listen(t)
	go func() {
		for {
			c, err := service.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				text, _ := io.ReadAll(c) // up to the half-close
				fmt.Fprintf(c, "you said %s", text)
			}()
		}
	}()
	f := session.Forward{Listener: listen(t), Port: port(t, service), Nodes: []lab.Node{
		{Name: "w1", IP: netip.MustParseAddr("127.0.0.1")}, // halted: the next one takes it
		{Name: "m1", IP: netip.MustParseAddr("127.0.0.1")},
	}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.Serve(ctx, pool, func(err error) { t.Error(err) }) }()
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			if got, err := say(f.Listener.Addr().String(), fmt.Sprint(i)); err != nil || got != fmt.Sprintf("you said %d", i) {
				t.Errorf("client %d: %q, %v", i, got, err)
			}
		})
	}
	clients.Wait()
	if n := sshd.Connections(); n != 1 {
		t.Errorf("%d SSH connections, want 1", n)
	}

	open, err := net.Dial("tcp", f.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := open.Read(make([]byte, 1)); err == nil {
		t.Error("it is open after the end")
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func port(t *testing.T, l net.Listener) uint16 {
	t.Helper()
	a, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return a.Port()
}

func say(address, text string) (string, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	if half, ok := c.(*net.TCPConn); ok {
		if err := half.CloseWrite(); err != nil {
			return "", err
		}
	}
	got, err := io.ReadAll(c)
	return string(got), err
}

//go:build linux

package node

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dcalab/dcalab/node/nodetest"
)

func TestDialEngine(t *testing.T) {
	t.Run("over the socket, with a half-close", func(t *testing.T) {
		b := newBox(t, "")
		b.MustRoot("usermod -aG docker vagrant")
		b.StartEngine()
		n := b.dial(t)
		askVersion(t, n)
		if n.useStdio.Load() {
			t.Error("went by dial-stdio")
		}
	})
	t.Run("where sshd forbids forwarding", func(t *testing.T) {
		b := newBox(t, "AllowStreamLocalForwarding no")
		b.MustRoot("usermod -aG docker vagrant")
		b.StartEngine()
		b.DockerCommand()
		n := b.dial(t)
		askVersion(t, n)
		if !n.useStdio.Load() {
			t.Error("did not go by dial-stdio")
		}
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() { askVersion(t, n) })
		}
		all.Wait()
		conn, err := n.DialEngine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a deadline that passed")
		}
		_ = conn.Close()
	})
	t.Run("without the group", func(t *testing.T) {
		b := newBox(t, "")
		b.StartEngine()
		_, err := b.dial(t).DialEngine(t.Context())
		nodetest.WantTrouble(t, err, "docker-group-missing")
	})
	t.Run("without an engine", func(t *testing.T) {
		b := newBox(t, "")
		_, err := b.dial(t).DialEngine(t.Context())
		nodetest.WantTrouble(t, err, "engine-down")
	})
	t.Run("an engine that died and left its socket", func(t *testing.T) {
		b := newBox(t, "")
		b.MustRoot("usermod -aG docker vagrant")
		b.StartEngine()
		n := b.dial(t)
		b.MustRoot("kill -9 $(cat /run/engine.pid)")
		nodetest.Eventually(t, "it is dead", func() bool {
			out, _ := b.Root(Script{Name: "socket.sh", Text: socketScript}.Line(EngineSocket))
			return out == "silent"
		})
		_, err := n.DialEngine(t.Context())
		nodetest.WantTrouble(t, err, "engine-down")
	})
}

// askVersion speaks HTTP by hand.
func askVersion(t *testing.T, n *Conn) {
	t.Helper()
	conn, err := n.DialEngine(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /version HTTP/1.0\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || string(text) != `{"Version":"28.2.2"}` {
		t.Errorf("got %q, %v", text, err)
	}
	if _, ok := conn.(interface{ CloseWrite() error }); !ok {
		t.Error("no half-close")
	}
}

func TestRunEndsWithContext(t *testing.T) {
	b := newBox(t, "")
	n := b.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan struct{})
	go func() {
		defer close(running)
		nodetest.Eventually(t, "the command runs", func() bool { _, err := b.Root("test -s /home/vagrant/pid"); return err == nil })
		cancel()
	}()
	start := time.Now()
	_, err := n.Run(ctx, "echo $$ >pid; exec sleep 1000", nil)
	<-running
	if !errors.Is(err, context.Canceled) || time.Since(start) > 30*time.Second {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
	pid := b.MustRoot("cat /home/vagrant/pid")
	nodetest.Eventually(t, "the command on the node ends too", func() bool {
		_, err := os.Stat(filepath.Join("/proc", pid))
		return err != nil
	})
	if _, err := n.Run(t.Context(), "true", nil); err != nil {
		t.Errorf("the connection does not outlive it: %v", err)
	}
}

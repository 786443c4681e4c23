package node

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestConnectionsThroughAProgram(t *testing.T) {
	to := func(argv ...string) Endpoint { return Endpoint{Network: "command", Command: argv} }
	conn, err := to("sh", "-c", "echo SSH-2.0-x; exec cat").connect(t.Context(), net.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "there and back\n"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("SSH-2.0-x\nthere and back\n"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "SSH-2.0-x\nthere and back\n" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-conn.(*commandConn).done:
	case <-time.After(30 * time.Second):
		t.Error("the program has not ended with its connection")
	}
	if _, err := to("sh", "-c", "echo no such container >&2; exit 1").connect(t.Context(), net.Dialer{}); err == nil || !strings.Contains(err.Error(), "no such container") {
		t.Errorf("a program that ends at once: %v", err)
	}
	if _, err := to("no-such-program-of-dcalab").connect(t.Context(), net.Dialer{}); err == nil {
		t.Error("a program that does not exist")
	}
	if _, err := to("sleep", "60").connect(t.Context(), net.Dialer{Timeout: 50 * time.Millisecond}); err == nil {
		t.Error("a program that says nothing")
	}
}

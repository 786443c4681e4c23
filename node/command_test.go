package node

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func TestJoinedConnections(t *testing.T) {
	in, there := io.Pipe()
	back, out := io.Pipe()
	ended := make(chan struct{})
	ep := Endpoint{Dial: func(context.Context) (net.Conn, error) { return Join(in, out, func() { close(ended) }), nil }}
	conn, err := ep.connect(t.Context(), net.Dialer{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(conn, "there") }()
	got := make([]byte, 5)
	if _, err := io.ReadFull(back, got); err != nil || string(got) != "there" {
		t.Errorf("it wrote %q, %v", got, err)
	}
	go func() { _, _ = io.WriteString(there, "back") }()
	if _, err := io.ReadFull(conn, got[:4]); err != nil || string(got[:4]) != "back" {
		t.Errorf("it read %q, %v", got[:4], err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if _, err := back.Read(got); !errors.Is(err, io.EOF) {
		t.Errorf("after its end: %v", err)
	}
	_ = there.Close()
	<-ended
}

package nodetest

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/trouble"
)

// Hostile is an SSH server that does what no sshd does. Whatever a test leaves
// out behaves.
type Hostile struct {
	*Faulty
	// Wire is called with each connection in place of SSH.
	Wire func(net.Conn)
	// Opened is called with each session's channel in place of accepting it.
	Opened func(ssh.NewChannel)
	// Forward is a connection to the engine's socket; nil refuses them.
	Forward func(ssh.Channel)
	// Request is called with each request of a session; false leaves it to
	// Exec.
	Request func(*ssh.Request, ssh.Channel) bool
	// After is called when a client has logged in.
	After func(ssh.Conn)

	Sent atomic.Int64  // bytes that Flood got rid of
	Over chan struct{} // is closed when the test is
}

// HostileToken is a secret that a hostile node may know, and that nobody may see.
const HostileToken = "SWMTKN-1-5l3x2m8q0c7a9f4k6j1h2g3d4s5a6p7o8i9u0y1t2r3e4w5q6-b7n8m9v0c1x2z3l4k5j6h7g8f"

// NewHostile makes a server that behaves; set what it is to do otherwise, and
// start it.
func NewHostile(t *testing.T) *Hostile {
	t.Helper()
	return &Hostile{Faulty: NewFaulty(t), Over: make(chan struct{})}
}

// Start lets it listen.
func (h *Hostile) Start(t *testing.T) {
	t.Helper()
	h.listen(t, h.serve)
	t.Cleanup(func() { close(h.Over) })
}

func (h *Hostile) serve(c net.Conn, running *sync.WaitGroup) {
	if h.Wire != nil {
		h.Wire(c)
		return
	}
	conn, chans, reqs, err := ssh.NewServerConn(c, h.Config)
	if err != nil {
		return
	}
	running.Go(func() { ssh.DiscardRequests(reqs) })
	if h.After != nil {
		running.Go(func() { h.After(conn) })
	}
	for open := range chans {
		running.Go(func() { h.channel(open) })
	}
}

func (h *Hostile) channel(open ssh.NewChannel) {
	if h.Opened != nil {
		h.Opened(open)
		return
	}
	if open.ChannelType() != "session" {
		if h.Forward == nil {
			_ = open.Reject(ssh.Prohibited, "administratively prohibited")
			return
		}
		ch, reqs, err := open.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(reqs)
		h.Forward(ch)
		_ = ch.Close()
		return
	}
	ch, reqs, err := open.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range reqs {
		if h.Request != nil && h.Request(r, ch) {
			continue
		}
		var payload struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &payload) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		if status := h.Exec(payload.Command, ch); status >= 0 {
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		}
		return
	}
}

// Flood writes text for as long as somebody takes it.
func (h *Hostile) Flood(w io.Writer, text string) {
	chunk := []byte(strings.Repeat(text, 1+(32<<10)/len(text)))
	for {
		n, err := w.Write(chunk)
		h.Sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// Hang holds on until the test is over.
func (h *Hostile) Hang() { <-h.Over }

// Says lets every command write this, and end so.
func (h *Hostile) Says(text string, status int) {
	h.Exec = func(_ string, ch ssh.Channel) int { _, _ = io.WriteString(ch, text); return status }
}

// WantBounded wants that what was asked of the node has failed, with a trouble
// of this id (none: any error), without a secret, and without reading much.
func (h *Hostile) WantBounded(t *testing.T, err error, id string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was believed")
	}
	var e *trouble.Error
	if errors.As(err, &e); id != "" && (e == nil || e.ID != id) {
		t.Errorf("got %v, want trouble %q", err, id)
	}
	if len(err.Error()) > 64<<10 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
	if strings.Contains(err.Error(), HostileToken[20:]) {
		t.Errorf("a secret is in %q", err)
	}
	if strings.Contains(err.Error(), "context deadline") || strings.Contains(err.Error(), "%!") {
		t.Errorf("Go's words, not the user's: %q", err)
	}
	// What was taken from it is what bounds the memory: the limits, and
	// what SSH keeps on the way (2 MiB a channel).
	if sent := h.Sent.Load(); sent > 64<<20 {
		t.Errorf("%d MiB were read of it", sent>>20)
	}
}

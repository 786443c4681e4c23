package node

import (
	"testing"
	"time"

	"github.com/dcalab/dcalab/node/nodetest"
)

// reach is how the other end of a test is reached.
func reach(l nodetest.Login) (Endpoint, Options) {
	return Endpoint{Node: "node01", Network: l.Network, Address: l.Address, User: l.User, IdentityFile: l.IdentityFile, HostKeyAlias: l.HostKeyAlias},
		Options{KnownHosts: l.KnownHosts, LearnHostKey: nodetest.LearnTo(l.KnownHosts)}
}

func dial(t *testing.T, ep Endpoint, o Options) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), ep, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// hostile is a server that does what no sshd does, and how it is reached.
type hostile struct {
	*nodetest.Hostile
	ep   Endpoint
	opts Options
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{Hostile: nodetest.NewHostile(t)}
	h.ep, h.opts = reach(h.Login)
	h.opts.Timeout = time.Minute
	h.opts.Timeouts = Timeouts{Answer: time.Minute, Ready: time.Minute, Work: time.Minute}
	return h
}

// impatient gives up after moments: for what never comes.
func (h *hostile) impatient() {
	h.opts.Timeouts = Timeouts{Answer: 100 * time.Millisecond, Ready: 100 * time.Millisecond, Work: 100 * time.Millisecond}
}

// faulty is a server that misbehaves, and how it is reached.
type faulty struct {
	*nodetest.Faulty
	ep   Endpoint
	opts Options
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	f := &faulty{Faulty: nodetest.NewFaulty(t)}
	f.ep, f.opts = reach(f.Login)
	return f
}

func (f *faulty) dial(t *testing.T) *Conn {
	t.Helper()
	return dial(t, f.ep, f.opts)
}

package provision

import (
	"testing"
	"time"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/node/nodetest"
)

// reach is how the other end of a test is reached.
func reach(l nodetest.Login) (node.Endpoint, node.Options) {
	return node.Endpoint{Node: "node01", Network: l.Network, Address: l.Address, User: l.User, IdentityFile: l.IdentityFile, HostKeyAlias: l.HostKeyAlias},
		node.Options{KnownHosts: l.KnownHosts, LearnHostKey: nodetest.LearnTo(l.KnownHosts)}
}

func dial(t *testing.T, ep node.Endpoint, o node.Options) *node.Conn {
	t.Helper()
	c, err := node.Dial(t.Context(), ep, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// hostile is a server that does what no sshd does, and how it is reached.
type hostile struct {
	*nodetest.Hostile
	ep   node.Endpoint
	opts node.Options
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{Hostile: nodetest.NewHostile(t)}
	h.ep, h.opts = reach(h.Login)
	h.opts.Timeout = time.Minute
	h.opts.Timeouts = node.Timeouts{Answer: time.Minute, Ready: time.Minute, Work: time.Minute}
	return h
}

// impatient gives up after moments: for what never comes.
func (h *hostile) impatient() {
	h.opts.Timeouts = node.Timeouts{Answer: 100 * time.Millisecond, Ready: 100 * time.Millisecond, Work: 100 * time.Millisecond}
}

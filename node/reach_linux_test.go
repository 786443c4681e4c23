package node

import (
	"testing"

	"github.com/dcalab/dcalab/node/nodetest"
)

// box is a machine of its own, and how it is reached.
type box struct {
	*nodetest.Box
	t    *testing.T
	ep   Endpoint
	opts Options
}

func newBox(t *testing.T, config string) *box {
	t.Helper()
	b := &box{Box: nodetest.NewBox(t, config), t: t}
	b.ep, b.opts = reach(b.Login)
	return b
}

func (b *box) dial(t *testing.T) *Conn {
	t.Helper()
	return dial(t, b.ep, b.opts)
}

package provision

import (
	"testing"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/node/nodetest"
)

// box is a machine of its own, and how it is reached.
type box struct {
	*nodetest.Box
	t    *testing.T
	ep   node.Endpoint
	opts node.Options
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{Box: nodetest.NewBox(t, ""), t: t}
	b.ep, b.opts = reach(b.Login)
	return b
}

func (b *box) dial(t *testing.T) *node.Conn {
	t.Helper()
	return dial(t, b.ep, b.opts)
}

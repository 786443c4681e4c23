package lifecycle

import (
	"context"
	"maps"
	"sync"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
)

// formation forms the swarm of a lab that is being made, while it is being
// made: each node that is ready starts or joins it, and the others are still
// booting. That is safe for machines that did not exist before, and for those
// alone: they can be in no swarm. What is left at the end, bootstrap does; what
// goes wrong on the way, it meets again and tells.
type formation struct {
	Operator
	tell session.Reporter
	wake chan struct{}
	done chan struct{}

	mu    sync.Mutex
	ready map[string]*node.Conn
	// steps is how many were done, typed what a person would have typed for them:
	// to be read after end.
	steps int
	typed runbook.Runbook
}

// newFormation starts a formation. The caller adds nodes to it, and ends it.
func newFormation(ctx context.Context, o Operator, tell session.Reporter) *formation {
	f := &formation{Operator: o, tell: tell, wake: make(chan struct{}, 1), done: make(chan struct{}), ready: map[string]*node.Conn{}}
	go func() {
		defer close(f.done)
		for range f.wake {
			f.pass(ctx)
		}
	}()
	return f
}

// add tells of a node that is ready.
func (f *formation) add(name string, conn *node.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready[name] = conn
	select {
	case f.wake <- struct{}{}:
	default: // a pass is due already, and will see it
	}
}

// end waits for what was begun.
func (f *formation) end() {
	close(f.wake)
	<-f.done
}

// pass brings the nodes that are ready now into the swarm.
func (f *formation) pass(ctx context.Context) {
	f.mu.Lock()
	ready := maps.Clone(f.ready)
	f.mu.Unlock()
	machines := map[string]machine.Status{}
	begun := false
	for _, n := range f.Lab().Nodes {
		machines[n.Name] = machine.StatusAbsent
		if ready[n.Name] != nil {
			machines[n.Name] = machine.StatusRunning
			begun = begun || n.Role == lab.RoleManager
		}
	}
	if !begun {
		return // workers wait for a manager
	}
	pool := f.NewPool() // of connections that are not its own
	for _, conn := range ready {
		pool.Keep(conn)
	}
	engines, err := f.EnginesOf(pool, machines)
	if err != nil {
		return
	}
	defer engines.Release()
	// It says that nodes are missing, which is known, or fails as bootstrap will.
	result, _ := engines.Cluster(swarm.Options{Progress: session.Events(f.tell)}).Converge(ctx, f.Lab(), swarm.PlanOptions{})
	f.steps += len(result.Steps)
	f.typed = append(f.typed, result.Runbook...)
	tellMembers(f.tell, result.View, func(n swarm.NodeView) string {
		if changed(result, n.Name) {
			return n.Summary()
		}
		return ""
	})
}

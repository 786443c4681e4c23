package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// promoteStep makes a manager of a node.
type promoteStep struct {
	on
	ID string
	// wait: until raft has it and it takes calls itself; where its engine gives
	// up, it leaves and joins as a manager. Without, the wish is all: the last step
	// of the plan waits for all nodes, and the next plan takes in again whose
	// engine gave up.
	wait bool
}

func (promoteStep) Kind() Kind     { return KindPromote }
func (promoteStep) String() string { return "promote to manager" }

func (s promoteStep) Do(ctx context.Context, r *Run) error {
	if !s.wait {
		defer r.ask(ctx, s.Node())
		return r.setRole(ctx, s.ID, engine.RoleManager)
	}
	err := s.promote(ctx, r)
	if errors.Is(err, errStranded) && ctx.Err() == nil {
		// It leaves and rejoins. It is in error, whatever the view says.
		n, _ := r.view.Node(s.Node())
		n.State = StateError
		list := r.view.entries()
		err = r.rejoin(ctx, s.Node(), rejoinSteps(r.view, n, list[find(list, s.ID)], engine.RoleManager))
	}
	return err
}

// promote sets the role, and waits until the leader reaches the node as a
// manager and it takes calls itself.
func (s promoteStep) promote(ctx context.Context, r *Run) error {
	// A node that was demoted a moment ago, by hand perhaps, has a manager's
	// certificate for a while: promoted before it has a worker's, it waits for one
	// twice 16 s first (swarmkit's node.superviseManager).
	if err := r.poll(ctx, func() error { return certified(ctx, r.target(s.Node())) }); err != nil {
		return err
	}
	if err := r.setRole(ctx, s.ID, engine.RoleManager); err != nil {
		return err
	}
	var own ownWord
	return r.poll(ctx, func() error {
		n, err := r.listed(ctx, s.ID)
		switch {
		case err != nil:
			return err
		case n.Reachability != engine.ReachabilityReachable:
			if err := s.gaveUp(ctx, r); err != nil {
				return err
			}
			return errors.New("the leader does not reach it as a manager yet, at " + net.JoinHostPort(n.Addr, RaftPort))
		}
		// The leader reaches it before its own raft log has come: a leader that
		// is demoted then fails to hand over to it, and tries again after half
		// a minute ("received MsgTimeoutNow but is not promotable", 20.10).
		return own.of(r, s.Node(), func(e Engine) error {
			_, err := e.Nodes(ctx)
			return err
		})
	})
}

// errStranded: a node that was promoted cannot come into raft as it is.
var errStranded = errors.New("its engine gave up")

// gaveUp asks the engine of a node that was promoted whether it gave up.
func (s promoteStep) gaveUp(ctx context.Context, r *Run) error {
	n, ours := r.view.Node(s.Node())
	e, err := r.engine(s.Node())
	if !ours || err != nil || n.NodeID != s.ID {
		return nil //nolint:nilerr // it cannot be asked
	}
	info, err := e.Info(ctx)
	switch {
	case err != nil || info.State != engine.StateError:
		return nil //nolint:nilerr // the list tells what is still missing
	case unreachedByLeader(info.Error):
		return finalError{fmt.Errorf("its engine gave up: %s", info.Error)}
	}
	return finalError{fmt.Errorf("%w: %s", errStranded, info.Error)}
}

func (r *Run) setRole(ctx context.Context, id string, role engine.Role) error {
	return r.viaManagerWithRetry(ctx, func(e Engine) error {
		return e.UpdateNode(ctx, id, func(spec *engine.NodeSpec) { spec.Role = role })
	})
}

// listed gives the entry of a node that has to be in the swarm's list.
func (r *Run) listed(ctx context.Context, id string) (engine.Node, error) {
	list, err := r.nodes(ctx)
	if err != nil {
		return engine.Node{}, err
	}
	at := find(list, id)
	if at < 0 {
		return engine.Node{}, finalError{fmt.Errorf("%s: %w", id, engine.ErrNotFound)}
	}
	return list[at], nil
}

// ownWord is what the engine of a node whose role changes says itself.
type ownWord struct{ since time.Time }

// of asks a node's own engine. Where it cannot be asked, because it did not
// answer before or is gone, the swarm's list is all there is. One that hangs is
// not gone: its part in the swarm is changing just now, unless it hangs for
// long. What the list shows has come true even so.
func (o *ownWord) of(r *Run, node string, ask func(Engine) error) error {
	n, ours := r.view.Node(node)
	e, err := r.engine(node)
	if err != nil || !ours || !n.State.Answered() {
		return nil //nolint:nilerr // it cannot be asked
	}
	if o.since.IsZero() {
		o.since = time.Now()
	}
	err = ask(e)
	if errors.Is(err, engine.ErrUnreachable) && (!errors.Is(err, context.DeadlineExceeded) || time.Since(o.since) > HangTimeout) {
		return nil
	}
	return err
}

// certified tells whether a node has a worker's certificate. One that cannot
// be read is taken for one.
func certified(ctx context.Context, t Target) error {
	if t.Disk == nil {
		return nil
	}
	if raw, err := t.Disk.Certificate(ctx); err == nil && parseCertificate(raw).Role == lab.RoleManager {
		return errors.New("it still has a manager's certificate")
	}
	return nil
}

func (s promoteStep) Runbook(w *RunbookWriter) {
	w.ask("", "docker", "node", "promote", w.entry(s.Node(), s.ID))
	w.ready(s.Node(), s.ID, true)
	if _, ours := w.v.Node(s.Node()); ours {
		w.arrive(s.Node(), engine.RoleManager)
	}
}

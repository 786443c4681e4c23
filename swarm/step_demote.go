package swarm

import (
	"context"
	"errors"

	"github.com/dcalab/dcalab/engine"
)

// demoteStep makes a worker of a manager, and waits until it has left raft.
type demoteStep struct {
	on
	ID string
}

func (demoteStep) Kind() Kind     { return KindDemote }
func (demoteStep) String() string { return "demote to worker" }

func (s demoteStep) Do(ctx context.Context, r *Run) error {
	if err := r.setRole(ctx, s.ID, engine.RoleWorker); err != nil {
		return err
	}
	var own ownWord
	return r.poll(ctx, func() error {
		n, err := r.listed(ctx, s.ID)
		switch {
		case err != nil:
			return err
		case n.IsManager():
			return errors.New("it is still a member of raft")
		}
		// The list tells that it has left raft before its own engine has stopped
		// taking calls.
		return own.of(r, s.Node(), func(e Engine) error {
			info, err := e.Info(ctx)
			if err == nil && info.Control {
				return errors.New("its own engine has not taken the new role yet")
			}
			return err
		})
	})
}

func (s demoteStep) Runbook(w *RunbookWriter) {
	name := w.entry(s.Node(), s.ID)
	w.ask("", "docker", "node", "demote", name)
	w.gone(s.Node())
	w.outOfRaft(s.Node(), s.ID, name)
	w.arrived[s.Node()] = engine.RoleWorker
}

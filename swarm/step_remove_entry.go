package swarm

import (
	"context"
	"errors"

	"github.com/dcalab/dcalab/engine"
)

// removeEntryStep removes an entry of a node that no longer exists.
type removeEntryStep struct {
	on
	ID      string
	Manager bool
}

func (removeEntryStep) Kind() Kind { return KindRemoveEntry }
func (s removeEntryStep) String() string {
	if s.Manager {
		return "demote and remove its old entry " + s.ID
	}
	return "remove its old entry " + s.ID
}

// Do demotes an entry where it is a manager's, waits until it has left raft,
// and removes it.
func (s removeEntryStep) Do(ctx context.Context, r *Run) error {
	// Somebody may have changed the swarm since the list was read: what the node
	// itself is now is never removed.
	if e, err := r.engine(s.Node()); err == nil {
		if info, err := e.Info(ctx); err == nil && info.State == engine.StateActive && info.NodeID == s.ID {
			return nil
		}
	}
	r.raft.Lock()
	defer r.raft.Unlock()
	return r.viaManagerWithRetry(ctx, func(e Engine) error {
		if s.Manager {
			// A node that was promoted and never came into raft cannot be demoted,
			// and need not be.
			err := e.UpdateNode(ctx, s.ID, func(spec *engine.NodeSpec) { spec.Role = engine.RoleWorker })
			if err != nil && !errors.Is(err, engine.ErrNotInRaft) && !errors.Is(err, engine.ErrNotFound) {
				return err
			}
		}
		// A demoted node leaves raft a moment after its role has changed;
		// until then its entry cannot be removed.
		return r.poll(ctx, func() error {
			err := e.RemoveNode(ctx, s.ID, true)
			switch {
			case err == nil, errors.Is(err, engine.ErrNotFound):
				return nil
			case errors.Is(err, engine.ErrStillManager):
				return err
			}
			return finalError{err}
		})
	})
}

func (s removeEntryStep) Runbook(w *RunbookWriter) {
	name := w.entry(s.Node(), s.ID)
	if w.arrived[s.Node()] != "" {
		name = s.ID // the node has a new entry by now, with the same host name
	}
	if s.Manager {
		w.ask("a lost manager counts towards the quorum until it is demoted", "docker", "node", "demote", name)
		w.outOfRaft("", s.ID, name)
	}
	w.ask("remove its entry", "docker", "node", "rm", "--force", name)
	w.left[s.ID] = true
}

package swarm

import (
	"context"
	"errors"
	"fmt"

	"github.com/dcalab/dcalab/engine"
)

// availabilityStep tells the scheduler how to treat a node.
type availabilityStep struct {
	on
	ID   string
	Want engine.Availability
}

func (availabilityStep) Kind() Kind { return KindUpdate }
func (s availabilityStep) String() string {
	return "set availability " + string(s.Want)
}

// Do waits until the swarm's list shows it.
func (s availabilityStep) Do(ctx context.Context, r *Run) error {
	return r.shown(ctx, s.ID,
		func(spec *engine.NodeSpec) { spec.Availability = s.Want },
		func(n engine.Node) bool { return n.Availability == s.Want })
}

// shown edits a node's entry and waits until the list shows it.
func (r *Run) shown(ctx context.Context, id string, edit func(*engine.NodeSpec), done func(engine.Node) bool) error {
	if err := r.viaManagerWithRetry(ctx, func(e Engine) error { return e.UpdateNode(ctx, id, edit) }); err != nil {
		return err
	}
	return r.poll(ctx, func() error {
		list, err := r.nodes(ctx)
		if err != nil {
			return err
		}
		at := find(list, id)
		switch {
		case at < 0:
			return finalError{fmt.Errorf("%s: %w", id, engine.ErrNotFound)}
		case !done(list[at]):
			return errors.New("the swarm's list does not show it yet")
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changed = append(r.changed, list[at]) // not the whole list: another's change may be younger than it
		return nil
	})
}

func (s availabilityStep) Runbook(w *RunbookWriter) { w.update(s.Node(), s.ID, nil, nil, s.Want) }

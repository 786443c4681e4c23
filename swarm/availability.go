package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/trouble"
)

// SetAvailability gives the named nodes (as for Promote) an availability, all
// at once, so that no task moves to a node that is next. It waits until the
// swarm's list shows it, and for drain until no task of a service runs on the
// nodes any more; on a node that does not answer, until the swarm wants none
// there. A node's part in raft is not touched. Errors are those of Promote,
// and "still-has-tasks" with ExitUnfinished where tasks are left when patience
// is over.
func (c *Cluster) SetAvailability(ctx context.Context, names []string, want engine.Availability, o ChangeOptions) (Change, error) {
	r, ch, err := c.beginChange(ctx, names, o, nil)
	if err != nil {
		return ch, err
	}
	var todo []Step
	for i, m := range r.members {
		ch.Nodes[i].Already = m.Availability == want
		if !ch.Nodes[i].Already {
			todo = append(todo, availabilityStep{on(m.name), m.ID, want})
		}
	}
	ch.Steps = slices.Clone(todo)
	if want == engine.AvailabilityDrain {
		for _, m := range r.members {
			ch.Steps = append(ch.Steps, emptyStep{on(m.name), m.ID})
		}
	}
	if len(todo) > 0 {
		ch.Warnings = r.scheduling(want)
	}
	for _, m := range r.members {
		if n, ok := r.view.Node(m.name); ok && n.State == StateEngineDown && want == engine.AvailabilityDrain {
			ch.Warnings = append(ch.Warnings, m.name+"'s engine does not answer ("+reason(n)+"): the swarm wants no task there any more, and what runs there may go on until it does")
		}
	}
	ch.Lesson = r.view.Lesson(ch.Steps)
	if o.DryRun {
		return ch, nil
	}
	err = r.all(ctx, todo)
	if err == nil && want == engine.AvailabilityDrain {
		drains := ch.Steps[len(todo):]
		errs := make([]error, len(drains))
		each(len(drains), func(i int) { errs[i] = r.step(ctx, drains[i]) })
		err = r.drainError(errs)
		for _, m := range r.members {
			ch.Warnings = append(ch.Warnings, r.warned[m.name]...)
		}
	}
	return r.endUpdate(ctx, ch, err)
}

// scheduling warns of what an availability does not do, or does to the rest.
func (r *changer) scheduling(want engine.Availability) []string {
	if want == engine.AvailabilityActive {
		return nil
	}
	var out []string
	if want == engine.AvailabilityDrain {
		var votes []string
		for _, m := range r.members {
			if m.IsManager() {
				votes = append(votes, m.name)
			}
		}
		switch len(votes) {
		case 0:
		case 1:
			out = append(out, votes[0]+" stays a manager and keeps its vote: drain takes tasks away, not the role (dcalab demote "+votes[0]+")")
		default:
			out = append(out, strings.Join(votes, ", ")+" stay managers and keep their votes: drain takes tasks away, not the role (dcalab demote)")
		}
	}
	if !slices.ContainsFunc(r.view.entries(), func(e engine.Node) bool {
		return e.Availability == engine.AvailabilityActive && e.Status == engine.NodeReady &&
			!slices.ContainsFunc(r.members, func(m member) bool { return m.ID == e.ID })
	}) {
		out = append(out, "no node is left that takes new tasks: services wait until one does (dcalab activate NODE)")
	}
	return out
}

// SetLabels sets labels of the named nodes (as for Promote) and takes others
// away; the rest is kept. It waits until the swarm's list shows it. Errors are
// those of Promote.
func (c *Cluster) SetLabels(ctx context.Context, names []string, set map[string]string, drop []string, o ChangeOptions) (Change, error) {
	r, ch, err := c.beginChange(ctx, names, o, nil)
	if err != nil {
		return ch, err
	}
	for i, m := range r.members {
		s := labelStep{on: on(m.name), ID: m.ID, Set: map[string]string{}}
		for k, v := range set {
			if have, ok := m.Labels[k]; !ok || have != v {
				s.Set[k] = v
			}
		}
		for _, k := range drop {
			if _, ok := m.Labels[k]; ok {
				s.Drop = append(s.Drop, k)
			}
		}
		if ch.Nodes[i].Already = len(s.Set)+len(s.Drop) == 0; !ch.Nodes[i].Already {
			ch.Steps = append(ch.Steps, s)
		}
	}
	ch.Lesson = r.view.Lesson(ch.Steps)
	if o.DryRun {
		return ch, nil
	}
	err = r.all(ctx, ch.Steps)
	return r.endUpdate(ctx, ch, err)
}

// all does steps on several nodes at once.
func (r *changer) all(ctx context.Context, steps []Step) error {
	errs := make([]error, len(steps))
	each(len(steps), func(i int) { errs[i] = changeError(ctx, steps[i], r.step(ctx, steps[i])) })
	return errors.Join(errs...)
}

// drainError makes one error of those of several nodes that were to be drained.
func (r *Run) drainError(errs []error) error {
	var why, nodes []string
	for _, err := range errs {
		var left *tasksLeftError
		switch {
		case errors.As(err, &left):
			nodes = append(nodes, left.node)
			why = append(why, left.Error())
		case err != nil:
			return err
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	return &trouble.Error{
		ID: "still-has-tasks", Exit: trouble.ExitUnfinished, Where: strings.Join(nodes, ", "),
		What: fmt.Sprintf("drained, and not empty after %s", r.o.Timeout), Why: strings.Join(why, "; "),
		Next: []string{
			"a task may take its service's stop grace period to end; wait on: dcalab drain " + strings.Join(nodes, " "),
			"look at them, on a manager: docker node ps " + nodes[0],
		},
	}
}

// endUpdate is endChange for what leaves the managers as they are.
func (r *changer) endUpdate(ctx context.Context, ch Change, err error) (Change, error) {
	if interrupted := interruptedChange(ctx); interrupted != nil {
		return ch, interrupted
	}
	for i := range ch.View.Nodes {
		n := &ch.View.Nodes[i]
		if at := find(r.changed, n.NodeID); at >= 0 && n.NodeID != "" {
			n.Availability, n.Labels, n.Status = r.changed[at].Availability, r.changed[at].Labels, r.changed[at].Status
		}
	}
	return ch, err
}

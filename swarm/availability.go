package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/trouble"
)

// PlanAvailability plans to give the named nodes (as for PlanPromote) an
// availability, all at once, so that no task moves to a node that is next. Run,
// it waits until the swarm's list shows it, and for drain until no task of a
// service runs on the nodes any more; on a node that does not answer, until the
// swarm wants none there. A node's part in raft is not touched. Errors are those
// of PlanPromote; run, "still-has-tasks" with ExitUnfinished where tasks are left
// when the timeout is over.
func PlanAvailability(v View, names []string, want engine.Availability) (Plan, error) {
	p := Plan{View: v, end: endUpdate}
	members, err := p.resolve(names, false)
	if err != nil {
		return p, err
	}
	var set, empty []Step
	for i, m := range members {
		if p.Nodes[i].Already = m.Availability == want; !p.Nodes[i].Already {
			set = append(set, availabilityStep{on(m.name), m.ID, want})
		}
		empty = append(empty, emptyStep{on(m.name), m.ID})
	}
	p.stageThat(stopRun, "update", set...)
	if want == engine.AvailabilityDrain {
		p.stageThat(stopRun, "drain", empty...)
	}
	if len(set) > 0 {
		p.Warnings = availabilityWarnings(v, members, want)
	}
	for _, m := range members {
		if n, ok := v.Node(m.name); ok && n.State == StateEngineDown && want == engine.AvailabilityDrain {
			p.Warnings = append(p.Warnings, m.name+"'s engine does not answer ("+reason(n)+"): the swarm has taken its tasks away, but what runs there may keep running until the engine answers")
		}
	}
	p.Runbook = v.Runbook(p.Steps())
	return p, nil
}

// availabilityWarnings warns of what an availability does not do, or does to the rest.
func availabilityWarnings(v View, members []member, want engine.Availability) []string {
	if want == engine.AvailabilityActive {
		return nil
	}
	var out []string
	if want == engine.AvailabilityDrain {
		var votes []string
		for _, m := range members {
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
	if !slices.ContainsFunc(v.entries(), func(e engine.Node) bool {
		return e.Availability == engine.AvailabilityActive && e.Status == engine.NodeReady &&
			!slices.ContainsFunc(members, func(m member) bool { return m.ID == e.ID })
	}) {
		out = append(out, "no node is left that takes new tasks: services wait until one does (dcalab activate NODE)")
	}
	return out
}

// PlanLabels plans to set labels of the named nodes (as for PlanPromote) and to
// take others away; the rest is kept. Run, it waits until the swarm's list shows
// it. Errors are those of PlanPromote.
func PlanLabels(v View, names []string, set map[string]string, drop []string) (Plan, error) {
	p := Plan{View: v, end: endUpdate}
	members, err := p.resolve(names, false)
	if err != nil {
		return p, err
	}
	var steps []Step
	for i, m := range members {
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
		if p.Nodes[i].Already = len(s.Set)+len(s.Drop) == 0; !p.Nodes[i].Already {
			steps = append(steps, s)
		}
	}
	p.stageThat(stopRun, "update", steps...)
	p.Runbook = v.Runbook(p.Steps())
	return p, nil
}

// endUpdate ends what leaves the managers as they are: the view has what the
// list showed in the end, and nobody is asked again.
func endUpdate(ctx context.Context, r *Run, p Plan, failed []failure, res *Result) error {
	for _, s := range p.Steps() {
		if s.Kind() == KindDrain {
			res.Warnings = append(res.Warnings, r.warned[s.Node()]...)
		}
	}
	if err := interruptedChange(ctx); err != nil {
		return err
	}
	res.View.Nodes = slices.Clone(res.View.Nodes)
	for i := range res.View.Nodes {
		n := &res.View.Nodes[i]
		if at := find(r.changed, n.NodeID); at >= 0 && n.NodeID != "" {
			n.Availability, n.Labels, n.Status = r.changed[at].Availability, r.changed[at].Labels, r.changed[at].Status
		}
	}
	var updates []failure
	var drains []error
	for _, f := range failed {
		if f.step.Kind() == KindDrain {
			drains = append(drains, f.err)
		} else {
			updates = append(updates, f)
		}
	}
	return cmp.Or(changeErrors(ctx, updates, changeError), r.drainError(drains))
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
		What: fmt.Sprintf("drained, but not empty after %s", r.o.Timeout), Why: strings.Join(why, "; "),
		Next: []string{
			"a task may take its service's stop grace period to end; wait on: dcalab drain " + strings.Join(nodes, " "),
			"look at them, on a manager: docker node ps " + nodes[0],
		},
	}
}

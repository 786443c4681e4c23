package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/trouble"
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

// emptyStep waits until no task of a service runs on a node.
type emptyStep struct {
	on
	ID string
}

func (emptyStep) Kind() Kind     { return KindDrain }
func (emptyStep) String() string { return "wait until no task of a service is left on it" }

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
	err = r.all(todo, func(s Step) error {
		a := s.(availabilityStep) //nolint:forcetypeassert // all of todo are
		return r.shown(ctx, a.ID,
			func(spec *engine.NodeSpec) { spec.Availability = want },
			func(n engine.Node) bool { return n.Availability == want })
	})
	if err == nil && want == engine.AvailabilityDrain {
		err = r.awaitEmpty(ctx)
		ch.Warnings = append(ch.Warnings, r.staying(ctx)...)
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

// staying tells of the containers on drained nodes that no service started.
func (r *changer) staying(ctx context.Context) []string {
	counts := make([]int, len(r.members))
	each(len(r.members), func(i int) {
		if n, ours := r.view.Node(r.members[i].name); ours && n.State.Answered() {
			if e, err := r.engine(n.Name); err == nil {
				counts[i], _ = e.Standalone(ctx) // what cannot be counted is not told
			}
		}
	})
	var out []string
	for i, m := range r.members {
		switch n := counts[i]; {
		case n == 1:
			out = append(out, "1 other container stays on "+m.name+": no service started it")
		case n > 1:
			out = append(out, fmt.Sprintf("%d other containers stay on %s: no service started them", n, m.name))
		}
	}
	return out
}

// awaitEmpty waits until none of the nodes has a task left.
func (r *changer) awaitEmpty(ctx context.Context) error {
	type stand struct {
		node string
		left []string
	}
	var stands []stand
	told := map[string]string{}
	err := r.poll(ctx, func() error {
		var tasks []engine.Task
		if err := r.through(ctx, func(e Engine) error {
			var err error
			tasks, err = e.Tasks(ctx)
			return err
		}); err != nil {
			return err
		}
		stands = nil
		for _, m := range r.members {
			left := r.left(m, tasks)
			if len(left) == 0 {
				continue
			}
			stands = append(stands, stand{m.name, left})
			if text := "waiting for its tasks to end: " + strings.Join(left, ", "); told[m.name] != text {
				told[m.name] = text
				r.o.Progress(Event{Node: m.name, Kind: KindDrain, Step: text})
			}
		}
		if len(stands) > 0 {
			return errStillTasks
		}
		return nil
	})
	if !errors.Is(err, errStillTasks) {
		return err
	}
	var why, nodes []string
	for _, s := range stands {
		nodes = append(nodes, s.node)
		why = append(why, s.node+" still has "+strings.Join(s.left, ", "))
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

var errStillTasks = errors.New("tasks are left")

// left names the tasks of services that a node still has. What a node that
// does not answer last told says nothing: there the swarm's wish counts.
func (r *changer) left(m member, tasks []engine.Task) []string {
	n, ours := r.view.Node(m.name)
	silent := ours && !n.State.Answered() || m.Status == engine.NodeDown
	var out []string
	for _, t := range tasks {
		if t.NodeID != m.ID || t.Attached || !t.Running() || silent && !t.Wanted() {
			continue
		}
		out = append(out, t.Name+" ("+t.State+")")
	}
	slices.Sort(out)
	return out
}

// labelStep sets and takes away labels of a node in the swarm.
type labelStep struct {
	on
	ID   string
	Set  map[string]string
	Drop []string
}

func (labelStep) Kind() Kind { return KindUpdate }
func (s labelStep) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(s.Set)) {
		parts = append(parts, "set label "+k+"="+s.Set[k])
	}
	for _, k := range s.Drop {
		parts = append(parts, "remove label "+k)
	}
	return strings.Join(parts, ", ")
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
	err = r.all(ch.Steps, func(s Step) error {
		l := s.(labelStep) //nolint:forcetypeassert // all of them are
		return r.shown(ctx, l.ID, func(spec *engine.NodeSpec) {
			maps.Copy(spec.Labels, l.Set)
			for _, k := range l.Drop {
				delete(spec.Labels, k)
			}
		}, func(n engine.Node) bool {
			for k, v := range l.Set {
				if have, ok := n.Labels[k]; !ok || have != v {
					return false
				}
			}
			return !slices.ContainsFunc(l.Drop, func(k string) bool { _, ok := n.Labels[k]; return ok })
		})
	})
	return r.endUpdate(ctx, ch, err)
}

// all does steps on several nodes at once, and tells of them.
func (r *changer) all(steps []Step, do func(Step) error) error {
	errs := make([]error, len(steps))
	each(len(steps), func(i int) {
		s := steps[i]
		r.o.Progress(Event{Node: s.Node(), Kind: s.Kind(), Step: s.String()})
		err := do(s)
		r.o.Progress(Event{Node: s.Node(), Kind: s.Kind(), Step: s.String(), Done: true, Err: err})
		if err != nil {
			errs[i] = &trouble.Error{ID: "change-unfinished", Exit: trouble.ExitUnfinished, Where: s.Node(),
				What: s.String(), Why: cause(s.Node(), err), Next: []string{"see where it stands: dcalab status"}, Err: err}
		}
	})
	return errors.Join(errs...)
}

// shown edits a node's entry and waits until the list shows it.
func (r *changer) shown(ctx context.Context, id string, edit func(*engine.NodeSpec), done func(engine.Node) bool) error {
	if err := r.steadily(ctx, func(e Engine) error { return e.UpdateNode(ctx, id, edit) }); err != nil {
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

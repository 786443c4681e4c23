package swarm

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// Remove takes the named nodes out of the swarm, one after the other and in
// order: a manager is demoted first, as by Demote, then the node leaves the
// swarm, then its entry is removed. A node of the lab that is in no swarm is a
// success; entries that stand for what it was before go, too.
//
// A node that does not answer cannot leave: it is refused, unless o.Gone lets
// its entry be removed all the same. Errors are those of Demote,
// node-not-answering, last-wanted-manager and remove-unfinished.
func (c *Cluster) Remove(ctx context.Context, names []string, o ChangeOptions) (Change, error) {
	v, err := c.usable(ctx, names, o, judged)
	if err != nil {
		return Change{View: v, Before: v.Quorum, After: v.Quorum}, err
	}
	o.View = &v
	var listed []string
	var outside []NodeView
	for _, name := range names {
		if n, ok := v.Node(name); ok && !n.Listed {
			outside = append(outside, n)
		} else {
			listed = append(listed, name)
		}
	}
	r, ch, err := c.beginChange(ctx, listed, o, judged)
	if err != nil {
		return ch, err
	}
	v.silentFirst(r.members)
	var ids []string
	var todo [][]Step
	for _, m := range r.members {
		ids = append(ids, m.ID)
		steps, err := r.removal(m, o.Gone)
		if err != nil {
			if anchor := v.guardAnchor(r.members); anchor != nil {
				return ch, anchor // Gone, which err advises, would not mend that
			}
			return ch, err
		}
		todo = append(todo, steps)
	}
	anchor := v.guardAnchor(r.members)
	if err := r.view.GuardRemoval(ids...); err != nil {
		var t *trouble.Error
		if !o.Force || errors.As(err, &t) && t.ID == "last-manager" {
			if anchor != nil && slices.ContainsFunc(v.Nodes, func(n NodeView) bool { return n.Stray }) {
				return ch, anchor // which what err advises would not mend
			}
			return ch, err
		}
	}
	if anchor != nil {
		return ch, anchor
	}
	for _, n := range outside {
		steps := v.remainder(n)
		ch.Nodes = append(ch.Nodes, Changed{Name: n.Name, ID: n.NodeID, Already: len(steps) == 0})
		todo = append(todo, steps)
	}
	for _, steps := range todo {
		ch.Steps = append(ch.Steps, steps...)
	}
	ch.Lesson = r.view.Lesson(ch.Steps)
	if o.DryRun {
		return ch, nil
	}
	r.askOthersFirst(r.members)
	defer r.asking.Wait() // nobody is asked any more once the caller closes the engines
	var errs []error
	for _, steps := range todo {
		err := r.remove(ctx, steps)
		errs = append(errs, err)
		if err != nil {
			break
		}
	}
	return r.endChange(ctx, ch, errs)
}

// guardAnchor refuses to take out the last member that labs.yaml calls a
// manager, or that it no longer has: by these, dcalab knows which swarm is the
// lab's.
func (v View) guardAnchor(going []member) error {
	before, after := 0, 0
	var stay, strays []string
	for _, n := range v.Nodes {
		goes := slices.ContainsFunc(going, func(m member) bool { return m.ID == n.NodeID })
		switch {
		case !n.Listed:
		case n.Want == lab.RoleManager || n.Stray:
			before++
			if !goes {
				after++
			} else if n.Stray {
				strays = append(strays, n.Name)
			}
		case !goes:
			stay = append(stay, n.Name)
		}
	}
	if before == 0 || after > 0 || len(stay) == 0 && len(strays) > 0 {
		return nil
	}
	e := &trouble.Error{
		ID: "last-wanted-manager", Exit: trouble.ExitRefused,
		What: "refused to remove the last member that labs.yaml calls a manager",
		Why:  "dcalab knows the lab's swarm by it: the one that a node is in which labs.yaml calls a manager; the rest (" + strings.Join(stay, ", ") + ") would look like somebody else's",
		Next: []string{
			"write role: manager for one of them in labs.yaml first, then remove",
			"without a labs.yaml of your own: dcalab config view >new.yaml && mv new.yaml labs.yaml makes one of the same lab",
		},
	}
	if len(strays) > 0 {
		gone := strings.Join(strays, ", ")
		e.What = "refused to remove " + gone + " from the swarm"
		e.Why = "none of the members that would stay (" + strings.Join(stay, ", ") + ") has role: manager in labs.yaml; by such a member dcalab knows which swarm is the lab's"
		e.Next = []string{
			"write role: manager for one of them in labs.yaml; make it one, if it is a worker: dcalab promote " + stay[0] + "; then dcalab up --prune",
			"or put " + gone + " back in labs.yaml",
		}
	}
	return e
}

// removal plans to take a node out of the swarm that its list holds.
func (r *changer) removal(m member, gone bool) ([]Step, error) {
	n, ours := r.view.Node(m.name)
	answers := ours && n.State.Answered()
	manager := m.IsManager() || m.Role == engine.RoleManager
	if !answers {
		if !gone {
			return nil, silent(m, n, ours)
		}
		return []Step{dropStep{on(m.name), m.ID, manager}}, nil
	}
	var steps []Step
	if manager {
		steps = append(steps, demoteStep{on(m.name), m.ID})
	}
	return append(steps, leaveStep{on: on(m.name), Cluster: r.view.Cluster, Why: "it is removed"}, dropStep{on(m.name), m.ID, false}), nil
}

// silent refuses to remove the entry of a node that may be alive.
func silent(m member, n NodeView, ours bool) error {
	e := &trouble.Error{
		ID: "node-not-answering", Exit: trouble.ExitRefused, What: "refused to remove " + m.name,
		Why:  "it does not answer (" + reason(n) + "), so that it cannot leave: if its entry is removed now, it will still consider itself a member when it returns",
		Next: []string{"start it first: dcalab start " + m.name, "if it is gone for good, remove its entry: dcalab remove --force " + m.name},
	}
	if !ours {
		e.Why = "it is not a node of the lab, so that it cannot be asked to leave"
		e.Next = []string{"let it leave by hand, there: docker swarm leave", "then remove its entry: dcalab remove --force " + m.ID}
	}
	return e
}

// remainder plans to clear what is left of a node of the lab that the swarm's
// list no longer holds: entries of its earlier lives, and a swarm that it
// believes to be in.
func (v View) remainder(n NodeView) []Step {
	var steps []Step
	if n.State == StateRemoved {
		steps = append(steps, leaveStep{on: on(n.Name), Cluster: n.Cluster, Why: "it was removed from there"})
	}
	for _, e := range v.Stale {
		if e.Lab == n.Name {
			steps = append(steps, dropStep{on(n.Name), e.ID, e.IsManager() || e.Role == engine.RoleManager})
		}
	}
	return steps
}

func (r *changer) remove(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		if s.Kind() == KindDemote {
			if err := r.change(ctx, s); err != nil {
				return err
			}
			continue
		}
		if err := r.step(ctx, s); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return &trouble.Error{
				ID: "remove-unfinished", Exit: trouble.ExitUnfinished, Where: s.Node(), What: s.String(), Why: cause(s.Node(), err),
				Next: []string{"see where it stands: dcalab status"}, Err: err,
			}
		}
	}
	return nil
}

// Members gives those of the named nodes of the lab that the swarm's list
// holds, by short name.
func (v View) Members(names ...string) []string {
	var out []string
	for _, name := range names {
		if n, ok := v.Node(name); ok && n.Listed && n.Want != lab.RoleNone {
			out = append(out, n.Name)
		}
	}
	return out
}

package swarm

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// PlanRemove plans to take the named nodes out of the swarm, one after the other
// and in order: a manager is demoted first, as by PlanDemote, then the node leaves
// the swarm, then its entry is removed. A node of the lab that is in no swarm is
// a success; entries that stand for what it was before go, too.
//
// A node that does not answer cannot leave: it is refused, unless gone lets its
// entry be removed all the same. Errors are those of PlanDemote,
// node-not-answering, last-wanted-manager; run, remove-unfinished.
func PlanRemove(v View, names []string, gone bool) (Plan, error) {
	p := Plan{View: v, end: endRemoval}
	var listed []string
	var outside []NodeView
	for _, name := range names {
		if n, ok := v.Node(name); ok && !n.Listed {
			outside = append(outside, n)
		} else {
			listed = append(listed, name)
		}
	}
	members, err := p.resolve(listed, false)
	if err != nil {
		return p, err
	}
	silentFirst(v, members)
	var ids []string
	var steps []Step
	anchor := guardLastIdentifyingManager(v, members)
	for _, m := range members {
		ids = append(ids, m.ID)
		out, err := planRemoval(v, m, gone)
		if err != nil {
			return p, cmp.Or(anchor, err) // gone, which err advises, would not help
		}
		steps = append(steps, out...)
	}
	if err := v.GuardRemoval(ids...); err != nil {
		if anchor != nil && slices.ContainsFunc(v.Nodes, func(n NodeView) bool { return n.Orphan }) {
			return p, anchor // what err advises would not help
		}
		return p, err
	}
	if anchor != nil {
		return p, anchor
	}
	for _, n := range outside {
		rest := planCleanup(v, n)
		p.Nodes = append(p.Nodes, Changed{Name: n.Name, ID: n.NodeID, Already: len(rest) == 0})
		steps = append(steps, rest...)
	}
	for _, s := range steps {
		p.stageThat(stopRun, "remove", s)
	}
	p.Runbook = v.Runbook(steps)
	return p, nil
}

// guardLastIdentifyingManager refuses to take out the last member that labs.yaml calls a
// manager, or that it no longer has: by these, dcalab knows which swarm is the
// lab's.
func guardLastIdentifyingManager(v View, going []member) error {
	before, after := 0, 0
	var stay, orphans []string
	for _, n := range v.Nodes {
		goes := slices.ContainsFunc(going, func(m member) bool { return m.ID == n.NodeID })
		switch {
		case !n.Listed:
		case n.Want == lab.RoleManager || n.Orphan:
			before++
			if !goes {
				after++
			} else if n.Orphan {
				orphans = append(orphans, n.Name)
			}
		case !goes:
			stay = append(stay, n.Name)
		}
	}
	if before == 0 || after > 0 || len(stay) == 0 && len(orphans) > 0 {
		return nil
	}
	e := &trouble.Error{
		ID: "last-wanted-manager", Exit: trouble.ExitRefused,
		What: "refused to remove the last member with role: manager in labs.yaml",
		Why:  "dcalab recognises the lab's swarm by a member that has role: manager in labs.yaml; the rest (" + strings.Join(stay, ", ") + ") would look like another swarm",
		Next: []string{
			"set role: manager for one of them in labs.yaml first, then remove",
			"without a labs.yaml of your own: dcalab config view >new.yaml && mv new.yaml labs.yaml makes one of the same lab",
		},
	}
	if len(orphans) > 0 {
		gone := strings.Join(orphans, ", ")
		e.What = "refused to remove " + gone + " from the swarm"
		e.Why = "none of the members that would stay (" + strings.Join(stay, ", ") + ") has role: manager in labs.yaml; dcalab recognises the lab's swarm by such a member"
		e.Next = []string{
			"set role: manager for one of them in labs.yaml; if it is a worker, promote it: dcalab promote " + stay[0] + "; then dcalab up --prune",
			"or put " + gone + " back in labs.yaml",
		}
	}
	return e
}

// planRemoval plans to take a node out of the swarm that its list holds.
func planRemoval(v View, m member, gone bool) ([]Step, error) {
	n, ours := v.Node(m.name)
	answers := ours && n.State.Answered()
	manager := m.IsManager() || m.Role == engine.RoleManager
	if !answers {
		if !gone {
			return nil, silent(m, n, ours)
		}
		return []Step{removeEntryStep{on(m.name), m.ID, manager}}, nil
	}
	var steps []Step
	if manager {
		steps = append(steps, demoteStep{on(m.name), m.ID})
	}
	return append(steps, leaveStep{on: on(m.name), Cluster: v.Cluster, Why: "it is removed"}, removeEntryStep{on(m.name), m.ID, false}), nil
}

// silent refuses to remove the entry of a node that may be alive.
func silent(m member, n NodeView, ours bool) error {
	e := &trouble.Error{
		ID: "node-not-answering", Exit: trouble.ExitRefused, What: "refused to remove " + m.name,
		Why:  "it does not answer (" + reason(n) + "), so it cannot leave: if its entry is removed now, it will still consider itself a member when it returns",
		Next: []string{"start it first: dcalab start " + m.name, "if it is gone for good, remove its entry: dcalab remove --force " + m.name},
	}
	if !ours {
		e.Why = "it is not a node of the lab, so it cannot be told to leave"
		e.Next = []string{"make it leave, on that node: docker swarm leave", "then remove its entry: dcalab remove --force " + m.ID}
	}
	return e
}

// planCleanup plans to clear what is left of a node of the lab that the swarm's
// list no longer holds: entries of the node before it was recreated, and a swarm that it
// believes to be in.
func planCleanup(v View, n NodeView) []Step {
	var steps []Step
	if n.State == StateRemoved {
		steps = append(steps, leaveStep{on: on(n.Name), Cluster: n.Cluster, Why: "it was removed from there"})
	}
	for _, e := range v.Stale {
		if e.Lab == n.Name {
			steps = append(steps, removeEntryStep{on(n.Name), e.ID, e.IsManager() || e.Role == engine.RoleManager})
		}
	}
	return steps
}

func endRemoval(ctx context.Context, r *Run, p Plan, failed []failure, res *Result) error {
	return r.endChange(ctx, p, res, changeErrors(ctx, failed, func(ctx context.Context, s Step, err error) error {
		if s.Kind() == KindDemote {
			return changeError(ctx, s, err)
		}
		if ctx.Err() != nil {
			return err
		}
		node := s.Node()
		return &trouble.Error{
			ID: "remove-unfinished", Exit: trouble.ExitUnfinished, Where: node, What: s.String(), Why: cause(node, err),
			Next: []string{"check the state: dcalab status"}, Err: err,
		}
	}))
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

package swarm

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// An engine that is promoted joins raft through the manager that it once joined
// the swarm through, for as long as it runs (moby#37175; fixed in 23.0.7,
// 25.0.6 and 26.1.3). Where that one is a manager no more, or is down, it gives
// up, and neither a second promotion nor a restart helps: it has to leave, and
// to join as what it is to be. Nothing of its own is lost by that, because it
// never came into raft; its labels and its availability are kept by its old
// entry, which therefore goes last.

// formerEntry gives the entry that holds the labels of a node that has to rejoin:
// of one whose engine gave up without being in raft, and of one that has left
// for that reason, when whoever did it was interrupted.
func formerEntry(v View, n NodeView) (engine.Node, bool) {
	if n.State == StateError {
		at := find(v.entries(), n.NodeID)
		if at < 0 || !n.Listed || v.entries()[at].IsManager() {
			return engine.Node{}, false
		}
		return v.entries()[at], true
	}
	for _, e := range v.Stale {
		if e.Lab == n.Name && e.Role == engine.RoleManager && !e.IsManager() && (n.State == StateInactive || n.State == StateMember) {
			return e.Node, true
		}
	}
	return engine.Node{}, false
}

// planRejoin plans to take a node in again that has a former entry and is no
// member, in this role.
func planRejoin(v View, n NodeView, role engine.Role) ([]Step, bool) {
	old, ok := formerEntry(v, n)
	if !ok || n.State == StateMember || n.State == StateError && unreachedByLeader(reason(n)) {
		return nil, false
	}
	return rejoinSteps(v, n, old, role), true
}

func rejoinSteps(v View, n NodeView, old engine.Node, role engine.Role) []Step {
	var steps []Step
	if n.State != StateInactive {
		steps = append(steps, leaveStep{on: on(n.Name), Cluster: v.Cluster, Why: "in error: to rejoin", failed: true})
	}
	steps = append(steps, joinStep{on(n.Name), role, n.Addr.String(), old.Availability})
	if len(old.Labels) > 0 {
		steps = append(steps, updateStep{on: on(n.Name), Labels: maps.Clone(old.Labels)})
	}
	a := awaitStep{Ready: []string{n.Name}}
	if role == engine.RoleManager {
		a.Reachable = a.Ready
	}
	return append(steps, removeEntryStep{on: on(n.Name), ID: old.ID}, a) // it is not in raft
}

// unreachedByLeader tells from what an engine says that the leader cannot reach
// it: rejoining would end in the same way (swarmkit, raft.ProcessConf).
func unreachedByLeader(said string) bool {
	return strings.Contains(said, "prospective new cluster member")
}

// account puts into the result what was done in the place of a promotion.
func (r *Run) account(res *Result) {
	if len(r.again) == 0 {
		return
	}
	var steps []Step
	for _, s := range res.Steps {
		if again := r.again[s.Node()]; again != nil && s.Kind() == KindPromote {
			steps = append(steps, again...)
		} else {
			steps = append(steps, s)
		}
	}
	res.Steps, res.Runbook = steps, r.view.Runbook(steps)
	for i, n := range res.Nodes {
		if now, ok := res.View.Node(n.Name); ok && r.again[n.Name] != nil && now.Listed {
			res.Nodes[i].ID = now.NodeID
		}
	}
}

// endPromotion ends a promotion: it looks whether the members that were promoted
// are Reachable managers still, and says which are not.
func endPromotion(ctx context.Context, r *Run, p Plan, failed []failure, res *Result) error {
	if err := endRoles(ctx, r, p, failed, res); err != nil {
		return err
	}
	promoted := slices.DeleteFunc(slices.Clone(p.Nodes), func(n Changed) bool { return n.Already })
	fallen := func(v View) error {
		var errs []error
		for _, n := range promoted {
			if why := whyNoManager(v, n); why != "" {
				errs = append(errs, &trouble.Error{ID: "change-unfinished", Exit: trouble.ExitUnfinished, Where: n.Name,
					What: "it was promoted, but is not an active manager any more", Why: why,
					Next: []string{"check the state: dcalab status", "if it is not running, start it: dcalab up " + n.Name}})
			}
		}
		return errors.Join(errs...)
	}
	if fallen(res.View) == nil {
		return nil
	}
	began := time.Now()
	v, err := r.awaitWith(ctx, HangTimeout, shortPauses(), Condition{"managers that take part", func(v View) Finding {
		hangs := slices.ContainsFunc(promoted, func(n Changed) bool { now, _ := v.Node(n.Name); return now.Hangs() })
		return Finding{Holds: fallen(v) == nil, Hopeless: !hangs && time.Since(began) > promotedTimeout}
	}})
	if err == nil || ctx.Err() == nil {
		res.View, res.After = v, v.Quorum
	}
	r.account(res)
	return fallen(res.View)
}

// whyNoManager says why a member that was promoted does not count as a manager that
// the leader reaches; empty where it does.
func whyNoManager(v View, m Changed) string {
	n, ours := v.Node(m.Name)
	id := m.ID
	if ours {
		switch {
		case !n.State.Answered():
			return reason(n)
		case n.State != StateMember:
			return "its engine is in state " + reason(n)
		}
		id = n.NodeID
	}
	list, ok := v.list()
	if !ok {
		return v.Quorum.String()
	}
	at := find(list, id)
	switch {
	case at < 0:
		return "it is no longer in the swarm's list"
	case !list[at].IsManager():
		return "the leader no longer lists it as a manager"
	case list[at].Reachability != engine.ReachabilityReachable:
		return "the leader calls it " + string(list[at].Reachability)
	}
	return ""
}

// late are the entries that are removed after their nodes have rejoined, by id.
func (p *planner) late() map[string]engine.Node {
	out := map[string]engine.Node{}
	for _, n := range p.v.Nodes {
		old, ok := formerEntry(p.v, n)
		if ok && n.Want != lab.RoleNone && (n.State != StateError || p.mustRejoin(n)) {
			out[old.ID] = old
		}
	}
	return out
}

// keptLabels are the labels that a node has that is about to rejoin, or has
// just done so, and that labs.yaml does not name.
func (p *planner) keptLabels(n NodeView) map[string]string {
	if old, ok := formerEntry(p.v, n); ok {
		return old.Labels
	}
	if n.State != StateForeign && n.Listed && p.mustRejoin(n) {
		return n.Labels
	}
	return nil
}

package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// PlanDissolve says how the lab's swarm, as v shows it, is taken down: the
// workers leave, all at once; then the managers, one after the other, are
// demoted and leave, those that the leader does not reach first and the leader last, so
// that what is left of the swarm keeps its quorum to the end; the last manager
// leaves by force. Where there is no quorum to keep, all leave by force. It is
// pure, and leaves the machines alone.
//
// Unfinished are nodes that cannot be asked and that are, or may be, in the
// swarm still. Run, what fails on the way stops nothing: that a demotion failed
// is told, and its node leaves by force. In the end it looks, and names in a
// *trouble.Error "dissolve-unfinished" (ExitUnfinished) the nodes that are, or
// may be, in the swarm still. The same plan finishes what was interrupted.
func PlanDissolve(v View) Plan {
	// A demotion that takes longer is not waited for: the node leaves by force.
	p := Plan{View: v, end: endDissolve, timeout: demotionTimeout}
	ours := func(n NodeView) bool {
		return n.State.Answered() && n.State != StateInactive && n.State != StateForeign
	}
	manages := func(n NodeView) bool { return n.Role == lab.RoleManager || n.WantedRole == lab.RoleManager }
	why := "the swarm is dissolved"
	var workers []Step
	var useless, managers []NodeView
	reaches := func(n NodeView) bool {
		at := find(v.entries(), n.NodeID)
		return at >= 0 && v.reaches(v.entries()[at])
	}
	var leader *NodeView
	for i, n := range v.Nodes {
		switch {
		case !n.State.Answered():
			if n.Listed && manages(n) {
				useless = append(useless, n)
			}
		case !ours(n):
		case !manages(n):
			workers = append(workers, leaveStep{on: on(n.Name), Cluster: n.Cluster, Why: why})
		case n.Leader:
			leader = &v.Nodes[i]
		case !reaches(n) || n.State != StateMember:
			useless = append(useless, n)
		default:
			managers = append(managers, n)
		}
	}
	managers = append(useless, managers...)
	if leader != nil {
		managers = append(managers, *leader)
	}
	p.stageThat(goOn, "workers", workers...)
	q := v.Quorum
	for _, e := range v.Stale {
		// The entry of a manager that is no more counts against those that are.
		if after := QuorumOf(q.Managers-1, q.Reachable); e.IsManager() && q.HasQuorum && after.HasQuorum {
			p.stageThat(goOn, "clear", removeEntryStep{on(e.Lab), e.ID, true})
			q = after
		}
	}
	for _, n := range managers {
		reachable := q.Reachable
		if n.Role == lab.RoleManager && reaches(n) {
			reachable--
		}
		after := QuorumOf(q.Managers-1, reachable)
		listed := n.Listed && n.Cluster == v.Cluster
		if n.Role != lab.RoleManager {
			after = q // it is on its way only
		}
		if listed && q.HasQuorum && after.HasQuorum {
			p.stageThat(goOn, "demote", demoteStep{on(n.Name), n.NodeID})
			q = after
		}
		if ours(n) {
			p.stageThat(goOn, "leave", leaveStep{on: on(n.Name), Cluster: n.Cluster, Why: why})
		}
	}
	p.Unfinished = mayRemain(v)
	p.Warnings = outsideTheLab(v)
	p.Runbook = v.Runbook(p.Steps())
	return p
}

// mayRemain names the nodes of the lab that do not answer and are, or may be,
// in its swarm.
func mayRemain(v View) []Unfinished {
	var out []Unfinished
	if len(v.Swarms) == 0 && v.Cluster == "" {
		return nil // no node that answers is in a swarm
	}
	for _, n := range v.Nodes {
		if n.State.Answered() || errors.Is(n.Err, ErrAbsent) || n.Want == lab.RoleNone && !n.Listed || v.Quorum.HasQuorum && !n.Listed {
			continue
		}
		out = append(out, Unfinished{Node: n.Name, Why: reason(n), Err: n.Err})
	}
	return out
}

// outsideTheLab warns of what a dissolve does not reach.
func outsideTheLab(v View) []string {
	var out []string
	for _, e := range v.Unknown {
		out = append(out, fmt.Sprintf("%s is in the swarm but is not a node of the lab: it considers itself a member until it leaves: docker swarm leave --force", e.Hostname))
	}
	for _, n := range v.Nodes {
		if n.State == StateForeign {
			out = append(out, n.Name+" is in another swarm, which is not the lab's: it stays there (to take it over: dcalab swarm bootstrap --take-over "+n.Name+")")
		}
	}
	return out
}

func endDissolve(ctx context.Context, r *Run, p Plan, _ []failure, res *Result) error {
	var interrupted error
	if err := ctx.Err(); err != nil {
		interrupted = &trouble.Error{ID: "interrupted", Exit: trouble.ExitInterrupted, What: "interrupted",
			Why:  "some nodes have left the swarm, others may still be in it",
			Next: []string{"finish it: dcalab swarm dissolve --yes", "or restore it: dcalab swarm bootstrap"}, Err: err}
		// What is left of the swarm has to be known all the same.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), interruptedTimeout)
		defer cancel()
	}
	if !p.Empty() {
		res.View = r.Observe(ctx)
		res.After = res.View.Quorum
	}
	left := p.Unfinished
	for _, n := range res.View.Nodes {
		planned := slices.ContainsFunc(res.Steps, func(s Step) bool { return s.Kind() == KindLeave && s.Node() == n.Name })
		if planned && n.State != StateInactive {
			left = append(left, Unfinished{Node: n.Name, Why: reason(n), Err: n.Err})
		}
	}
	if len(left) > 0 {
		for _, h := range groupBySwarm(p.View.Nodes, func(n NodeView) bool { return n.State != StateForeign }) {
			if !slices.ContainsFunc(res.View.Nodes, func(n NodeView) bool { return n.State.Answered() && n.Cluster == h.Cluster }) && h.Cluster != unknownCluster {
				res.Dissolved = append(res.Dissolved, h.Cluster)
			}
		}
	}
	if interrupted != nil {
		return interrupted
	}
	return notDissolved(left)
}

func notDissolved(left []Unfinished) error {
	if len(left) == 0 {
		return nil
	}
	var why, names []string
	var errs []error
	for _, u := range left {
		names = append(names, u.Node)
		why = append(why, u.Node+": "+u.Why)
		errs = append(errs, u.Err)
	}
	return &trouble.Error{ID: "dissolve-unfinished", Exit: trouble.ExitUnfinished,
		What: "some nodes could not leave, and may still consider themselves members",
		Why:  strings.Join(why, "; "),
		Next: []string{
			"start them: dcalab start " + strings.Join(names, " "),
			"then dcalab swarm dissolve takes them out of the old swarm, and dcalab swarm bootstrap into the new one",
		}, Err: errors.Join(errs...)}
}

package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
	"github.com/dcalab/dcalab/trouble"
)

// DissolveOptions of Dissolve.
type DissolveOptions struct {
	// View is what was observed just now; nil makes it observe first.
	View *View
	// Timeout is how long to wait for one manager to be demoted; zero means 20
	// seconds. One that is not by then leaves all the same.
	Timeout time.Duration
}

// Dissolved is what Dissolve did.
type Dissolved struct {
	// Steps that were planned, in order; none where no node was in a swarm.
	Steps []Step
	// Lesson is what a person would type for Steps.
	Lesson lesson.Lesson
	View   View // at the end
	// Left are the ids of swarms that no node is in any more that answers, and
	// that others may come back into: Target.Dissolved, from now on.
	Left []string
}

// PlanDissolve says how the lab's swarm, as v shows it, is taken down: the
// workers leave, all at once; then the managers, one after the other, are
// demoted and leave, those that the leader does not reach first and the leader last, so
// that what is left of the swarm keeps its quorum to the end; the last manager
// leaves by force. Where there is no quorum to keep, all leave by force. It is
// pure.
//
// Unfinished are nodes that cannot be asked and that are, or may be, in the
// swarm still.
func PlanDissolve(v View) Plan {
	var p Plan
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
	p.stage("workers", workers)
	q := v.Quorum
	for _, e := range v.Stale {
		// The entry of a manager that is no more counts against those that are.
		if after := QuorumOf(q.Managers-1, q.Reachable); e.IsManager() && q.HasQuorum && after.HasQuorum {
			p.stage("clear", []Step{dropStep{on(e.Lab), e.ID, true}})
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
			p.stage("demote", []Step{demoteStep{on(n.Name), n.NodeID}})
			q = after
		}
		if ours(n) {
			p.stage("leave", []Step{leaveStep{on: on(n.Name), Cluster: n.Cluster, Why: why}})
		}
	}
	p.Unfinished = v.mayRemain()
	p.Warnings = v.beyond()
	p.Lesson = v.Lesson(p.Steps())
	return p
}

// mayRemain names the nodes of the lab that do not answer and are, or may be,
// in its swarm.
func (v View) mayRemain() []Unfinished {
	var out []Unfinished
	if len(v.Swarms) == 0 && v.Cluster == "" {
		return nil // of those who answer nobody is in one
	}
	for _, n := range v.Nodes {
		if n.State.Answered() || errors.Is(n.Err, ErrAbsent) || n.Want == lab.RoleNone && !n.Listed || v.Quorum.HasQuorum && !n.Listed {
			continue
		}
		out = append(out, Unfinished{Node: n.Name, Why: reason(n), Err: n.Err})
	}
	return out
}

// beyond tells of what a dissolve does not reach.
func (v View) beyond() []string {
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

// Dissolve takes the lab's swarm down, as PlanDissolve has it, and leaves the
// machines alone. It needs no quorum. What fails on the way stops nothing: in
// the end it looks, and names in a *trouble.Error "dissolve-unfinished"
// (ExitUnfinished) the nodes that are, or may be, in the swarm still. The same
// call finishes what was interrupted.
func (c *Cluster) Dissolve(ctx context.Context, o DissolveOptions) (Dissolved, error) {
	var d Dissolved
	if o.View != nil {
		d.View = *o.View
	} else {
		d.View = c.Observe(ctx)
	}
	if o.Timeout <= 0 {
		o.Timeout = demotionTimeout
	}
	before := d.View.Nodes
	plan := PlanDissolve(d.View)
	d.Steps = plan.Steps()
	d.Lesson = plan.Lesson
	limited := *c
	limited.o.Timeout = o.Timeout
	r := &changer{Run: limited.begin(d.View)}
	r.lastFirst(d.Steps)
	for _, stage := range plan.Stages {
		if ctx.Err() != nil {
			break
		}
		each(len(stage.Steps), func(i int) { r.dissolve(ctx, stage.Steps[i]) })
	}
	r.asking.Wait()
	var interrupted error
	if err := ctx.Err(); err != nil {
		interrupted = &trouble.Error{ID: "interrupted", Exit: trouble.ExitInterrupted, What: "interrupted",
			Why:  "some nodes have left the swarm, others may be in it still",
			Next: []string{"finish it: dcalab swarm dissolve --yes", "or make it whole again: dcalab swarm bootstrap"}, Err: err}
		// What is left of the swarm has to be known all the same.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), interruptedTimeout)
		defer cancel()
	}
	if len(d.Steps) > 0 {
		d.View = c.Observe(ctx)
	}
	left := plan.Unfinished
	for _, n := range d.View.Nodes {
		planned := slices.ContainsFunc(d.Steps, func(s Step) bool { return s.Kind() == KindLeave && s.Node() == n.Name })
		switch {
		case !planned:
		case n.State == StateInactive:
		default:
			left = append(left, Unfinished{Node: n.Name, Why: reason(n), Err: n.Err})
		}
	}
	if len(left) > 0 {
		was := halves(before, func(n NodeView) bool { return n.State != StateForeign })
		for _, h := range was {
			if !slices.ContainsFunc(d.View.Nodes, func(n NodeView) bool { return n.State.Answered() && n.Cluster == h.Cluster }) && h.Cluster != unknownCluster {
				d.Left = append(d.Left, h.Cluster)
			}
		}
	}
	if interrupted != nil {
		return d, interrupted
	}
	return d, notDissolved(left)
}

// lastFirst puts the manager that leaves last before the others, because it
// is the one that can be asked throughout.
func (r *changer) lastFirst(steps []Step) {
	at := func(name string) int {
		return slices.IndexFunc(steps, func(s Step) bool { return s.Node() == name && s.Kind() == KindLeave })
	}
	slices.SortStableFunc(r.via, func(a, b string) int { return at(b) - at(a) })
}

// dissolve does one step. That a demotion failed is told and no reason to
// stop: its node leaves by force.
func (r *changer) dissolve(ctx context.Context, s Step) {
	if s.Kind() != KindDemote {
		_ = r.step(ctx, s) // told; where it stands in the end is looked at
		return
	}
	if _, err := r.view.resolve(s.Node()); err == nil {
		_ = r.step(ctx, s)
	}
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
			"then dcalab swarm dissolve takes them out, and dcalab swarm bootstrap into the next swarm",
		}, Err: errors.Join(errs...)}
}

package swarm

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// maxRounds of observe, plan, run. One does for most; a swarm that has to
// elect a leader or unlock first takes three.
const maxRounds = 6

// Converge observes, plans and runs until the swarm is what l wants. The error
// is a refusal of PlanBootstrap (nothing was touched by this round), a
// *trouble.Error with ID "interrupted", or one with ID "swarm-unfinished" and
// ExitUnfinished that names the nodes that are not what labs.yaml wants, and
// why. The result is of all rounds, and filled in either way.
func (c *Cluster) Converge(ctx context.Context, l *lab.Lab, o PlanOptions) (Result, error) {
	var res Result
	res.View = c.Observe(ctx)
	res.Before, res.After = res.View.Quorum, res.View.Quorum
	for range maxRounds {
		if err := interrupted(ctx, o.command()); err != nil {
			return res, err
		}
		plan, err := PlanBootstrap(l, res.View, o)
		if err != nil {
			return res, err
		}
		res.View, res.Unfinished, res.Warnings = plan.View, plan.Unfinished, plan.Warnings
		if plan.Empty() {
			return res, unfinished(o.command(), res.Unfinished, nil)
		}
		// From now on these are in the lab's swarm, and nobody's to take over.
		for _, s := range plan.Steps() {
			switch s.Kind() {
			case KindLeave, KindInit, KindJoin:
				o.TakeOver = slices.DeleteFunc(slices.Clone(o.TakeOver), func(name string) bool { return name == s.Node() })
			}
		}
		round, _ := c.Run(ctx, plan)
		res.View, res.After = round.View, round.After
		res.Steps = append(res.Steps, round.Steps...)
		res.Runbook = append(res.Runbook, round.Runbook...)
		if err := interrupted(ctx, o.command()); err != nil {
			return res, err
		}
		// Who hangs for good stops nobody else: the next plan does without.
		res.Failed = slices.DeleteFunc(round.Failed, func(u Unfinished) bool {
			if u.hung {
				o.ignoreHung = append(slices.Clone(o.ignoreHung), u.Node)
			}
			return u.hung
		})
		if len(res.Failed) > 0 {
			return res, unfinished(o.command(), res.Unfinished, res.Failed)
		}
	}
	o.TakeOver = nil
	plan, err := PlanBootstrap(l, res.View, o)
	if err != nil {
		return res, err
	}
	var stuck []Unfinished
	for _, s := range plan.Steps() {
		stuck = append(stuck, Unfinished{Node: s.Node(), Why: "still to do after several rounds: " + s.String()})
	}
	return res, unfinished(o.command(), plan.Unfinished, stuck)
}

// endBootstrap ends one round.
func endBootstrap(ctx context.Context, r *Run, p Plan, failed []failure, res *Result) error {
	res.Steps, res.Runbook = r.begun, p.View.Runbook(r.begun)
	for _, f := range failed {
		s := f.step
		u := Unfinished{Node: s.Node(), Why: s.String() + ": " + cause(s.Node(), f.err), Err: f.err}
		if w, ok := s.(waitStep); ok && w.hung {
			u.hung = true
		} else if ok || s.Kind() == KindUnlock {
			u.next = "if " + s.Node() + " cannot come back by itself, it can leave and rejoin: dcalab swarm bootstrap --take-over " + s.Node()
		}
		res.Failed = append(res.Failed, u)
	}
	if err := interrupted(ctx, p.command); err != nil {
		return err
	}
	if !p.Empty() {
		res.View = r.look(ctx, p, slices.ContainsFunc(res.Failed, func(u Unfinished) bool { return !u.hung }))
		res.After = res.View.Quorum
	}
	return unfinished(p.command, res.Unfinished, res.Failed)
}

// look gives the view after a round: what the last await saw, where it saw
// everything, else a new observation.
func (r *Run) look(ctx context.Context, plan Plan, failed bool) View {
	last := plan.Stages[len(plan.Stages)-1].Steps
	for _, s := range plan.Steps() {
		if w, ok := s.(waitStep); ok && w.hung {
			return r.Observe(ctx) // only a look reads certificates
		}
	}
	if _, ok := last[len(last)-1].(awaitStep); !ok || failed || r.list == nil {
		return r.Observe(ctx)
	}
	facts := r.facts
	cluster := ""
	for i, t := range r.targets {
		f := &facts[i]
		if slices.Contains(r.via, t.Name) && f.answered() && f.info.ClusterID != "" {
			cluster = f.info.ClusterID
		}
		f.listed, f.nodes, f.nodesErr = false, nil, nil
	}
	for i := range facts {
		if facts[i].answered() && facts[i].info.Control && facts[i].info.ClusterID == cluster && cluster != "" {
			facts[i].listed, facts[i].nodes = true, r.list
			return classify(labNodes(r.targets), facts, nil)
		}
	}
	return r.Observe(ctx)
}

func interrupted(ctx context.Context, command string) error {
	if err := ctx.Err(); err != nil {
		return &trouble.Error{ID: "interrupted", Exit: trouble.ExitInterrupted, What: "interrupted",
			Why:  "what was started on the nodes continues there",
			Next: []string{"to continue, run the same command: " + command}, Err: err}
	}
	return nil
}

// unfinished makes one error of the nodes that were left out and those whose
// steps failed; nil where there are none.
func unfinished(command string, left, failed []Unfinished) error {
	all := append(slices.Clone(failed), left...)
	if len(all) == 0 {
		return nil
	}
	var why []string
	var errs []error
	var next []string
	for _, u := range all {
		if u.next != "" {
			next = append(next, u.next)
		}
		if u.Node != "" {
			why = append(why, u.Node+": "+u.Why)
		} else {
			why = append(why, u.Why)
		}
		errs = append(errs, u.Err)
	}
	next = append(append(next, trouble.Advice(errors.Join(errs...))...), "check the state: dcalab status", "then continue: "+command)
	return &trouble.Error{ID: "swarm-unfinished", Exit: trouble.ExitUnfinished,
		What: "the swarm is not yet what labs.yaml asks for", Why: strings.Join(why, "; "),
		Next: next, Err: errors.Join(errs...)}
}

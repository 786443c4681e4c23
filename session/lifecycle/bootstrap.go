package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
)

type bootstrap struct {
	Operator
	options swarm.PlanOptions
	after   *Up // which has connected nodes already; nil where none was
}

// Bootstrap brings the lab's engines into the swarm that labs.yaml describes. The
// nodes named may be taken out of another swarm that they are in.
func (s Swarm) Bootstrap(takeOver ...string) Operation {
	return bootstrap{Operator: s.of, options: swarm.PlanOptions{TakeOver: takeOver}}
}

// Bootstrap is Swarm.Bootstrap of the nodes that are up.
func (u *Up) Bootstrap() Operation { return bootstrap{Operator: u.Operator, after: u} }

// Join takes these nodes alone into the swarm.
func (s Swarm) Join(nodes ...string) Operation {
	return bootstrap{Operator: s.of, options: swarm.PlanOptions{Only: nodes}}
}

func (bootstrap) NeedsRoot() bool { return false }

func (b bootstrap) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	var p Plan
	if err := b.possible(); err != nil {
		return p, err
	}
	v, engines, err := b.Observe(ctx)
	if err != nil {
		return p, err
	}
	defer engines.Close()
	plan, err := swarm.PlanBootstrap(b.Lab(), v, b.options)
	if err != nil {
		return p, err
	}
	p.change(plan.Result())
	for _, u := range plan.Unfinished {
		p.Warnings = append(p.Warnings, u.Node+": "+u.Why)
	}
	return p, nil
}

func (b bootstrap) possible() error {
	if err := b.MustExist(); err != nil {
		return err
	}
	return b.SameSubnet()
}

func (b bootstrap) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	b.Faults().warn(tell)
	if err := b.possible(); err != nil {
		return Outcome{}, err
	}
	var pool *session.Pool
	done := 0
	if b.after != nil {
		pool, done = b.after.pool, b.after.formed
	}
	engines, err := b.AllEngines(ctx, pool)
	if err != nil {
		return Outcome{}, err
	}
	defer engines.Close()
	result, err := engines.Cluster(swarm.Options{Progress: session.Events(tell)}).Converge(ctx, b.Lab(), b.options)
	tellMembers(tell, result.View, func(n swarm.NodeView) string { return b.became(result, n) })
	out := Outcome{Warnings: result.Warnings, Runbook: result.Runbook}
	if err != nil {
		return out, err
	}
	done += len(result.Steps)
	switch {
	case len(b.options.Only) > 0:
	case done == 0 && len(result.Warnings) > 0:
		out.Notes = append(out.Notes, "nothing to do for bootstrap: see the warnings above")
	case done == 0:
		out.Notes = append(out.Notes, "nothing to do: the swarm is as labs.yaml describes it")
	}
	out.Notes = append(out.Notes, fmt.Sprintf("swarm %s: %s", result.View.Cluster, result.View.Quorum))
	if len(b.options.Only) == 0 && done > 0 && b.Lab().Swarm.Autolock {
		out.Notes = append(out.Notes, "autolock is on: keep the key that dcalab swarm unlock-key shows; without it a restart of all managers ends the swarm")
	}
	return out, nil
}

// became says what a member of the swarm is in the end, where that is news.
func (b bootstrap) became(result swarm.Result, n swarm.NodeView) string {
	switch {
	case len(b.options.Only) == 0 && len(result.Steps) == 0, len(b.options.Only) > 0 && !slices.Contains(b.options.Only, n.Name):
		return ""
	case len(b.options.Only) == 0, changed(result, n.Name):
		return n.Summary()
	}
	return "is in the swarm already: " + n.Summary()
}

// changed tells whether a node had a step.
func changed(result swarm.Result, node string) bool {
	return slices.ContainsFunc(result.Steps, func(step swarm.Step) bool { return step.Node() == node })
}

// tellMembers says of each member of the swarm what it is in the end; of whom there are
// no words, nothing.
func tellMembers(tell session.Reporter, v swarm.View, words func(swarm.NodeView) string) {
	for _, n := range v.Nodes {
		if n.State != swarm.StateMember || !n.Listed {
			continue
		}
		if say := words(n); say != "" {
			tell.Done(n.Name, say)
		}
	}
}

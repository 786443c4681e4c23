package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

type dissolve struct{ Operator }

// Dissolve takes the whole swarm down gracefully. The machines stay.
func (s Swarm) Dissolve() Operation { return dissolve{s.of} }

func (dissolve) NeedsRoot() bool { return false }

// look plans. It waits for a leader where enough managers run to elect one, and
// for members that hang: they could not be told to leave. Where none comes, it
// goes on without. The caller closes the engines.
func (d dissolve) look(ctx context.Context, tell session.Reporter) (swarm.Plan, *session.Engines, error) {
	engines := d.Unconnected()
	v, err := engines.Await(ctx, swarm.ElectionTimeout, session.Waiting(tell), swarm.MembersAnswer(engines.Running))
	var unmet *swarm.UnmetError
	if err == nil || errors.As(err, &unmet) {
		err = engines.NoneReachable()
	}
	if err != nil {
		engines.Close()
		return swarm.Plan{}, nil, err
	}
	return swarm.PlanDissolve(v), engines, nil
}

func (d dissolve) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	var p Plan
	plan, engines, err := d.look(ctx, tell)
	if err != nil {
		return p, err
	}
	defer engines.Close()
	p.change(plan.Result())
	for _, u := range plan.Unfinished {
		p.Warnings = append(p.Warnings, u.Node+" may stay in it: "+u.Why)
	}
	if !plan.Empty() || len(plan.Unfinished) > 0 {
		p.Question = dissolveQuestion(ctx, plan.View, engines)
	}
	return p, nil
}

func (d dissolve) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	plan, engines, err := d.look(ctx, tell)
	if err != nil {
		return Outcome{}, err
	}
	defer engines.Close()
	warn(tell, plan.Warnings...)
	if plan.Empty() && len(plan.Unfinished) == 0 {
		return Outcome{Notes: []string{"nothing to do: no node that answers is in the lab's swarm"}, Runbook: plan.Runbook}, nil
	}
	result, err := engines.Cluster(swarm.Options{Progress: session.Events(tell)}).Run(ctx, plan)
	for _, n := range result.View.Nodes {
		if before, ok := plan.View.Node(n.Name); ok && n.State == swarm.StateInactive && before.State != swarm.StateInactive {
			tell.Done(n.Name, "in no swarm")
		}
	}
	if len(result.Dissolved) > 0 {
		err = errors.Join(err, d.Dissolved(result.Dissolved...))
	}
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Notes: []string{"the swarm is dissolved; a new one: dcalab swarm bootstrap"}, Runbook: result.Runbook}, nil
}

// dissolveQuestion says what is lost.
func dissolveQuestion(ctx context.Context, v swarm.View, engines *session.Engines) string {
	var members []string
	for _, n := range v.Nodes {
		if n.Listed || n.Cluster != "" && n.State != swarm.StateForeign {
			members = append(members, n.Name)
		}
	}
	what := "what is in it cannot be told, because it has no quorum"
	if holdings, err := engines.Cluster(swarm.Options{}).Holdings(ctx, v); err == nil {
		what = lost(holdings)
	}
	return fmt.Sprintf("dissolve the swarm of %s? %s; the machines stay", strings.Join(members, ", "), what)
}

// lost names what goes with a swarm.
func lost(h engine.Holdings) string {
	var parts []string
	for _, kind := range []struct {
		one   string
		names []string
	}{{"service", h.Services}, {"secret", h.Secrets}, {"config", h.Configs}, {"network", h.Networks}} {
		if n := len(kind.names); n > 0 {
			parts = append(parts, fmt.Sprintf("%s (%s)", trouble.Count(n, kind.one), strings.Join(kind.names, ", ")))
		}
	}
	if len(parts) == 0 {
		return "it has no services, secrets, configs or networks of its own"
	}
	return "lost with it: " + strings.Join(parts, ", ")
}

package swarm

import (
	"context"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// how is how the calls below are made.
type how struct {
	Timeout        time.Duration
	Progress       func(Event)
	View           *View
	TakeOver, Only []string
	Force, Gone    bool
	DryRun         bool
}

func (h how) cluster(targets []Target) *Cluster {
	return New(targets, Options{Timeout: h.Timeout, Progress: h.Progress})
}

// change observes, plans and runs, as a command does.
func (h how) change(ctx context.Context, targets []Target, names []string, whom Awaited, plan func(View) (Plan, error)) (Result, error) {
	c := h.cluster(targets)
	var v View
	if h.View != nil {
		v = *h.View
	} else {
		var err error
		if v, err = c.Changeable(ctx, names, whom, h.DryRun); err != nil {
			return Plan{View: v}.Result(), err
		}
	}
	p, err := plan(v)
	if err != nil || h.DryRun {
		return p.Result(), err
	}
	return c.Run(ctx, p)
}

func observe(ctx context.Context, targets []Target) View {
	return how{}.cluster(targets).Observe(ctx)
}

func bootstrap(ctx context.Context, l *lab.Lab, targets []Target, h how) (Result, error) {
	return h.cluster(targets).Converge(ctx, l, PlanOptions{TakeOver: h.TakeOver, Only: h.Only})
}

func promote(ctx context.Context, targets []Target, names []string, h how) (Result, error) {
	return h.change(ctx, targets, names, AwaitNamed, func(v View) (Plan, error) { return PlanPromote(v, names) })
}

func demote(ctx context.Context, targets []Target, names []string, h how) (Result, error) {
	return h.change(ctx, targets, names, AwaitManagers, func(v View) (Plan, error) { return PlanDemote(v, names, h.Force) })
}

func remove(ctx context.Context, targets []Target, names []string, h how) (Result, error) {
	return h.change(ctx, targets, names, AwaitManagers, func(v View) (Plan, error) { return PlanRemove(v, names, h.Gone) })
}

func setAvailability(ctx context.Context, targets []Target, names []string, want engine.Availability, h how) (Result, error) {
	return h.change(ctx, targets, names, AwaitLeader, func(v View) (Plan, error) { return PlanAvailability(v, names, want) })
}

func setLabels(ctx context.Context, targets []Target, names []string, set map[string]string, drop []string, h how) (Result, error) {
	return h.change(ctx, targets, names, AwaitLeader, func(v View) (Plan, error) { return PlanLabels(v, names, set, drop) })
}

func dissolve(ctx context.Context, targets []Target, h how) (Result, error) {
	c := h.cluster(targets)
	if h.View == nil {
		v := c.Observe(ctx)
		h.View = &v
	}
	return c.Run(ctx, PlanDissolve(*h.View))
}

func unlockAll(ctx context.Context, targets []Target, v View, key engine.Secret) ([]string, error) {
	res, err := how{}.cluster(targets).Run(ctx, PlanUnlock(v, key))
	var done []string
	for _, n := range res.Nodes {
		done = append(done, n.Name)
	}
	return done, err
}

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

func (h how) change() ChangeOptions {
	return ChangeOptions{Force: h.Force, Gone: h.Gone, DryRun: h.DryRun, View: h.View}
}

func observe(ctx context.Context, targets []Target) View {
	return how{}.cluster(targets).Observe(ctx)
}

func bootstrap(ctx context.Context, l *lab.Lab, targets []Target, h how) (Result, error) {
	return h.cluster(targets).Apply(ctx, l, PlanOptions{TakeOver: h.TakeOver, Only: h.Only, View: h.View})
}

func promote(ctx context.Context, targets []Target, names []string, h how) (Change, error) {
	return h.cluster(targets).Promote(ctx, names, h.change())
}

func demote(ctx context.Context, targets []Target, names []string, h how) (Change, error) {
	return h.cluster(targets).Demote(ctx, names, h.change())
}

func remove(ctx context.Context, targets []Target, names []string, h how) (Change, error) {
	return h.cluster(targets).Remove(ctx, names, h.change())
}

func setAvailability(ctx context.Context, targets []Target, names []string, want engine.Availability, h how) (Change, error) {
	return h.cluster(targets).SetAvailability(ctx, names, want, h.change())
}

func setLabels(ctx context.Context, targets []Target, names []string, set map[string]string, drop []string, h how) (Change, error) {
	return h.cluster(targets).SetLabels(ctx, names, set, drop, h.change())
}

func dissolve(ctx context.Context, targets []Target, h how) (Dissolved, error) {
	return h.cluster(targets).Dissolve(ctx, DissolveOptions{View: h.View, Timeout: h.Timeout})
}

func unlockAll(ctx context.Context, targets []Target, v View, key engine.Secret) ([]string, error) {
	return how{}.cluster(targets).Unlock(ctx, v, key)
}

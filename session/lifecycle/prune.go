package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/drivers"
	"github.com/dcalab/dcalab/session"
)

// OrphanedLab is a lab that no folder holds any more.
type OrphanedLab struct {
	Operator
	// What it is, in words, with its machines.
	What string

	settings   session.Settings
	remembered drivers.Remembered
	nodes      []string
}

// OrphanedLabs finds those that session.Settings.OrphanedLabs does.
func OrphanedLabs(ctx context.Context, set session.Settings) ([]OrphanedLab, error) {
	var out []OrphanedLab
	for _, r := range set.OrphanedLabs() {
		s, err := set.OpenOrphaned(r)
		if err != nil {
			return nil, err
		}
		left, err := s.Orphans(ctx)
		if err != nil {
			return nil, err
		}
		one := OrphanedLab{Operator: Operator{Session: s}, settings: set, remembered: r, nodes: slices.Sorted(maps.Keys(left))}
		one.What = fmt.Sprintf("lab %s, made in %s", r.Lab, r.Root)
		if len(one.nodes) > 0 {
			one.What += ": " + strings.Join(one.nodes, ", ")
		}
		out = append(out, one)
	}
	return out, nil
}

type prune []OrphanedLab

// Prune destroys the machines of labs that no folder holds. These have no lock.
func Prune(labs []OrphanedLab) Operation { return prune(labs) }

func (p prune) NeedsRoot() bool {
	return slices.ContainsFunc(p, func(one OrphanedLab) bool { return one.NeedsRoot() })
}

func (p prune) Plan(context.Context, session.Reporter) (Plan, error) {
	plan := Plan{Question: "the folders of these labs are gone: destroy their machines, with all that is on them?"}
	for _, one := range p {
		plan.add("%s: destroy its machines, with all that is on them", one.What)
		plan.types(one.ExplainMachines(machine.Deed{Act: machine.ActDestroy, Nodes: one.nodes}))
	}
	return plan, nil
}

func (p prune) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	plan, err := p.Plan(ctx, tell)
	if err != nil {
		return Outcome{}, err
	}
	for _, one := range p {
		name := one.Lab().Name
		if err := one.Driver().Destroy(ctx, machine.Observer{Step: func(node, what string) { tell.Step(name, node+": "+what) }}); err != nil {
			return Outcome{}, err
		}
		tell.Done(name, "removed")
		one.settings.ForgetOrphaned(one.remembered)
	}
	return Outcome{Runbook: plan.Runbook}, nil
}

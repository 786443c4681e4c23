// Package lifecycle is what is done to the machines of an opened lab: halt,
// destroy, reset and the like. Each is an Operation, which plans, runs and gives
// the runbook of the same from one description. It neither prints nor asks.
package lifecycle

import (
	"context"
	"fmt"
	"os"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// Operation is something that is done to a lab.
type Operation interface {
	// NeedsRoot: Run needs rights on this machine that only root may have. Plan
	// does without, as far as it can.
	NeedsRoot() bool
	// Plan tells what Run would do now, or why it would refuse. It changes
	// nothing, and needs no lock.
	Plan(context.Context, session.Reporter) (Plan, error)
	// Run does it. The caller holds the lab's lock. Run looks at the lab
	// itself: what was planned without the lock may have changed.
	Run(context.Context, session.Reporter) (Outcome, error)
}

// Plan is what an operation would do.
type Plan struct {
	// Lines are what would be done, one a step; none: there is nothing to do.
	Lines    []string
	Warnings []string
	// Question is to be answered with yes before Run; empty where there is
	// nothing to ask.
	Question string
	// Declined is what a no to it means, where that has to be said.
	Declined string
	// Runbook is what a person would type for the same.
	Runbook runbook.Runbook
}

// Outcome is the result of an operation.
type Outcome struct {
	// Warnings and Notes are to be told when everything is over; warnings where
	// there is an error, too.
	Warnings, Notes []string
	// Runbook is what a person would have typed for what was done.
	Runbook runbook.Runbook
}

func (p *Plan) add(format string, args ...any) {
	p.Lines = append(p.Lines, fmt.Sprintf(format, args...))
}

func (p *Plan) types(l runbook.Runbook) { p.Runbook = append(p.Runbook, l...) }

// change adds what would be changed in the swarm.
func (p *Plan) change(r swarm.Result) {
	p.Lines = append(p.Lines, Lines(r.Steps)...)
	p.Warnings = append(p.Warnings, r.Warnings...)
	p.types(r.Runbook)
}

// Lines are steps of the swarm as a plan tells them.
func Lines(steps []swarm.Step) []string {
	var out []string
	for _, step := range steps {
		line := step.String()
		if step.Node() != "" {
			line = step.Node() + ": " + line
		}
		out = append(out, line)
	}
	return out
}

// Operator makes the operations on one lab: those on its machines itself, those on its
// swarm, its snapshots and its faults by Swarm, Snapshots and Faults.
type Operator struct {
	*session.Session
	// Explain: the outcome's runbook is needed. Without it, what only the runbook
	// would tell is not asked for.
	Explain bool
	// HealLater starts a process that heals a fault when its time is over, which
	// the lab's list of faults tells: for what no node can end by itself. Where it is
	// nil, such a fault has no end.
	HealLater func(fault string) error
}

// NeedsRoot tells it of what makes, starts, halts and removes machines.
func (o Operator) NeedsRoot() bool { return o.Driver().Traits().NeedsRoot }

// lacksRoot: only a plan can be made.
func (o Operator) lacksRoot() bool { return o.NeedsRoot() && os.Geteuid() != 0 }

// runningOf are those of the nodes whose machines run.
func runningOf(nodes []lab.Node, machines map[string]machine.Status) []string {
	var out []string
	for _, n := range nodes {
		if machines[n.Name] == machine.StatusRunning {
			out = append(out, n.Name)
		}
	}
	return out
}

// cut is err, or what it means that the operation was interrupted.
func cut(ctx context.Context, err error, why string, next ...string) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &trouble.Error{ID: "interrupted", What: "interrupted", Why: why, Next: next, Exit: trouble.ExitInterrupted, Err: ctx.Err()}
}

func warn(tell session.Reporter, lines ...string) {
	for _, line := range lines {
		tell.Warn(line)
	}
}

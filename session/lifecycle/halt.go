package lifecycle

import (
	"context"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
)

type halt struct {
	Operator
	nodes []lab.Node
	force bool
}

// Halt shuts machines down gracefully, and keeps their disks. Without force it
// refuses to halt some of the nodes where those that are left are no quorum.
func (o Operator) Halt(nodes []lab.Node, force bool) Operation { return halt{o, nodes, force} }

func (h halt) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	machines, err := h.look(ctx, tell, false)
	if err != nil {
		return Plan{}, err
	}
	running := runningOf(h.nodes, machines)
	p := Plan{Runbook: h.typed(running)}
	for _, name := range running {
		p.add("%s: stop its engine, and power it off", name)
	}
	return p, nil
}

// look gives the machines as they are before the halt, unless it is refused.
func (h halt) look(ctx context.Context, tell session.Reporter, wait bool) (map[string]machine.Status, error) {
	if !h.force {
		if err := h.beforeStopping(ctx, tell, h.nodes, wait); err != nil {
			return nil, err
		}
	}
	return h.Driver().Status(ctx)
}

func (h halt) typed(running []string) runbook.Runbook {
	if len(running) == 0 {
		return nil
	}
	return h.ExplainMachines(machine.Deed{Act: machine.ActHalt, Nodes: running})
}

// powerOff halts machines; none named means all of the lab. What was broken on them
// is not any more.
func (o Operator) powerOff(ctx context.Context, tell session.Reporter, nodes ...string) error {
	if len(nodes) == 0 {
		nodes = o.Lab().NodeNames()
	}
	o.Faults().thaw(ctx, tell, nodes)
	if err := o.Driver().Halt(ctx, machine.Observer{Step: tell.Step}, nodes...); err != nil {
		return err
	}
	o.Faults().off(tell, nodes...)
	return nil
}

func (h halt) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	before, err := h.look(ctx, tell, true)
	if err != nil {
		return Outcome{}, err
	}
	if err := h.powerOff(ctx, tell, lab.Names(h.nodes)...); err != nil {
		return Outcome{}, err
	}
	for _, n := range h.nodes {
		if before[n.Name] == machine.StatusRunning {
			tell.Done(n.Name, "halted")
		} else {
			tell.Done(n.Name, "was not running")
		}
	}
	return Outcome{Runbook: h.typed(runningOf(h.nodes, before))}, nil
}

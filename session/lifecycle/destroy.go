package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
)

type destroy struct {
	Operator
	nodes []string // none: the whole lab
	force bool
}

// Destroy removes machines, and with no nodes named, the whole lab. Without
// force nodes leave the swarm first, which is refused where the quorum needs
// them.
func (o Operator) Destroy(nodes []lab.Node, force bool) Operation {
	return destroy{o, lab.Names(nodes), force}
}

func (d destroy) whole() bool { return len(d.nodes) == 0 }

// going are the nodes whose machines go: of the whole lab, orphans as well.
func (d destroy) going(ctx context.Context) (nodes, orphans []string, err error) {
	if !d.whole() {
		return d.nodes, nil, nil
	}
	left, err := d.Orphans(ctx)
	return d.Lab().NodeNames(), slices.Sorted(maps.Keys(left)), err
}

// leaveFirst takes the nodes out of the swarm, or plans it.
func (d destroy) leaveFirst(ctx context.Context, tell session.Reporter, planned bool) (swarm.Result, error) {
	if d.whole() || d.force {
		return swarm.Result{}, nil
	}
	result, err := d.leave(ctx, tell, planned, func(v swarm.View) ([]string, error) {
		members := v.Members(d.nodes...)
		if unchangeable(v) || len(members) == 0 {
			return nil, v.GuardDestroying(d.nodes...)
		}
		return members, nil
	})
	return result, orForce(err)
}

func (d destroy) typed() runbook.Runbook {
	return d.ExplainMachines(machine.Deed{Act: machine.ActDestroy, Nodes: d.nodes})
}

func (d destroy) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	nodes, orphans, err := d.going(ctx)
	if err != nil {
		return Plan{}, err
	}
	change, err := d.leaveFirst(ctx, tell, true)
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	p.change(change)
	machines, err := d.Driver().Status(ctx)
	if err != nil && !d.whole() { // of the whole lab, everything goes that there is
		return Plan{}, err
	}
	for _, name := range nodes {
		if machines[name] != machine.StatusAbsent {
			p.add("%s: destroy its machine, with all that is on it", name)
		}
	}
	for _, name := range orphans {
		p.add("%s: destroy its machine, which labs.yaml no longer has", name)
	}
	snapshots := ""
	if d.whole() {
		snapshots = d.Snapshots().andAll(ctx)
		p.add("remove the lab's keys, known hosts and ssh_config%s", snapshots)
	}
	p.Question = fmt.Sprintf("destroy %s of lab %s, with all that is on them%s?", strings.Join(slices.Concat(nodes, orphans), ", "), d.Lab().Name, snapshots)
	p.types(d.typed())
	return p, nil
}

func (d destroy) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	nodes, orphans, err := d.going(ctx)
	if err != nil {
		return Outcome{}, err
	}
	change, err := d.leaveFirst(ctx, tell, false)
	if err != nil {
		return Outcome{}, err
	}
	warn(tell, change.Warnings...)
	out := Outcome{Runbook: append(change.Runbook, d.typed()...)}
	if err := d.Driver().Destroy(ctx, machine.Observer{Step: tell.Step}, d.nodes...); err != nil {
		return Outcome{}, err
	}
	for _, name := range slices.Concat(nodes, orphans) {
		tell.Done(name, "destroyed")
	}
	if !d.whole() {
		d.Faults().off(tell, d.nodes...)
		return out, d.WriteSSHConfig(ctx, nil)
	}
	if err := d.Forget(); err != nil { // a convenience
		tell.Warn(err.Error())
	}
	return out, d.State().Forget()
}

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

type removeOrphans struct{ Operator }

// RemoveOrphans takes machines that labs.yaml no longer has out of the swarm, in
// order, and destroys them. Where there are none, there is nothing to do.
func (o Operator) RemoveOrphans() Operation { return removeOrphans{o} }

func (r removeOrphans) list(ctx context.Context) ([]string, error) {
	orphans, err := r.Orphans(ctx)
	return slices.Sorted(maps.Keys(orphans)), err
}

// prepare takes them out of the swarm, or plans it. The result's runbook is that
// of the whole operation.
func (r removeOrphans) prepare(ctx context.Context, tell session.Reporter, planned bool, list []string) (swarm.Result, error) {
	result, err := r.leave(ctx, tell, planned, func(v swarm.View) ([]string, error) { return orphansIn(v, list) })
	var unsettled *UnsettledError
	if errors.As(err, &unsettled) && unsettled.TwoSwarms {
		unsettled.Trouble.Next = []string{"check the state: dcalab status"} // no other command knows orphans
	}
	if err == nil {
		result.Runbook = append(result.Runbook, r.ExplainMachines(machine.Deed{Act: machine.ActDestroy, Nodes: list})...)
	}
	return result, err
}

func (r removeOrphans) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	var p Plan
	list, err := r.list(ctx)
	if err != nil || len(list) == 0 {
		return p, err
	}
	change, err := r.prepare(ctx, tell, true, list)
	if err != nil {
		return p, err
	}
	p.change(change)
	for _, name := range list {
		p.add("%s: destroy its machine, with all that is on it", name)
	}
	p.Question = fmt.Sprintf("labs.yaml no longer has %s: take it out of the swarm and destroy its machine, with all that is on it?", strings.Join(list, ", "))
	return p, nil
}

func (r removeOrphans) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	list, err := r.list(ctx)
	if err != nil || len(list) == 0 {
		return Outcome{}, err
	}
	change, err := r.prepare(ctx, tell, false, list)
	if err != nil {
		return Outcome{}, err
	}
	warn(tell, change.Warnings...)
	if err := r.Driver().Destroy(ctx, machine.Observer{Step: tell.Step}, list...); err != nil {
		return Outcome{}, err
	}
	for _, name := range list {
		tell.Done(name, "destroyed: labs.yaml no longer has it")
	}
	return Outcome{Runbook: change.Runbook}, nil
}

// orphansIn gives those of the orphans that are in the lab's swarm, and refuses
// to destroy them where the quorum needs them.
func orphansIn(v swarm.View, list []string) ([]string, error) {
	var members []string
	others := false
	for _, n := range v.Nodes {
		switch orphan := slices.Contains(list, n.Name); {
		case orphan && n.Listed:
			members = append(members, n.Name)
		case !orphan && (n.Listed || n.Cluster != "" && n.Cluster == v.Cluster):
			others = true
		}
	}
	switch {
	case !others && v.NoNodeAnswers(list...):
		return nil, &trouble.Error{
			ID: "quorum-would-be-lost", Exit: trouble.ExitRefused, What: "refused to destroy " + strings.Join(list, ", "),
			Why:  "no node is reachable, so the quorum without it cannot be checked",
			Next: []string{"start the others first: dcalab start", "or remove the whole lab: dcalab destroy"},
		}
	case !others: // no other node is in a swarm
		return nil, nil
	case !unchangeable(v) && len(members) > 0:
		return members, nil
	}
	err := v.GuardDestroying(list...)
	var t *trouble.Error
	if errors.As(err, &t) { // no other command knows orphans
		t.Next = []string{"put " + strings.Join(list, ", ") + " back in labs.yaml, then bring the managers back: dcalab start", "or remove the whole lab: dcalab destroy"}
	}
	return nil, err
}

// RefuseOrphans is why a lab is not brought up beside these orphans.
func (o Operator) RefuseOrphans(ctx context.Context) error {
	list, err := removeOrphans{o}.list(ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	e := &trouble.Error{
		ID: "orphan-machines", What: "refused to go on with machines that labs.yaml no longer has",
		Why:  strings.Join(list, ", ") + " of lab " + o.Lab().Name + " would stay beside the others, in the swarm and with their addresses",
		Next: []string{"remove them gracefully: dcalab up --prune", "or put them back in labs.yaml"},
		Exit: trouble.ExitRefused,
	}
	machines, err := o.Driver().Status(ctx)
	if err != nil {
		return err
	}
	// One that is yet to be made may have the address of one of these.
	made := slices.DeleteFunc(o.Lab().NodeNames(), func(name string) bool { return machines[name] == machine.StatusAbsent })
	if len(made) > 0 {
		e.Next = append(e.Next, "or name the nodes to bring up: dcalab up "+strings.Join(made, " "))
	}
	return e
}

// BesideOrphans refuses to make a machine with the address of an orphan that
// runs.
func (o Operator) BesideOrphans(ctx context.Context, nodes []lab.Node) error {
	v, engines, err := o.Observe(ctx)
	if err != nil {
		return err
	}
	defer engines.Close()
	for _, n := range nodes {
		at := slices.IndexFunc(v.Nodes, func(m swarm.NodeView) bool { return m.Orphan && m.Addr == n.IP })
		if at < 0 || engines.Machines[n.Name] != machine.StatusAbsent {
			continue
		}
		orphan := v.Nodes[at].Name
		return &trouble.Error{
			ID: "orphan-machines", Where: n.Name, What: "refused to make its machine",
			Why:  "the machine of " + orphan + ", which labs.yaml no longer has, runs at the same address, " + n.IP.String(),
			Next: []string{"remove " + orphan + " gracefully: dcalab up --prune", "or put it back in labs.yaml"},
			Exit: trouble.ExitRefused,
		}
	}
	return nil
}

package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	labsession "github.com/dcalab/dcalab/session"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// strayWarnings is a line for each machine that labs.yaml no longer has.
func (s *session) strayWarnings(ctx context.Context) ([]string, error) {
	strays, err := s.Orphans(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(strays)) {
		out = append(out, fmt.Sprintf("the machine of %s %s, and labs.yaml no longer has %s: dcalab up --prune removes it in order, or put it back in labs.yaml", name, strayState(strays[name]), name))
	}
	return out, nil
}

func strayState(status machine.Status) string {
	switch status {
	case machine.StatusRunning:
		return "runs"
	case machine.StatusHalted:
		return "is halted"
	default:
		return "exists"
	}
}

// rehearseStrays adds what settleStrays would do. It asks nobody: where it
// would, that is said.
func (s *session) rehearseStrays(ctx context.Context, r *rehearsal, args []string, prune bool) error {
	strays, err := s.Orphans(ctx)
	if err != nil || len(strays) == 0 {
		return err
	}
	list := slices.Sorted(maps.Keys(strays))
	switch {
	case prune:
	case len(args) > 0:
		return s.besideStrays(ctx, args)
	case !s.app.streams.InTerminal():
		r.refused = s.strayRefusal(ctx, list) // after the plan of what --prune would do
	default:
		s.warn("labs.yaml no longer has " + strings.Join(list, ", ") + ": up asks whether to do the first of this; --prune does not ask")
	}
	p := s.progress(list)
	defer p.Close()
	change, err := s.expelStrays(ctx, p, strays)
	if err != nil {
		return err
	}
	p.Close()
	s.warn(change.Warnings...)
	r.plan = append(r.plan, lifecycle.Lines(change.Steps)...)
	r.types(change.Runbook)
	for _, name := range list {
		r.add("%s: destroy its machine, with all that is on it", name)
	}
	r.types(s.ExplainMachines(machine.Deed{Act: machine.ActDestroy, Nodes: list}))
	return nil
}

func (s *session) strayRefusal(ctx context.Context, list []string) error {
	e := &trouble.Error{
		ID: "stray-machines", What: "refused to go on with machines that labs.yaml no longer has",
		Why:  strings.Join(list, ", ") + " of lab " + s.Lab().Name + " would stay beside the others, in the swarm and with their addresses",
		Next: []string{"remove them, in order: dcalab up --prune", "or put them back in labs.yaml"},
		Exit: trouble.ExitRefused,
	}
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return err
	}
	// One that is yet to be made may have the address of one of these.
	made := slices.DeleteFunc(s.Lab().NodeNames(), func(name string) bool { return machines[name] == machine.StatusAbsent })
	if len(made) > 0 {
		e.Next = append(e.Next, "or name the nodes to bring up: dcalab up "+strings.Join(made, " "))
	}
	return e
}

// besideStrays tells of strays that stay where only some nodes are brought up,
// and refuses to make one with the address of one that runs.
func (s *session) besideStrays(ctx context.Context, args []string) error {
	warnings, err := s.strayWarnings(ctx)
	if err != nil {
		return err
	}
	s.warn(warnings...)
	nodes, err := s.pick(args)
	if err != nil {
		return err
	}
	v, c, err := s.observe(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, n := range nodes {
		at := slices.IndexFunc(v.Nodes, func(m swarm.NodeView) bool { return m.Stray && m.Addr == n.IP })
		if at < 0 || c.Machines[n.Name] != machine.StatusAbsent {
			continue
		}
		stray := v.Nodes[at].Name
		return &trouble.Error{
			ID: "stray-machines", Where: n.Name, What: "refused to make its machine",
			Why:  "the machine of " + stray + ", which labs.yaml no longer has, runs at the same address, " + n.IP.String(),
			Next: []string{"remove " + stray + ", in order: dcalab up --prune", "or put it back in labs.yaml"},
			Exit: trouble.ExitRefused,
		}
	}
	return nil
}

// settleStrays sees to machines that labs.yaml no longer has, before others
// are made: with one of a node that was renamed, two would have one address.
// prune removes them without asking. Where only some nodes are to be brought
// up, they stay, and are told of.
func (s *session) settleStrays(ctx context.Context, args []string, prune bool) error {
	strays, err := s.Orphans(ctx)
	if err != nil || len(strays) == 0 {
		return err
	}
	list := slices.Sorted(maps.Keys(strays))
	switch {
	case prune:
	case len(args) > 0:
		return s.besideStrays(ctx, args)
	case !s.app.streams.InTerminal():
		return s.strayRefusal(ctx, list)
	default:
		if err := s.confirm(ctx, fmt.Sprintf("labs.yaml no longer has %s: take it out of the swarm and destroy its machine, with all that is on it?", strings.Join(list, ", "))); err != nil {
			return err
		}
	}
	return s.prune(ctx)
}

// prune takes strays out of the swarm in order and destroys their machines.
func (s *session) prune(ctx context.Context) error {
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	strays, err := s.Orphans(ctx) // again, now that nobody else can change them
	if err != nil || len(strays) == 0 {
		return err
	}
	list := slices.Sorted(maps.Keys(strays))
	p := s.progress(list)
	defer p.Close()
	change, err := s.expelStrays(ctx, p, strays)
	if err != nil {
		return err
	}
	s.warn(change.Warnings...)
	if err := s.Driver().Destroy(ctx, machine.Observer{Step: p.Step}, list...); err != nil {
		return err
	}
	for _, name := range list {
		p.Done(name, "destroyed: labs.yaml no longer has it")
	}
	if s.app.explains() {
		s.typed = slices.Concat(s.typed, change.Runbook, s.ExplainMachines(machine.Deed{Act: machine.ActDestroy, Nodes: list}))
	}
	return nil
}

// expelStrays takes strays out of the lab's swarm, or in a dry run tells how it
// would, and refuses where the quorum needs them.
func (s *session) expelStrays(ctx context.Context, p *ui.Progress, strays map[string]machine.Status) (swarm.Result, error) {
	list := slices.Sorted(maps.Keys(strays))
	v, c, err := s.operator().Settled(ctx, p)
	var unsettled *lifecycle.UnsettledError
	if errors.As(err, &unsettled) && unsettled.TwoSwarms {
		unsettled.Trouble.Next = []string{"see where it stands: dcalab status"} // of the strays no other command knows
	}
	if err != nil {
		return swarm.Result{}, err
	}
	defer c.Close()
	var members []string
	others := false
	for _, n := range v.Nodes {
		switch stray := slices.Contains(list, n.Name); {
		case stray && n.Listed:
			members = append(members, n.Name)
		case !stray && (n.Listed || n.Cluster != "" && n.Cluster == v.Cluster):
			others = true
		}
	}
	if !others && v.NoNodeAnswers(list...) {
		return swarm.Result{}, &trouble.Error{
			ID: "quorum-would-be-lost", Exit: trouble.ExitRefused, What: "refused to destroy " + strings.Join(list, ", "),
			Why:  "no node is reachable, so the quorum without it cannot be checked",
			Next: []string{"start the others first: dcalab start", "or remove the whole lab: dcalab destroy"},
		}
	}
	if !others {
		return swarm.Result{}, nil // there is nobody whose swarm it would be
	}
	if !v.Quorum.HasQuorum || len(v.CandidateSwarms) > 0 || len(members) == 0 {
		err := v.GuardDestroying(list...)
		var t *trouble.Error
		if errors.As(err, &t) { // no other command knows the strays
			t.Next = []string{"put " + strings.Join(list, ", ") + " back in labs.yaml, then bring the managers back: dcalab start", "or remove the whole lab: dcalab destroy"}
		}
		return swarm.Result{}, err
	}
	plan, err := swarm.PlanRemove(v, members, true)
	if err != nil || s.app.dryRun() {
		return plan.Result(), err
	}
	return c.Cluster(swarm.Options{Progress: labsession.Events(p)}).Run(ctx, plan)
}

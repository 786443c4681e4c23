package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

type healing struct {
	starter
	ids []string // none: all
}

// Heal heals faults, or all that there are, and waits until the swarm is whole.
func (f Faults) Heal(ids ...string) Operation { return healing{starter{f.of}, ids} }

// HealWhenDue has a fault healed by perform once its time is over, and tries again until
// it is healed: another dcalab may be at work on the lab for long. The list of faults is
// read again and again: another may heal it first, give it another end, or destroy the
// lab.
func (f Faults) HealWhenDue(ctx context.Context, id string, perform func(context.Context, Operation) error) error {
	for {
		j, err := fault.ReadJournal(f.of.State())
		one, _ := j.Get(id)
		switch {
		case err == nil && (one.ID == "" || one.Ends == nil):
			return nil
		case err == nil && one.Due(time.Now()):
			err := perform(ctx, f.Heal(id))
			if j, unread := fault.ReadJournal(f.of.State()); unread == nil {
				if one, _ := j.Get(id); one.ID == "" {
					return err
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// NeedsRoot: machines whose power was cut are started.
func (h healing) NeedsRoot() bool {
	_, faults, err := h.picked()
	return err == nil && slices.ContainsFunc(faults, fault.Fault.Power) && h.Driver().Traits().NeedsRoot
}

// picked gives the faults that are to be healed. One that is no longer there is
// healed already.
func (h healing) picked() (fault.Journal, []fault.Fault, error) {
	if err := h.MustExist(); err != nil {
		return fault.Journal{}, nil, err
	}
	journal, err := fault.ReadJournal(h.State())
	if err != nil && len(h.ids) == 0 { // what is on the nodes can be healed all the same
		return fault.Journal{}, nil, nil
	}
	if err != nil || len(h.ids) == 0 {
		return journal, journal.Faults, err
	}
	var out []fault.Fault
	for _, id := range h.ids {
		f, known := journal.Get(id)
		if !known {
			return journal, nil, &trouble.Error{
				ID: "unknown-fault", What: "heal " + id, Why: "the lab has had no fault of this id", Exit: trouble.ExitUsage,
				Next: []string{"those that there are: dcalab break list", "all of them: dcalab heal --all"},
			}
		}
		if f.ID != "" && !slices.ContainsFunc(out, func(have fault.Fault) bool { return have.ID == id }) {
			out = append(out, f)
		}
	}
	return journal, out, nil
}

func (h healing) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	_, faults, err := h.picked()
	if err != nil {
		return Plan{}, err
	}
	machines, err := h.Driver().Status(ctx)
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	for _, f := range faults {
		for _, name := range f.On {
			switch running := machines[name] == machine.StatusRunning; {
			case f.Power() && !running:
				p.add("%s: boot it (%s %s)", name, f.ID, f.Words())
			case !f.Power() && running:
				p.add("%s: undo %s, %s", name, f.ID, f.Words())
			}
		}
	}
	p.Runbook = h.typed(faults, machines)
	return p, nil
}

func (h healing) typed(faults []fault.Fault, machines map[string]machine.Status) runbook.Runbook {
	var l runbook.Runbook
	for _, f := range faults {
		if f.Power() {
			off := slices.DeleteFunc(slices.Clone(f.Nodes), func(name string) bool { return machines[name] == machine.StatusRunning })
			if len(off) > 0 {
				l = append(l, h.ExplainMachines(machine.Deed{Act: machine.ActStart, Nodes: off})...)
			}
			continue
		}
		l = append(l, slices.DeleteFunc(f.TypedHeal(h.Lab(), h.Driver().Traits().Systemd), func(c runbook.Command) bool {
			return machines[c.Node] != machine.StatusRunning
		})...)
	}
	return l.ByNode()
}

func (h healing) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	journal, faults, err := h.picked()
	if err != nil {
		return Outcome{}, err
	}
	machines, err := h.Driver().Status(ctx)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Runbook: h.typed(faults, machines)}
	ids := slices.Clone(h.ids)
	var dark []string
	for _, f := range faults {
		ids = append(ids, f.ID)
		for _, name := range f.On {
			if f.Power() && machines[name] == machine.StatusHalted && !slices.Contains(dark, name) {
				dark = append(dark, name)
			}
		}
	}
	// All that run: a node does not mind what it has not, and labs.yaml may have others
	// now than the fault knew.
	nodes := runningOf(h.Lab().Nodes, machines)
	pool := h.NewPool()
	defer pool.Close()
	// Without ids, also what the list does not know.
	if err := h.Faults().healNodes(ctx, tell, pool, nodes, h.ids...); err != nil {
		return out, cut(ctx, err, "some faults may still be there", "the same command, run again")
	}
	if len(dark) > 0 {
		picked, err := h.Nodes(dark...)
		if err != nil {
			return out, err
		}
		if _, err := h.boot(ctx, tell, picked, machine.ActStart, pool, nil); err != nil {
			return out, err
		}
		if journal, err = fault.ReadJournal(h.State()); err != nil {
			return out, err
		}
	}
	journal.Healed(ids...)
	h.Faults().reconcile(ctx, pool, machines, &journal)
	if err := journal.Write(h.State()); err != nil {
		return out, err
	}
	if left := journal.Faults; len(left) > 0 {
		out.Notes = append(out.Notes, "still broken: "+strings.Join(fault.Explained(left), "; "))
		return out, nil
	}
	return out, h.whole(ctx, tell, pool)
}

// whole waits until all nodes that run and are in the swarm are healthy there.
func (h healing) whole(ctx context.Context, tell session.Reporter, pool *session.Pool) error {
	tell.Step("", "waiting for the swarm")
	v, err := h.healthy(ctx, session.Waiting(tell), pool)
	switch {
	case err != nil:
		return err
	case v.Cluster == "":
		tell.Done("", "the nodes are in no swarm")
	default:
		tell.Done("", fmt.Sprintf("swarm %s: %s, leader %s", v.Cluster, v.Quorum, v.Leader))
	}
	return nil
}

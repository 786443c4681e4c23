package lifecycle

import (
	"context"
	"fmt"

	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
)

// swarmChange changes the swarm as a whole.
type swarmChange struct {
	nodeChange
	nothing string // what is said where it is so already
	noted   []string
}

// Autolock turns on or off that managers which were restarted wait for the unlock key.
func (s Swarm) Autolock(on bool) Operation {
	c := swarmChange{
		nodeChange: nodeChange{Operator: s.of, plan: func(v swarm.View, _ []string) (swarm.Plan, error) { return swarm.PlanAutolock(v, on) }},
		nothing:    "nothing to do: autolock is off",
		noted:      []string{"autolock is off: managers start by themselves"},
	}
	if on {
		c.nothing = "nothing to do: autolock is on"
		c.noted = []string{"autolock is on: keep the key that dcalab swarm unlock-key shows; without it a restart of all managers ends the swarm"}
	}
	if want := s.of.Lab().Swarm; !want.Unsaid.Autolock && want.Autolock != on {
		c.noted = append(c.noted, fmt.Sprintf("labs.yaml has autolock: %t, and dcalab swarm bootstrap would set it again; to keep the change, write it there", want.Autolock))
	}
	return c
}

// RotateCA gives the swarm a new root CA, and all nodes new certificates.
func (s Swarm) RotateCA() Operation {
	return swarmChange{
		nodeChange: nodeChange{Operator: s.of, plan: func(v swarm.View, _ []string) (swarm.Plan, error) { return swarm.PlanRotateCA(v) }},
		noted:      []string{"all nodes have certificates of the new CA; the join tokens are other ones now: dcalab swarm token"},
	}
}

func (c swarmChange) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	c.Faults().warn(tell)
	cluster, plan, engines, err := c.prepare(ctx, tell, false)
	if err != nil {
		return Outcome{}, err
	}
	defer engines.Close()
	if plan.Empty() {
		return Outcome{Notes: []string{c.nothing}}, nil
	}
	result, err := cluster.Run(ctx, plan)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Notes: c.noted, Runbook: result.Runbook}, nil
}

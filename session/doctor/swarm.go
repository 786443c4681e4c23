package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
)

// Problems looks for what is wrong with a lab's swarm, or soon will be, and
// gives the nodes' certificates, which it reads for that, by short name. Nodes
// that the swarm misses are asked over SSH what keeps them from it.
func Problems(ctx context.Context, v swarm.View, e *session.Engines, now time.Time) ([]swarm.Problem, map[string]swarm.Validity) {
	certificates := e.Cluster(swarm.Options{}).Ages(ctx)
	return append(swarm.Diagnose(v, certificates, now), cutOff(ctx, v, e.Pool)...), certificates
}

// checkSwarm makes the checks of the swarm of a lab that exists; none where
// nothing runs, or no node is in a swarm: up and start come first.
func checkSwarm(ctx context.Context, s *session.Session) []machine.Check {
	certificates := machine.Check{ID: "certificates", What: "swarm certificates"}
	managers := machine.Check{ID: "managers", What: "swarm managers"}
	nodes := machine.Check{ID: "swarm-nodes", What: "swarm nodes"}
	v, e, err := s.Observe(ctx)
	if err != nil {
		return []machine.Check{managers.Unknown(err.Error())}
	}
	defer e.Close()
	if !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return e.Machines[n.Name] == machine.StatusRunning }) || ctx.Err() != nil {
		return nil
	}
	now := time.Now()
	v = session.Settled(v, e.Machines)
	problems, validities := Problems(ctx, v, e, now)
	if len(validities) == 0 && len(problems) == 0 {
		return nil
	}
	certificates = checkValidity(certificates, validities, now)
	managers = managers.OK(v.Quorum.String())
	if !swarm.HasLeader().Check(v).Holds {
		managers.Verdict = machine.VerdictWarning
	}
	found := map[*machine.Check]bool{}
	for _, p := range problems {
		c := &certificates
		switch p.ID {
		case swarm.ManagersLost, swarm.NoLeaderYet, managerCutOff:
			c = &managers
		case nodeCutOff:
			c = &nodes
		}
		if found[c] {
			c.Why += "; " + p.Cause
		} else {
			*c = c.Warning(p.Cause)
		}
		found[c] = true
		for _, line := range p.Fix {
			c.Fixes = append(c.Fixes, machine.Advise(line))
		}
	}
	checks := []machine.Check{certificates, managers}
	if found[&nodes] {
		checks = append(checks, nodes)
	}
	return checks
}

// checkValidity tells until when the certificates are good.
func checkValidity(c machine.Check, validities map[string]swarm.Validity, now time.Time) machine.Check {
	var soonest swarm.Validity
	for _, v := range validities {
		if soonest.Until.IsZero() || v.Until.Before(soonest.Until) {
			soonest = v
		}
	}
	if len(validities) == 0 {
		return c.Unknown("no node told its certificate in time")
	}
	days := fmt.Sprintf("%d days", soonest.DaysLeft(now))
	if soonest.DaysLeft(now) == 1 {
		days = "1 day"
	}
	return c.OK("good until " + soonest.Until.UTC().Format("2006-01-02") + " at least (" + days + " left), and renewed while the lab runs")
}

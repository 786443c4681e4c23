package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

// ailment is something wrong with the swarm that only a person can mend.
type ailment struct {
	// ID is certificates-expired, certificates-short, managers-lost, election,
	// manager-cut-off or node-cut-off.
	ID  string `json:"id" yaml:"id"`
	Why string `json:"why" yaml:"why"`
	// Mend are the commands that mend it, in their order.
	Mend []string `json:"mend" yaml:"mend"`
}

// age adds to a report what time does to a swarm: when certificates run out,
// and what is wrong with them or between managers. It reads the certificates
// over SSH, all at once.
func (r *report) age(ctx context.Context, v swarm.View, targets []swarm.Target, now time.Time) {
	ages := swarm.New(targets, swarm.Options{}).Ages(ctx)
	for i, n := range r.Nodes {
		if age, ok := ages[n.Name]; ok {
			days := age.DaysLeft(now)
			r.Nodes[i].CertificateExpires, r.Nodes[i].CertificateDaysLeft = age.Until.UTC().Format(time.RFC3339), &days
		}
	}
	for _, a := range swarm.Diagnose(v, ages, now) {
		r.Ailments = append(r.Ailments, ailment(a))
	}
}

// writeAilments shows each as a warning with what mends it.
func writeAilments(w io.Writer, ailments []ailment, color bool) {
	for _, a := range ailments {
		ui.PrintWarning(w, a.Why, color)
		for _, line := range a.Mend {
			fmt.Fprintln(w, "  "+line)
		}
	}
}

// swarmChecks are doctor's look at the swarm of a lab that runs: no check of
// this machine, but what stands in the way of a lab that was left alone.
func (s *session) swarmChecks(ctx context.Context) []machine.Check {
	certificates := machine.Check{ID: "certificates", What: "swarm certificates"}
	managers := machine.Check{ID: "managers", What: "swarm managers"}
	nodes := machine.Check{ID: "swarm-nodes", What: "swarm nodes"}
	v, c, err := s.Observe(ctx)
	if err != nil {
		return []machine.Check{managers.Unknown(err.Error())}
	}
	defer c.Close()
	if !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return c.Machines[n.Name] == machine.StatusRunning }) || ctx.Err() != nil {
		return nil // nothing runs: up and start come first
	}
	now := time.Now()
	ages := c.Cluster(swarm.Options{}).Ages(ctx)
	v = settle(v, c.Machines)
	var ailments []ailment
	for _, a := range swarm.Diagnose(v, ages, now) {
		ailments = append(ailments, ailment(a))
	}
	ailments = append(ailments, s.cutOff(ctx, v, c)...)
	if len(ages) == 0 && len(ailments) == 0 {
		return nil // in no swarm
	}
	var soonest swarm.Validity
	for _, age := range ages {
		if soonest.Until.IsZero() || age.Until.Before(soonest.Until) {
			soonest = age
		}
	}
	well := map[string]machine.Check{
		"certificates": certificates.OK("good until " + soonest.Until.UTC().Format("2006-01-02") + " at least (" + plural(soonest.DaysLeft(now), "day") + " left), and renewed while the lab runs"),
		"managers":     managers.OK(v.Quorum.String()),
	}
	if len(ages) == 0 {
		well["certificates"] = certificates.Unknown("no node told its certificate in time")
	}
	for _, a := range ailments {
		which := certificates
		switch a.ID {
		case "managers-lost", "election", "manager-cut-off":
			which = managers
		case "node-cut-off":
			which = nodes
		}
		var fixes []machine.Fix
		for _, line := range a.Mend {
			fixes = append(fixes, machine.Advise(line))
		}
		check := which.Warning(a.Why, fixes...)
		if old := well[which.ID]; old.Verdict == machine.VerdictWarning {
			check.Why, check.Fixes = old.Why+"; "+check.Why, slices.Concat(old.Fixes, check.Fixes)
		}
		well[which.ID] = check
	}
	if managers := well["managers"]; managers.Verdict == machine.VerdictOK && !v.Quorum.HasQuorum {
		managers.Verdict = machine.VerdictWarning
		well["managers"] = managers
	}
	checks := []machine.Check{well["certificates"], well["managers"]}
	if missed, ok := well[nodes.ID]; ok {
		checks = append(checks, missed)
	}
	return checks
}

package cmd

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/dcalab/dcalab/session/doctor"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

// age adds to a report what is wrong with the swarm, and when certificates run
// out. It asks the nodes over SSH.
func (r *report) age(ctx context.Context, v swarm.View, c *crew, now time.Time) {
	problems, certificates := doctor.Problems(ctx, v, c, now)
	r.Ailments = append(r.Ailments, problems...)
	for i, n := range r.Nodes {
		if has, ok := certificates[n.Name]; ok {
			days := has.DaysLeft(now)
			r.Nodes[i].CertificateExpires, r.Nodes[i].CertificateDaysLeft = has.Until.UTC().Format(time.RFC3339), &days
		}
	}
}

// writeProblems shows each as a warning with what fixes it.
func writeProblems(w io.Writer, problems []swarm.Problem, color bool) {
	for _, p := range problems {
		ui.PrintWarning(w, p.Cause, color)
		for _, line := range p.Fix {
			fmt.Fprintln(w, "  "+line)
		}
	}
}

package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	labsession "github.com/dcalab/dcalab/session"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) dissolve() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "dissolve",
		Short: "Take the whole swarm down in order; the machines stay",
		Long: `Take the lab's swarm down: the workers leave first, then the managers, one
after the other, the leader last. The machines stay, with their images and
volumes, their engines in no swarm; dcalab swarm bootstrap makes a new one.

It says what is lost (services, secrets, configs, networks) and asks first,
unless --yes is given. It works without a quorum, too, and with managers that
are locked. A node that does not answer cannot leave. When it is back, the same
command takes it out, and dcalab swarm bootstrap into the next swarm.`,
		Example: "  dcalab swarm dissolve\n  dcalab swarm dissolve --yes && dcalab swarm bootstrap",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.dissolveSwarm(c.Context(), yes)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return explained(c)
}

func (a *app) dissolveSwarm(ctx context.Context, yes bool) error {
	s, err := a.existing()
	if err != nil {
		return err
	}
	if a.dryRun() {
		v, crew, err := s.observe(ctx)
		if err != nil {
			return err
		}
		defer crew.Close()
		if err := crew.NoneReachable(); err != nil {
			return err
		}
		plan := swarm.PlanDissolve(v)
		s.warnDissolve(plan)
		return s.rehearse(lifecycle.Lines(plan.Steps()), plan.Runbook)
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	p := s.progress(s.Lab().NodeNames())
	defer p.Close()
	v, crew, err := s.observeElected(ctx, p)
	if err != nil {
		return err
	}
	defer crew.Close()
	if err := crew.NoneReachable(); err != nil {
		return err
	}
	plan := swarm.PlanDissolve(v)
	if plan.Empty() && len(plan.Unfinished) == 0 {
		p.Close()
		s.warn(plan.Warnings...)
		s.note("nothing to do: no node that answers is in the lab's swarm")
		return s.recount(plan.Runbook)
	}
	if !yes {
		if err := s.confirm(ctx, s.dissolveQuestion(ctx, v, crew)); err != nil {
			return err
		}
	}
	s.warn(plan.Warnings...)
	d, err := crew.Cluster(swarm.Options{Progress: labsession.Events(p)}).Run(ctx, plan)
	for _, n := range d.View.Nodes {
		if before, ok := v.Node(n.Name); ok && n.State == swarm.StateInactive && before.State != swarm.StateInactive {
			p.Done(n.Name, "in no swarm")
		}
	}
	p.Close()
	if len(d.Dissolved) > 0 {
		err = errors.Join(err, s.Dissolved(d.Dissolved...))
	}
	if err != nil {
		return err
	}
	s.note("the swarm is dissolved; a new one: dcalab swarm bootstrap")
	return s.recount(d.Runbook)
}

func (s *session) warnDissolve(plan swarm.Plan) {
	s.warn(plan.Warnings...)
	for _, u := range plan.Unfinished {
		s.warn(u.Node + " may stay in it: " + u.Why)
	}
}

// observeElected observes, and waits for a leader where enough managers of the
// lab's swarm run to elect one, and for members that hang: they could not be
// told to leave. Where none comes, it goes on without.
func (s *session) observeElected(ctx context.Context, p *ui.Progress) (swarm.View, *crew, error) {
	v, c, err := s.Await(ctx, p, swarm.MembersAnswer)
	var unmet *swarm.UnmetError
	if errors.As(err, &unmet) {
		err = nil
	}
	return v, c, err
}

// dissolveQuestion says what is lost.
func (s *session) dissolveQuestion(ctx context.Context, v swarm.View, c *crew) string {
	var members []string
	for _, n := range v.Nodes {
		if n.Listed || n.Cluster != "" && n.State != swarm.StateForeign {
			members = append(members, n.Name)
		}
	}
	what := "what is in it cannot be told, because it has no quorum"
	if holdings, err := c.Cluster(swarm.Options{}).Holdings(ctx, v); err == nil {
		what = lost(holdings)
	}
	return fmt.Sprintf("dissolve the swarm of %s? %s; the machines stay", strings.Join(members, ", "), what)
}

// lost names what goes with a swarm.
func lost(h engine.Holdings) string {
	var parts []string
	for _, kind := range []struct {
		one   string
		names []string
	}{{"service", h.Services}, {"secret", h.Secrets}, {"config", h.Configs}, {"network", h.Networks}} {
		if n := len(kind.names); n > 0 {
			parts = append(parts, fmt.Sprintf("%s (%s)", plural(n, kind.one), strings.Join(kind.names, ", ")))
		}
	}
	if len(parts) == 0 {
		return "it has no services, secrets, configs or networks of its own"
	}
	return "lost with it: " + strings.Join(parts, ", ")
}

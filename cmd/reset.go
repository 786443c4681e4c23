package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/provision"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) reset() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "reset",
		Short: "Empty every node's engine: no swarm, no containers, images or volumes",
		Long: `Make clean nodes of the lab's machines without making them anew: everything
that their engines keep goes (the swarm, containers, images, volumes,
networks), and they are started again with the configuration that they had.
Files elsewhere on the nodes stay, and so do their names, keys and users.

All nodes must run. It needs no swarm and no engine that answers, so that it
also ends a lab that is beyond mending. It asks first, unless --yes is given.`,
		Example: "  dcalab reset\n  dcalab reset --yes && dcalab swarm bootstrap",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.resetLab(c.Context(), yes)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return explained(c)
}

func (a *app) resetLab(ctx context.Context, yes bool) error {
	s, err := a.existing()
	if err != nil {
		return err
	}
	if err := s.allRun(ctx, "reset"); err != nil {
		return err
	}
	var r rehearsal
	for _, n := range s.Lab().Nodes {
		r.add("%s: empty its engine of swarm, containers, images and volumes, and start it again", n.Name)
		r.types(provision.ExplainReset(n.Name))
	}
	if a.dryRun() {
		return s.rehearse(r.plan, r.runbook)
	}
	if !yes {
		if err := s.confirm(ctx, "reset", fmt.Sprintf(
			"empty the engines of %s: swarm, containers, images and volumes go, files elsewhere on the nodes stay?", strings.Join(s.Lab().NodeNames(), ", "))); err != nil {
			return err
		}
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.allRun(ctx, "reset"); err != nil {
		return err
	}
	began := time.Now()
	p := s.progress(s.Lab().NodeNames())
	defer p.Close()
	crew, err := s.muster(ctx)
	if err != nil {
		return err
	}
	defer crew.Close()
	var unreachable []error
	for _, t := range crew.Targets {
		unreachable = append(unreachable, t.Unreachable)
	}
	if err := errors.Join(unreachable...); err != nil {
		return err
	}
	errs := make([]error, len(crew.Targets))
	var wg sync.WaitGroup
	for i, t := range crew.Targets {
		wg.Go(func() {
			errs[i] = provision.Reset(ctx, crew.Pool.Held(t.Name), func(step string) { p.Step(t.Name, step) })
			if errs[i] != nil {
				p.Fail(t.Name, errs[i])
			} else {
				p.Done(t.Name, "clean, in no swarm")
			}
		})
	}
	wg.Wait()
	p.Close()
	if ctx.Err() != nil {
		return &trouble.Error{
			ID: "interrupted", What: "interrupted", Why: "some engines may be stopped, and empty",
			Next: []string{"finish it: dcalab reset --yes"}, Exit: trouble.ExitInterrupted, Err: ctx.Err(),
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &trouble.Error{Err: err, Next: append(trouble.Advice(err), "then finish it: dcalab reset --yes")}
	}
	s.note("lab %s is clean, in %s; next: dcalab swarm bootstrap", s.Lab().Name, ui.Duration(time.Since(began)))
	return s.recount(r.runbook)
}

// allRun refuses what is done to all machines of a lab while one does not run.
func (s *session) allRun(ctx context.Context, what string) error {
	if err := s.MustExist(); err != nil {
		return err
	}
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return err
	}
	for _, n := range s.Lab().Nodes {
		if err := labsession.NotRunning(n.Name, machines[n.Name]); err != nil {
			return &trouble.Error{
				What: "refused to " + what, Next: trouble.Advice(err), Exit: trouble.ExitRefused, Err: err,
			}
		}
	}
	return nil
}

// confirm asks, and makes an error of a no.
func (s *session) confirm(ctx context.Context, what, question string) error {
	ok, err := ui.Confirm(ctx, s.app.streams, question)
	if err == nil && !ok {
		err = &trouble.Error{ID: "not-confirmed", What: what, Why: "not confirmed, nothing was touched"}
	}
	return err
}

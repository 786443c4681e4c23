package cmd

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/lifecycle"
)

func upCommand(a *app) *cobra.Command {
	var form, prune, yes bool
	c := &cobra.Command{
		Use:   "up [NODE...]",
		Short: "Create and start the lab's machines, each with Docker ready",
		Long: `Create the machines of the lab that do not exist, start those that are
halted, and make each ready as soon as it answers: a Docker Engine installed and
running, the user in the docker group. With --swarm, form the
swarm as well, as dcalab swarm bootstrap does.

Running it again is harmless: it does what is missing. A node that was added
to labs.yaml is created, and the command that joins it to the swarm is shown.
For one that is no longer in labs.yaml, or has another name now, it asks whether
to remove it from the swarm and destroy its machine; --prune does not ask.

Where registries or labels of engines changed in labs.yaml, engines have to be
restarted. Those that are in a swarm are restarted one after the other, each
when the one before it is back, and only after a confirmation; --yes does not
ask. Tasks and containers there end with their engine.`,
		Example:           "  dcalab up --swarm\n  dcalab up node02\n  dcalab up --prune",
		ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			return bringUp(c.Context(), a, args, form, prune, yes)
		},
	}
	c.Flags().BoolVar(&form, "swarm", false, "form the swarm too")
	c.Flags().BoolVar(&prune, "prune", false, "first destroy machines that labs.yaml no longer has")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask before engines in a swarm are restarted")
	timeoutFlag(c, 0)
	return explained(c)
}

func startCommand(a *app) *cobra.Command {
	return operation(a, (*app).existing, &cobra.Command{
		Use:   "start [NODE...]",
		Short: "Start machines that are halted",
		Long: `Start machines of the lab that are halted. They come back with their
disks, and their engines go back into the swarm that they were in. Without
names it starts all that were created.`,
		Example:           "  dcalab start node02",
		ValidArgsFunction: completer{a}.nodes,
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		nodes, err := s.pick(args)
		return s.operator().Start(nodes, len(args) > 0), err
	})
}

func bringUp(ctx context.Context, a *app, args []string, form, prune, yes bool) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	nodes, err := s.pick(args)
	if err != nil {
		return notYet(err)
	}
	o := s.operator()
	if err := o.MayUp(); err != nil {
		return err
	}
	if !a.dryRun() && lacksRoot(o) {
		return asRoot{s}.rerun()
	}
	s.warn(labsession.Warnings(s.File())...)
	// Before anything is written: what would stop it, stops it here. A runbook
	// has no requirements.
	if !a.dryRun() || !a.explains() && !lacksRoot(o) {
		if err := o.Preflight(ctx); err != nil && (a.dryRun() || !s.Created()) {
			return err
		}
	}
	remove, refused, err := orphansFirst(ctx, s, nodes, len(args) > 0, prune)
	if err != nil {
		return err
	}
	up := o.Up(nodes, len(args) > 0, form)
	defer up.Close()
	if a.dryRun() {
		if err := rehearseUp(ctx, s, remove, up, yes); err != nil {
			return err
		}
		return refused
	}
	if refused != nil {
		return refused
	}
	typed, err := s.do(ctx, remove, prune)
	if err != nil {
		return err
	}
	also := func(op lifecycle.Operation, answered bool) error {
		more, err := s.do(ctx, op, answered)
		typed = append(typed, more...)
		return err
	}
	if err := also(up, true); err != nil {
		return err
	}
	if len(up.Deferred()) > 0 {
		if err := also(up.Restart(), yes); err != nil {
			return err
		}
	}
	if form {
		if err := also(up.Bootstrap(), true); err != nil {
			return err
		}
		return s.recount(typed)
	}
	next, err := up.Next(ctx)
	if err != nil {
		return err
	}
	if next != "" {
		s.note("%s", next)
	}
	return s.recount(typed)
}

// orphansFirst sees to machines that labs.yaml no longer has, before others are
// made: with one of a node that was renamed, two would have one address. prune
// removes them without asking. Where only some nodes are to be brought up, they
// stay, and are told of. remove is nil where none is removed; refused is why up
// goes on with a plan at most.
func orphansFirst(ctx context.Context, s *session, nodes []lab.Node, named, prune bool) (remove lifecycle.Operation, refused, err error) {
	orphans, err := s.Orphans(ctx)
	if err != nil || len(orphans) == 0 {
		return nil, nil, err
	}
	switch o := s.operator(); {
	case prune:
	case named:
		warnings, err := s.OrphanWarnings(ctx)
		if err == nil {
			s.warn(warnings...)
			err = o.BesideOrphans(ctx, nodes)
		}
		return nil, nil, err
	case !s.app.streams.InTerminal():
		refused = o.RefuseOrphans(ctx)
	case s.app.dryRun():
		s.warn("labs.yaml no longer has " + strings.Join(slices.Sorted(maps.Keys(orphans)), ", ") + ": up would ask before it removes them; --prune does not ask")
	}
	return s.operator().RemoveOrphans(), refused, nil
}

// rehearseUp is the dry run of up.
func rehearseUp(ctx context.Context, s *session, remove lifecycle.Operation, up *lifecycle.Up, yes bool) error {
	plan, err := s.plan(ctx, remove)
	if err != nil {
		return err
	}
	rest, err := s.plan(ctx, up)
	if err != nil {
		return err
	}
	if turns := up.Deferred(); len(turns) > 0 && !yes {
		s.warn("up asks before it restarts the engines of " + strings.Join(turns, ", ") + ", which are in the swarm: their tasks and containers stop; --yes does not ask")
	}
	return s.rehearse(append(plan.Lines, rest.Lines...), append(plan.Runbook, rest.Runbook...))
}

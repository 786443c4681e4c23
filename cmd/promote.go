package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) promote() *cobra.Command {
	var o swarm.ChangeOptions
	c := &cobra.Command{
		Use:   "promote NODE...",
		Short: "Make managers of nodes, and wait until they are Reachable",
		Long: `Make managers of the named nodes (short name, full name or node id) and wait
until each takes part in raft. The quorum is told before and after.`,
		Example:           "  dcalab promote node02\n  dcalab promote node02.docker-dca.example",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeRole(c.Context(), args, "is a manager already", swarm.Promote, o)
		},
	}
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "print what would be done and do nothing")
	return c
}

func (a *app) demote() *cobra.Command {
	var o swarm.ChangeOptions
	c := &cobra.Command{
		Use:   "demote NODE...",
		Short: "Make workers of managers, and wait until they have left raft",
		Long: `Make workers of the named managers and wait until each has left raft. It is
refused when the managers that are left would be no quorum, with the
arithmetic; --force does it all the same. The last manager always stays.`,
		Example:           "  dcalab demote node02",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeRole(c.Context(), args, "is a worker already", swarm.Demote, o)
		},
	}
	c.Flags().BoolVar(&o.Force, "force", false, "demote even where the quorum would be lost")
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "print what would be done and do nothing")
	return c
}

type roleChange func(context.Context, []swarm.Target, []string, swarm.ChangeOptions) (swarm.Change, error)

func (a *app) changeRole(ctx context.Context, args []string, already string, change roleChange, o swarm.ChangeOptions) error {
	s, err := a.existing()
	if err != nil {
		return err
	}
	if !o.DryRun {
		release, err := s.change(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	c, err := s.muster(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	p := s.progress(s.lab.NodeNames())
	defer p.Close()
	o.Progress = tell(p)
	result, err := change(ctx, c.targets, args, o)
	err = s.namesFirst(args, err)
	if err == nil && o.DryRun {
		p.Close()
		s.printPlan(result.Steps)
		return nil
	}
	for _, n := range result.Nodes {
		if n.Already {
			p.Done(n.Name, already)
		} else if v, ok := result.View.Node(n.Name); ok && err == nil {
			p.Done(n.Name, summary(v))
		}
	}
	p.Close()
	if err != nil {
		return err
	}
	s.note("before: %s", result.Before)
	s.note("after:  %s", result.After)
	s.warn(result.Warnings...)
	return nil
}

// tell passes the steps of the swarm on to whoever watches.
func tell(p *ui.Progress) func(swarm.Event) {
	return func(e swarm.Event) {
		switch {
		case e.Done && e.Err != nil:
			p.Fail(e.Node, e.Err)
		case e.Done:
		case e.Kind == swarm.KindConfigure:
			p.Note(e.Step) // no node's line would tell it
		case e.Node == "":
			p.Detail("", e.Step) // of the whole swarm: the nodes' lines tell enough
		default:
			p.Step(e.Node, e.Step)
		}
	}
}

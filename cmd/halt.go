package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

func (a *app) halt() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "halt [NODE...]",
		Short: "Power machines off, keeping their disks",
		Long: `Stop the engine of each node in order and power its machine off. Its disk
stays; dcalab start brings it back into the swarm.

Halting some of the nodes is refused when the managers that are left would
be no quorum: the swarm would stand still. --force does it all the same.`,
		Example:           "  dcalab halt\n  dcalab halt node02",
		ValidArgsFunction: a.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			s, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := s.pick(args)
			if err != nil {
				return err
			}
			if !s.created {
				s.note("lab %s does not exist here: nothing to halt", s.lab.Name)
				return nil
			}
			if s.asRoot() {
				return s.sudo(ctx)
			}
			release, err := s.change(ctx)
			if err != nil {
				return err
			}
			defer release()
			if len(nodes) < len(s.lab.Nodes) && !force {
				if err := s.guardStopping(ctx, nodes); err != nil {
					return err
				}
			}
			p := s.progress(names(nodes))
			defer p.Close()
			before, err := s.driver.Status(ctx)
			if err != nil {
				return err
			}
			if err := s.driver.Halt(ctx, machine.Observer{Step: p.Step}, names(nodes)...); err != nil {
				return err
			}
			for _, n := range nodes {
				if before[n.Name] == machine.StatusRunning {
					p.Done(n.Name, "halted")
				} else {
					p.Done(n.Name, "was not running")
				}
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "halt even where the swarm loses its quorum")
	return c
}

// guardStopping refuses to take managers away that the quorum needs.
func (s *session) guardStopping(ctx context.Context, nodes []lab.Node) error {
	v, c, err := s.observe(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return v.GuardStopping(names(nodes)...)
}

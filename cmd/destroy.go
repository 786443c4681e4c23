package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) destroy() *cobra.Command {
	var yes, force bool
	c := &cobra.Command{
		Use:   "destroy [NODE...]",
		Short: "Remove machines and everything that belongs to them",
		Long: `Remove the machines of the lab with their disks, networks and keys. What
does not exist is no error. labs.yaml and the log stay.

It asks first, unless --yes is given. A node that is destroyed alone leaves
the swarm first, in order: a manager is demoted, the node leaves, its entry
goes. That is refused when the managers that are left would be no quorum.
--force does not ask, and pulls the plug whatever the swarm loses by it.`,
		Example:           "  dcalab destroy\n  dcalab destroy --yes\n  dcalab destroy node02",
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
				s.note("lab %s does not exist here: nothing to destroy", s.lab.Name)
				return nil
			}
			if s.asRoot() {
				return s.sudo(ctx)
			}
			if !yes && !force {
				ok, err := ui.Confirm(ctx, a.streams, fmt.Sprintf("destroy %s of lab %s, with all that is on them%s?", strings.Join(names(nodes), ", "), s.lab.Name, s.andSnapshots(ctx, len(args) == 0)))
				if err != nil {
					return err
				}
				if !ok {
					return &trouble.Error{ID: "not-confirmed", What: "destroy", Why: "not confirmed, nothing was touched"}
				}
			}
			release, err := s.change(ctx)
			if err != nil {
				return err
			}
			defer release()
			p := s.progress(names(nodes))
			defer p.Close()
			whole := len(args) == 0
			if !whole && !force {
				if err := s.leaveSwarm(ctx, p, nodes); err != nil {
					return err
				}
			}
			if err := s.driver.Destroy(ctx, machine.Observer{Step: p.Step}, args...); err != nil {
				return err
			}
			for _, n := range nodes {
				p.Done(n.Name, "destroyed")
			}
			if !whole {
				return s.writeSSHConfig(ctx, nil)
			}
			s.forget()
			return s.state.Forget()
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVarP(&force, "force", "f", false, "do not ask, and destroy even where the swarm loses its quorum")
	return c
}

// leaveSwarm takes nodes that are about to be destroyed out of the swarm in
// order, and refuses where the quorum needs them.
func (s *session) leaveSwarm(ctx context.Context, p *ui.Progress, nodes []lab.Node) error {
	v, c, err := s.observeSettled(ctx, p)
	if err != nil {
		return err
	}
	defer c.Close()
	members := v.Members(names(nodes)...)
	if !v.Quorum.HasQuorum || len(v.Rivals) > 0 || len(members) == 0 {
		return v.GuardDestroying(names(nodes)...)
	}
	change, err := swarm.Remove(ctx, c.targets, members, swarm.ChangeOptions{View: &v, Gone: true, Progress: tell(p)})
	if err != nil {
		return err
	}
	s.warn(change.Warnings...)
	return nil
}

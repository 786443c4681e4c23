package cmd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) destroy() *cobra.Command {
	var yes, force bool
	c := &cobra.Command{
		Use: "destroy [NODE...]", Aliases: []string{"down", "rm"},
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
			if !s.Created() {
				if _, ok := s.OrphanedHere(); ok {
					s.warn("the folder that led to its machines was removed, and they are still there: dcalab prune")
				}
				s.note("lab %s does not exist here: nothing to destroy", s.Lab().Name)
				for _, line := range s.Neighbours() {
					s.note("%s", line)
				}
				if a.dryRun() {
					return s.rehearse(nil, nil)
				}
				return nil
			}
			if a.dryRun() {
				return s.rehearseDestroy(ctx, nodes, len(args) == 0, force)
			}
			if s.asRoot() {
				return s.sudo(ctx)
			}
			whole := len(args) == 0
			going := names(nodes)
			if whole {
				strays, err := s.Orphans(ctx)
				if err != nil {
					return err
				}
				going = slices.Concat(going, slices.Sorted(maps.Keys(strays)))
			}
			if !yes && !force {
				if err := s.confirm(ctx, "destroy", fmt.Sprintf("destroy %s of lab %s, with all that is on them%s?", strings.Join(going, ", "), s.Lab().Name, s.andSnapshots(ctx, whole))); err != nil {
					return err
				}
			}
			release, err := s.change(ctx)
			if err != nil {
				return err
			}
			defer release()
			p := s.progress(going)
			defer p.Close()
			var typed runbook.Runbook
			if !whole && !force {
				change, err := s.leaveSwarm(ctx, p, nodes)
				if err != nil {
					return err
				}
				s.warn(change.Warnings...)
				typed = change.Runbook
			}
			gone := names(nodes)
			if whole {
				gone = nil
			}
			typed = append(typed, s.destroying(gone)...)
			if err := s.Driver().Destroy(ctx, machine.Observer{Step: p.Step}, args...); err != nil {
				return err
			}
			for _, name := range going {
				p.Done(name, "destroyed")
			}
			p.Close()
			if whole {
				s.forget()
				err = s.State().Forget()
			} else {
				err = s.writeSSHConfig(ctx, nil)
			}
			if err != nil {
				return err
			}
			return s.recount(typed)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVarP(&force, "force", "f", false, "do not ask, and destroy even where the swarm loses its quorum")
	return explained(c)
}

// rehearseDestroy is the dry run of destroy.
func (s *session) rehearseDestroy(ctx context.Context, nodes []lab.Node, whole, force bool) error {
	var r rehearsal
	if !whole && !force {
		p := s.progress(names(nodes))
		defer p.Close()
		change, err := s.leaveSwarm(ctx, p, nodes)
		if err != nil {
			return err
		}
		p.Close()
		s.warn(change.Warnings...)
		r.plan = planLines(change.Steps)
		r.types(change.Runbook)
	}
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return err
	}
	var args []string
	for _, n := range nodes {
		if machines[n.Name] != machine.StatusAbsent {
			r.add("%s: destroy its machine, with all that is on it", n.Name)
		}
	}
	if whole {
		strays, err := s.Orphans(ctx)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(strays)) {
			r.add("%s: destroy its machine, which labs.yaml no longer has", name)
		}
		r.add("remove the lab's keys, known hosts and ssh_config%s", s.andSnapshots(ctx, true))
	} else {
		args = names(nodes)
	}
	r.types(s.destroying(args))
	return s.rehearse(r.plan, r.runbook)
}

// destroying is the runbook of destroying nodes, or with none, of the whole lab.
func (s *session) destroying(nodes []string) runbook.Runbook {
	return s.deed(machine.Deed{Act: machine.ActDestroy, Nodes: nodes})
}

// leaveSwarm takes nodes that are about to be destroyed out of the swarm in
// order, or in a dry run tells how it would, and refuses where the quorum needs
// them.
func (s *session) leaveSwarm(ctx context.Context, p *ui.Progress, nodes []lab.Node) (swarm.Result, error) {
	v, c, err := s.observeSettled(ctx, p)
	if err != nil {
		return swarm.Result{}, orForce(err)
	}
	defer c.Close()
	members := v.Members(names(nodes)...)
	if !v.Quorum.HasQuorum || len(v.CandidateSwarms) > 0 || len(members) == 0 {
		return swarm.Result{}, v.GuardDestroying(names(nodes)...)
	}
	plan, err := swarm.PlanRemove(v, members, true)
	if err != nil || s.app.dryRun() {
		return plan.Result(), err
	}
	return c.Cluster(swarm.Options{Progress: tell(p)}).Run(ctx, plan)
}

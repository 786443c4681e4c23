package cmd

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
)

func (a *app) prune() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove labs of this machine whose folder is gone",
		Long: `Find the labs of the sandbox driver that no folder holds any more, and remove
their machines with all that is on them: processes, disks, networks, snapshots.
A lab comes to that when its .dcalab is removed while it has machines, with
rm -r or git clean -fdx for instance. No other command reaches it then.

It asks first, unless --yes is given. A lab whose folder was moved, or is on a
disk that is not mounted, looks the same: run a command in the folder where it
is now (dcalab status), and it is not an orphan any more.

As root, without sudo, it finds those of all users. Machines of the Vagrant
driver are found by vagrant global-status, and removed by vagrant destroy ID.`,
		Example: "  dcalab prune\n  dcalab prune --dry-run\n  dcalab prune --yes",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			list := a.lab().OrphanedLabs()
			s := &session{app: a}
			if len(list) == 0 {
				if a.dryRun() {
					return s.rehearse(nil, nil)
				}
				s.note("every lab of this machine is in its folder: nothing to prune")
				return nil
			}
			var r rehearsal
			var sessions []*session
			for _, p := range list {
				opened, err := a.lab().OpenOrphaned(p)
				if err != nil {
					return err
				}
				one := &session{app: a, Session: opened}
				left, err := one.Orphans(ctx)
				if err != nil {
					return err
				}
				what := fmt.Sprintf("lab %s, made in %s", p.Lab, p.Root)
				if nodes := slices.Sorted(maps.Keys(left)); len(nodes) > 0 {
					what += ": " + strings.Join(nodes, ", ")
				}
				if !a.dryRun() {
					s.note("%s", what)
				}
				r.add("%s: destroy its machines, with all that is on them", what)
				r.types(one.ExplainMachines(machine.Deed{Act: machine.ActDestroy, Nodes: slices.Sorted(maps.Keys(left))}))
				sessions = append(sessions, one)
			}
			if a.dryRun() {
				return s.rehearse(r.plan, r.runbook)
			}
			if sessions[0].asRoot() {
				return sessions[0].sudo(ctx)
			}
			if !yes {
				if err := s.confirm(ctx, "no folder holds them any more: destroy their machines, with all that is on them?"); err != nil {
					return err
				}
			}
			index, _ := lab.OpenIndex(os.Getenv, owner()) // a convenience
			var typed runbook.Runbook
			for i, one := range sessions {
				p := one.progress([]string{list[i].Lab})
				typed = append(typed, one.ExplainMachines(machine.Deed{Act: machine.ActDestroy})...)
				err := one.Driver().Destroy(ctx, machine.Observer{Step: func(node, what string) { p.Step(list[i].Lab, node+": "+what) }})
				if err == nil {
					p.Done(list[i].Lab, "removed")
				}
				p.Close()
				if err != nil {
					return err
				}
				if index != nil {
					known, _ := index.Known(list[i].ID, lab.Place{Root: list[i].Root, Lab: list[i].Lab})
					for _, k := range known {
						_ = index.Remove(k)
					}
				}
			}
			return s.recount(typed)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return explained(c)
}

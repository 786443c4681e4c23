package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/lifecycle"
)

func pruneCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove labs of this machine whose folder is gone",
		Long: `Find the labs of the sandbox driver whose folder is gone, and remove their
machines with all that is on them: processes, disks, networks, snapshots. This
happens when .dcalab is removed while the lab has machines, for instance with
rm -r or git clean -fdx. No other command reaches such a lab.

It asks first, unless --yes is given. A lab whose folder was moved, or is on a
disk that is not mounted, looks the same: run a command in the folder where it
is now (dcalab status), and it is not an orphan any more.

Run by root, without sudo, it finds those of all users. Machines of the Vagrant
driver are found by vagrant global-status, and removed by vagrant destroy ID.`,
		Example: "  dcalab prune\n  dcalab prune --dry-run\n  dcalab prune --yes",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			s := &session{app: a}
			list, err := lifecycle.OrphanedLabs(ctx, a.lab())
			if err != nil {
				return err
			}
			if a.dryRun() {
				return s.perform(ctx, lifecycle.Prune(list))
			}
			if len(list) == 0 {
				s.note("every lab of this machine is in its folder: nothing to prune")
				return nil
			}
			for _, one := range list {
				s.note("%s", one.What)
			}
			return s.perform(ctx, lifecycle.Prune(list))
		},
	}
	yesFlag(c)
	return explained(c)
}

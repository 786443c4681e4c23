package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/lifecycle"
)

func destroyCommand(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "destroy [NODE...]", Aliases: []string{"down", "rm"},
		Short: "Remove machines and everything that belongs to them",
		Long: `Remove the machines of the lab with their disks, networks and keys. What
does not exist is no error. labs.yaml and the log stay.

It asks first, unless --yes is given. A node that is destroyed alone leaves
the swarm first, gracefully: a manager is demoted, the node leaves, its entry is
removed. This is refused when the remaining managers would have no quorum.
--force does not ask, and destroys even where the swarm loses its quorum.`,
		Example:           "  dcalab destroy\n  dcalab destroy --yes\n  dcalab destroy node02",
		ValidArgsFunction: completer{a}.nodes,
	}
	yesFlag(c)
	c.Flags().BoolVarP(&force, "force", "f", false, "do not ask, and destroy even where the swarm loses its quorum")
	return operation(a, (*app).open, c, func(s *session, args []string) (lifecycle.Operation, error) {
		nodes, err := s.pick(args)
		if err != nil {
			return nil, err
		}
		if !s.Created() {
			if _, ok := s.OrphanedHere(); ok {
				s.warn("the lab's state folder was removed, but its machines still exist: dcalab prune")
			}
			return nil, nothingTo(s, "destroy")
		}
		if len(args) == 0 {
			nodes = nil // orphans as well
		}
		return s.operator().Destroy(nodes, force), nil
	})
}

package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/lifecycle"
)

func resetCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "reset",
		Short: "Empty every node's engine: no swarm, no containers, images or volumes",
		Long: `Make clean nodes of the lab's machines without recreating them: everything that
their engines keep is removed (the swarm, containers, images, volumes,
networks), and they are started again with the configuration that they had.
Files elsewhere on the nodes stay, and so do their names, keys and users.

All nodes must run. It needs no swarm and no engine that answers, so it also
helps where a lab cannot be repaired. It asks first, unless --yes is given.`,
		Example: "  dcalab reset\n  dcalab reset --yes && dcalab swarm bootstrap",
		Args:    cobra.NoArgs,
	}
	yesFlag(c)
	return operation(a, (*app).existing, c, func(s *session, _ []string) (lifecycle.Operation, error) {
		return s.operator().Reset(), nil
	})
}

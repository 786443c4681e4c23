package cmd

import (
	"github.com/spf13/cobra"
)

func resetCommand(a *app) *cobra.Command {
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
			s, err := a.existing()
			if err != nil {
				return err
			}
			return s.perform(c.Context(), s.operator().Reset(), yes)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return explained(c)
}

package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/swarm"
)

func promoteCommand(a *app) *cobra.Command {
	return explained(&cobra.Command{
		Use:   "promote NODE...",
		Short: "Promote nodes to managers, and wait until they are Reachable",
		Long: `Make managers of the named nodes (short name, full name or node id) and wait
until each takes part in raft. The quorum is told before and after.`,
		Example:           "  dcalab promote node02\n  dcalab promote node02.docker-dca.example",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			return changeNodes(c.Context(), a, nodeChange{
				nodes: args, plan: swarm.PlanPromote, awaits: swarm.AwaitNamed, done: swarm.NodeView.Summary, already: "is a manager already", quorum: true,
			})
		},
	})
}

func demoteCommand(a *app) *cobra.Command {
	force := false
	c := &cobra.Command{
		Use:   "demote NODE...",
		Short: "Demote managers to workers, and wait until they have left raft",
		Long: `Make workers of the named managers and wait until each has left raft. It is
refused when the managers that are left would be no quorum, with the
arithmetic; --force does it all the same. The last manager always stays.`,
		Example:           "  dcalab demote node02",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			return changeNodes(c.Context(), a, nodeChange{
				nodes: args, awaits: swarm.AwaitManagers,
				plan: func(v swarm.View, names []string) (swarm.Plan, error) { return swarm.PlanDemote(v, names, force) },
				done: swarm.NodeView.Summary, already: "is a worker already", quorum: true,
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "demote even where the quorum would be lost")
	return explained(c)
}

package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/lifecycle"
)

func promoteCommand(a *app) *cobra.Command {
	return operation(a, (*app).existing, &cobra.Command{
		Use:   "promote NODE...",
		Short: "Promote nodes to managers, and wait until they are Reachable",
		Long: `Promote the named nodes (short name, full name or node id) to managers, and
wait until each takes part in raft. The quorum is shown before and after.`,
		Example:           "  dcalab promote node02\n  dcalab promote node02.docker-dca.example",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completer{a}.nodes,
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		return s.operator().Swarm().Promote(args...), nil
	})
}

func demoteCommand(a *app) *cobra.Command {
	force := false
	c := &cobra.Command{
		Use:   "demote NODE...",
		Short: "Demote managers to workers, and wait until they have left raft",
		Long: `Demote the named managers to workers, and wait until each has left raft. This
is refused when the remaining managers would have no quorum, and the error shows
the numbers; --force demotes anyway. The last manager is never demoted.`,
		Example:           "  dcalab demote node02",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completer{a}.nodes,
	}
	c.Flags().BoolVar(&force, "force", false, "demote even where the quorum would be lost")
	return operation(a, (*app).existing, c, func(s *session, args []string) (lifecycle.Operation, error) {
		return s.operator().Swarm().Demote(force, args...), nil
	})
}

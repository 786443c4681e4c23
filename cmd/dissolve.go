package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/lifecycle"
)

func dissolveCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "dissolve",
		Short: "Take the whole swarm down gracefully; the machines stay",
		Long: `Take the lab's swarm down: the workers leave first, then the managers, one
after the other, the leader last. The machines stay, with their images and
volumes, their engines in no swarm; dcalab swarm bootstrap makes a new one.

It says what is lost (services, secrets, configs, networks) and asks first,
unless --yes is given. It works without a quorum, too, and with managers that
are locked. A node that does not answer cannot leave. When it is back, the same
command takes it out, and dcalab swarm bootstrap into the next swarm.`,
		Example: "  dcalab swarm dissolve\n  dcalab swarm dissolve --yes && dcalab swarm bootstrap",
		Args:    cobra.NoArgs,
	}
	yesFlag(c)
	return operation(a, (*app).existing, c, func(s *session, _ []string) (lifecycle.Operation, error) {
		return s.operator().Swarm().Dissolve(), nil
	})
}

package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/lifecycle"
)

func haltCommand(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "halt [NODE...]", Aliases: []string{"stop"},
		Short: "Power machines off, keeping their disks",
		Long: `Shut the engine of each node down cleanly and power its machine off. Its disk
stays; dcalab start brings it back into the swarm.

Halting some of the nodes is refused when the remaining managers would have no
quorum: the swarm could not be changed any more. --force halts anyway.`,
		Example:           "  dcalab halt\n  dcalab halt node02",
		ValidArgsFunction: completer{a}.nodes,
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "halt even where the swarm loses its quorum")
	return operation(a, (*app).open, c, func(s *session, args []string) (lifecycle.Operation, error) {
		nodes, err := s.pick(args)
		if err == nil && !s.Created() {
			return nil, nothingTo(s, "halt")
		}
		return s.operator().Halt(nodes, force), err
	})
}

// nothing says that a lab that was never made leaves nothing to halt, or destroy.
func nothingTo(s *session, to string) error {
	s.note("lab %s does not exist here: nothing to %s", s.Lab().Name, to)
	for _, line := range s.Neighbours() {
		s.note("%s", line)
	}
	if s.app.dryRun() {
		return s.rehearse(nil, nil)
	}
	return nil
}

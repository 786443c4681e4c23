package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session/lifecycle"
)

func drainCommand(a *app) *cobra.Command {
	return availabilityCommand(a, "drain NODE...", engine.AvailabilityDrain, "Move all tasks away from nodes, and wait until they are gone",
		`Tell the scheduler to end the tasks of services on the named nodes and to
start them elsewhere, and wait until none is left there; after a minute it
reports which still are. A drained node gets no new tasks.

A drained manager stays a manager, with its vote: it gives up tasks, not its
role. Containers that were started by hand stay as well.`,
		"  dcalab drain node01\n  dcalab drain node01 node02 --dry-run")
}

func pauseCommand(a *app) *cobra.Command {
	return availabilityCommand(a, "pause NODE...", engine.AvailabilityPause, "Give nodes no new tasks; those that they have stay",
		`Tell the scheduler to give the named nodes no new tasks. Tasks that run there
keep running.`,
		"  dcalab pause node01")
}

func activateCommand(a *app) *cobra.Command {
	return availabilityCommand(a, "activate NODE...", engine.AvailabilityActive, "Let nodes have tasks again, after drain or pause",
		`Tell the scheduler that the named nodes take tasks again. Tasks that moved to
other nodes do not come back by themselves: docker service update --force
SERVICE distributes them again.`,
		"  dcalab activate node01")
}

func availabilityCommand(a *app, use string, want engine.Availability, short, long, example string) *cobra.Command {
	return operation(a, (*app).existing, &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: completer{a}.nodes,
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		return s.operator().Swarm().SetAvailability(want, args...), nil
	})
}

func removeCommand(a *app) *cobra.Command {
	return removalCommand(a, "remove NODE...", "Take nodes out of the swarm gracefully; their machines stay",
		"  dcalab remove node02\n  dcalab remove --force node02")
}

// leaveCommand is remove, under the name that Docker's own command has.
func leaveCommand(a *app) *cobra.Command {
	return removalCommand(a, "leave NODE...", "Let nodes leave the swarm gracefully: the same as dcalab remove",
		"  dcalab swarm leave node02")
}

func removalCommand(a *app, use, short, example string) *cobra.Command {
	gone := false
	c := &cobra.Command{
		Use: use, Short: short,
		Long: `Take the named nodes out of the swarm, one after the other: a manager is
demoted first, then the node leaves, then its entry is removed from the swarm's
node list. Its tasks start elsewhere. This is refused when the remaining
managers would have no quorum. The machine stays, its engine in no swarm;
dcalab join NODE takes it back in, as a new node.

A node that does not answer cannot leave, so its removal is refused. --force
removes its entry anyway, for a node that is gone for good, but never where the
quorum would be lost.`,
		Example: example, Args: cobra.MinimumNArgs(1), ValidArgsFunction: completer{a}.nodes,
	}
	c.Flags().BoolVarP(&gone, "force", "f", false, "remove the entries of nodes that do not answer, too")
	return operation(a, (*app).existing, c, func(s *session, args []string) (lifecycle.Operation, error) {
		return s.operator().Swarm().Remove(gone, args...), nil
	})
}

func joinCommand(a *app) *cobra.Command {
	return operation(a, (*app).existing, &cobra.Command{
		Use:   "join NODE...",
		Short: "Take nodes into the swarm, in the role that labs.yaml gives them",
		Long: `Take the named nodes, whose machines run, into the lab's swarm: new ones, and
those that were removed. They get the role, the labels and the availability
of labs.yaml. It does what dcalab swarm bootstrap does, for these nodes alone,
and ends when they are Ready.`,
		Example: "  dcalab up node03 && dcalab join node03",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: completer{a}.nodes,
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		nodes, err := s.pick(args)
		if err != nil {
			return nil, notYet(err)
		}
		for _, n := range nodes {
			if n.Role == lab.RoleNone {
				return nil, usage(n.Name+" has no role in the swarm: labs.yaml says role: none", "write role: worker, or role: manager, for it in labs.yaml")
			}
		}
		return s.operator().Swarm().Join(names(nodes)...), nil
	})
}

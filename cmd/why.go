package cmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/show"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func whyCommand(a *app) *cobra.Command {
	var o listing
	var exitCode bool
	c := &cobra.Command{
		Use:   "why SERVICE|TASK|NODE",
		Short: "Say why a task is pending, is where it is, or cannot be on a node",
		Long: `Judge the nodes as the swarm's scheduler does, and say for each whether one
more task of a service fits it, or which of the scheduler's filters keeps it
away: Ready and active, reserved resources, plugins, placement constraints,
platform, ports in host mode, replicas per node. Where no node fits, the
smallest changes that would make one fit are shown, as commands.

  SERVICE  its tasks, why some are pending or failed, what an update waits for
  TASK     web.1, or an id: why it is there, and why not on the other nodes
  NODE     which services it could have one more task of, and why not others

A service goes before a node of the same name; name the node by its full name
then. It is as things are now: a task that runs was placed as they were.

--exit-code makes the exit status 6 where a task is pending.`,
		Example:           "  dcalab why web\n  dcalab why web.1\n  dcalab why node02\n  dcalab why web -o json\n  dcalab why web --exit-code >/dev/null",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completer{a}.one,
		RunE: func(c *cobra.Command, args []string) error {
			format, err := o.format(report.Placement{})
			if err != nil {
				return err
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			if stop, err := s.announce(report.WhyRunbook(s.Session, args[0])); stop || err != nil {
				return err
			}
			r, err := report.ObserveWhy(c.Context(), s.Session, args[0], a.hint)
			if err != nil {
				return err
			}
			key := "node"
			if r.Kind == "node" {
				key = "service"
			}
			err = a.print(format, ui.Listing{
				Document: r, Rows: r.Placements, Key: key,
				Table: func(w io.Writer, wide bool) error { return show.Why(w, r, a.style(wide)) },
			})
			if err != nil || !exitCode || len(r.Pending) == 0 {
				return err
			}
			return &trouble.Error{
				ID: "task-pending", What: "why " + r.Name, Why: trouble.Count(len(r.Pending), "task") + " pending",
				Next: []string{"what would change that: " + a.hint("dcalab why "+r.Name)}, Exit: trouble.ExitUnfinished,
			}
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 6 where a task is pending")
	return explained(c)
}

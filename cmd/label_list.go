package cmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/ui"
)

func labelListCommand(a *app) *cobra.Command {
	var o listing
	c := &cobra.Command{
		Use: "list [NODE...]", Aliases: []string{"ls"},
		Short:             "List the labels of nodes in the swarm",
		Long:              "Show the labels that the swarm's node list has of each node, a line for each.",
		Example:           "  dcalab label list\n  dcalab label list node01 -o json",
		ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			format, err := o.format(report.Label{})
			if err != nil {
				return err
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := s.pick(args)
			if err == nil {
				err = s.MustExist()
			}
			if err != nil {
				return err
			}
			var typed []string
			for _, n := range nodes {
				typed = append(typed, "docker node inspect --format '{{.Spec.Labels}}' "+s.Lab().Hostname(n))
			}
			if stop, err := s.announce(onEach(s.manager(), typed...)); stop || err != nil {
				return err
			}
			r, err := report.ObserveLabels(c.Context(), s.Session, names(nodes))
			if err != nil {
				return err
			}
			if format.ForPeople() && len(r.Labels) == 0 {
				s.note("no node has a label; set one: dcalab label set NODE KEY=VALUE")
				return nil
			}
			return a.print(format, ui.Listing{
				Document: r, Rows: r.Labels, Key: "key",
				Table: func(w io.Writer, _ bool) error {
					return ui.Table(w, []string{"NODE", "KEY", "VALUE"}, cells(r.Labels, report.Label.Cells), a.outColor())
				},
			})
		},
	}
	o.flags(c)
	return explained(c)
}

package cmd

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/report"
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
				Table: func(w io.Writer, wide bool) error { return whyText(s, w, r, wide) },
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

// whyColumns is how wide its text is at most, but for commands.
const whyColumns = 100

func whyText(s *session, w io.Writer, r report.Why, wide bool) error {
	var b bytes.Buffer
	color, now := s.app.outColor(), time.Now()
	fmt.Fprintf(&b, "%s %s: %s\n", r.Kind, r.Name, r.Summary)
	if len(r.Tasks) > 0 {
		header := []string{"TASK", "NODE", "STATE", "DESIRED", "SINCE"}
		rows := make([][]string, len(r.Tasks))
		for i, t := range r.Tasks {
			rows[i] = t.Cells(now)
			if wide {
				rows[i] = append(rows[i], t.ID, t.Error)
			}
		}
		if wide {
			header = append(header, "ID", "MESSAGE")
		}
		b.WriteByte('\n')
		if err := ui.Table(&b, header, rows, color); err != nil {
			return err
		}
	}
	if len(r.Placements) > 0 {
		title := "NODE"
		if r.Kind == "node" {
			title = "SERVICE"
		}
		var rows [][]string
		for _, p := range r.Placements {
			name := p.Node
			if r.Kind == "node" {
				name = p.Service
			}
			rows = append(rows, p.Lines(name, wide)...)
		}
		b.WriteByte('\n')
		if err := ui.Table(&b, []string{title, "FITS", "TASKS", "OF ALL", "WHY"}, rows, color); err != nil {
			return err
		}
	}
	if len(r.Notes) > 0 {
		b.WriteByte('\n')
	}
	for _, line := range r.Notes {
		fmt.Fprintln(&b, line)
	}
	width := whyColumns
	if fit := s.app.streams.OutFit(); fit > 0 {
		width = min(width, fit)
	}
	if wide {
		width = 0
	}
	text := ui.Wrap(b.String(), width)
	b.Reset()
	if len(r.Changes) > 0 {
		b.WriteString("\nthe smallest changes that make a node fit, any one of them (docker: on a manager):\n")
		for _, lines := range r.Changes {
			for i, line := range lines {
				if i > 0 {
					line = "  and " + line
				}
				fmt.Fprintln(&b, "  "+line)
			}
		}
	}
	_, err := io.WriteString(w, text+b.String()) // commands are left whole, to be copied
	return err
}

package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func statusCommand(a *app) *cobra.Command {
	var o listing
	var watch, view, exitCode bool
	c := &cobra.Command{
		Use: "status [NODE...]", Aliases: []string{"ps"},
		Short: "Show every node: machine, engine, role, state; and the quorum",
		Long: `Ask every machine and every engine, and show what each says. It works when
there is no swarm, when nodes are down, and when the swarm has lost its
quorum and docker node ls no longer answers.

--watch is a live view of the whole screen; ? shows its keys. It listens as
dcalab timeline --follow does, and so shows elections, each manager's raft log
and tasks as they happen. Where the output is no terminal it prints the table
again when something happens, and every two seconds.

--view shows side by side what each manager believes: who leads, in which raft
term, and every member's role and state. After a partition the sides differ,
and what differs is marked with ≠. While nobody leads, it tells the term of
the election, and how long it has lasted where some dcalab has listened.

--exit-code makes the exit status 6 unless the swarm is as labs.yaml describes:
all machines run, there is a leader, all nodes are Ready, managers Reachable,
and swarm bootstrap has nothing to do. With names, only these nodes count.`,
		Example:           "  dcalab status\n  dcalab status --watch\n  dcalab status --view\n  dcalab status -o json\n  dcalab status --format '{{.name}} {{.swarm.role}}'\n  dcalab status --exit-code -q >/dev/null",
		ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			var row any = report.Node{}
			if view {
				row = swarm.Belief{}
			}
			format, err := o.format(row)
			if err != nil {
				return err
			}
			switch {
			case view && len(args) > 0:
				return usage("--view shows every manager, and takes no names", "dcalab status --view")
			case exitCode && (watch || view):
				return usage("--exit-code is for one look at the nodes", "leave out --watch and --view")
			}
			ctx := c.Context()
			a.watching = watch
			s, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := s.pick(args)
			if err != nil {
				return err
			}
			only := names(nodes)
			if len(args) == 0 {
				only = nil
			}
			typed := report.Runbook(s.Session)
			if view {
				typed = report.BeliefsRunbook(s.Session)
			}
			if stop, err := s.announce(typed); stop || err != nil {
				return err
			}
			var unmet []string
			show := func(ctx context.Context, s *session, w io.Writer) error {
				if view {
					return showBeliefs(ctx, s, w, format)
				}
				r, err := showStatus(ctx, s, w, format, only)
				if err == nil && exitCode {
					unmet = r.Unmet(s.Lab())
				}
				return err
			}
			if watch && o == (listing{}) && !view && a.streams.CanLive() {
				return watchLive(ctx, s, only)
			}
			if watch {
				events := newStream(false)
				defer events.stop()
				return ui.Watch(ctx, a.streams, 2*time.Second, events.happened, func(ctx context.Context, _ int) (string, error) {
					// Anew each time: the lab may be made and destroyed meanwhile.
					s, err := a.open()
					if err != nil {
						return "", err
					}
					events.from(ctx, s)
					var b bytes.Buffer
					err = show(ctx, s, &b)
					return b.String(), err
				})
			}
			var b bytes.Buffer
			if err := show(ctx, s, &b); err != nil {
				return err
			}
			if _, err = a.streams.Out.Write(b.Bytes()); err != nil || len(unmet) == 0 {
				return err
			}
			return &trouble.Error{
				ID: "swarm-unfinished", What: "the swarm is not yet what labs.yaml asks for", Why: strings.Join(unmet, "; "),
				Next: []string{"dcalab up --swarm"}, Exit: trouble.ExitUnfinished,
			}
		},
	}
	o.flags(c)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "a live view, until q or Ctrl-C")
	c.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 6 unless the swarm is as labs.yaml describes")
	c.Flags().BoolVar(&view, "view", false, "what each manager believes, side by side")
	return explained(c)
}

// showStatus observes the lab once and shows it; only some of its nodes, where
// they are named.
func showStatus(ctx context.Context, s *session, w io.Writer, format ui.Format, only []string) (report.Status, error) {
	r, err := report.Observe(ctx, s.Session, report.Options{Nodes: only, Advise: s.app.hint})
	if err != nil {
		return r, err
	}
	return r, format.Write(w, ui.Listing{
		Document: r, Rows: r.Nodes, Key: "name",
		Table: func(w io.Writer, wide bool) error { return statusText(s, w, r, wide) },
	})
}

// statusText is the table of the nodes, and what is said below it.
func statusText(s *session, w io.Writer, r report.Status, wide bool) error {
	var b bytes.Buffer
	color, width := s.app.outColor(), s.app.streams.OutFit()
	if wide {
		width = 0
	}
	if err := statusTable(&b, r.Nodes, wide, width, color); err != nil {
		return err
	}
	line := r.QuorumLine()
	if !slices.ContainsFunc(r.Ailments, func(p swarm.Problem) bool { return strings.HasPrefix(p.Cause, line) }) { // it says it below
		fmt.Fprintf(&b, "\n%s\n", s.app.hint(line))
	} else {
		b.WriteByte('\n')
	}
	tables := []struct {
		header []string
		rows   [][]string
	}{
		{[]string{"SERVICE", "MODE", "REPLICAS", "IMAGE", "PORTS"}, cells(r.Services, report.Service.Cells)},
		{[]string{"SERVICE", "PORT", "MODE", "REACHED AT"}, cells(r.Ports, report.Port.Cells)},
	}
	for _, t := range tables {
		if len(t.rows) == 0 {
			continue
		}
		b.WriteByte('\n')
		if err := ui.Table(&b, t.header, t.rows, color); err != nil {
			return err
		}
	}
	for _, line := range r.Notices() {
		ui.PrintWarning(&b, line, color)
	}
	writeProblems(&b, r.Ailments, color)
	_, err := io.WriteString(w, ui.Wrap(b.String(), width))
	return err
}

func cells[T any](rows []T, of func(T) []string) [][]string {
	out := make([][]string, len(rows))
	for i, r := range rows {
		out[i] = of(r)
	}
	return out
}

// statusTable leaves out, on a narrow terminal, what the live view does; before
// that, the distribution's part of the engine's version.
func statusTable(w io.Writer, nodes []report.Node, wide bool, width int, color bool) error {
	rows := cells(nodes, report.Node.Cells)
	columns := []ui.Column{
		{Title: "NODE"},
		{Title: "MACHINE", Keep: 5},
		{Title: "ENGINE", Keep: 2},
		{Title: "ROLE", Keep: 8},
		{Title: "AVAILABILITY", Keep: 3},
		{Title: "STATE", Keep: 9},
		{Title: "ADDRESS", Keep: 1},
	}
	if wide {
		columns = append(columns, ui.Column{Title: "HOSTNAME"}, ui.Column{Title: "ID"}, ui.Column{Title: "CERTIFICATE"})
		for i, n := range nodes {
			rows[i] = append(rows[i], n.MoreCells()...)
		}
	}
	var whole bytes.Buffer
	if err := ui.FitTable(&whole, columns, rows, 0, false); err != nil {
		return err
	}
	if width > 0 && widest(whole.String()) > width {
		for _, r := range rows {
			r[2], _, _ = strings.Cut(r[2], "+")
		}
	}
	return ui.FitTable(w, columns, rows, width, color)
}

// widest is the width of a text's longest line.
func widest(text string) int {
	w := 0
	for line := range strings.Lines(text) {
		w = max(w, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
	}
	return w
}

// writeProblems shows each as a warning with what fixes it.
func writeProblems(w io.Writer, problems []swarm.Problem, color bool) {
	for _, p := range problems {
		ui.PrintWarning(w, p.Cause, color)
		for _, line := range p.Fix {
			fmt.Fprintln(w, "  "+line)
		}
	}
}

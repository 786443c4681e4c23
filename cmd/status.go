package cmd

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/show"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/timeline"
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
			printed := func(ctx context.Context, s *labsession.Session, w io.Writer) error {
				if view {
					return a.showBeliefs(ctx, s, w, format)
				}
				r, err := a.showStatus(ctx, s, w, format, only)
				if err == nil && exitCode {
					unmet = r.Unmet(s.Lab())
				}
				return err
			}
			switch {
			case watch && o == (listing{}) && !view && a.streams.CanLive():
				return show.Live(ctx, a.streams, show.LiveOptions{Open: a.openLab, Nodes: only, Style: a.style(false)})
			case watch:
				return show.Watch(ctx, a.streams, a.openLab, printed)
			}
			var b bytes.Buffer
			if err := printed(ctx, s.Session, &b); err != nil {
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
func (a *app) showStatus(ctx context.Context, s *labsession.Session, w io.Writer, format ui.Format, only []string) (report.Status, error) {
	r, err := report.Observe(ctx, s, report.Options{Nodes: only, Advise: a.hint})
	if err != nil {
		return r, err
	}
	return r, format.Write(w, ui.Listing{
		Document: r, Rows: r.Nodes, Key: "name",
		Table: func(w io.Writer, wide bool) error { return show.Status(w, r, a.style(wide)) },
	})
}

// showBeliefs asks each manager once, and shows what each believes.
func (a *app) showBeliefs(ctx context.Context, s *labsession.Session, w io.Writer, format ui.Format) error {
	r, err := report.ObserveBeliefs(ctx, s)
	if err != nil {
		return err
	}
	if r.Election != nil && s.State().Recording().Runs() { // somebody has seen it begin
		var now timeline.Present
		if err := (timeline.Recording{State: s.State()}).Read(time.Time{}, func(e timeline.Event) { now.Take(e) }); err != nil {
			return err
		}
		if _, since, ok := now.Electing(); ok {
			r.Election.Began(since)
		}
	}
	return format.Write(w, ui.Listing{
		Document: r, Rows: r.Managers, Key: "manager",
		Table: func(w io.Writer, _ bool) error { return show.Beliefs(w, r, a.style(false)) },
	})
}

package cmd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/observe"
	"github.com/dcalab/dcalab/show"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/web"
	"github.com/dcalab/dcalab/web/host"
)

func timelineCommand(a *app) *cobra.Command {
	var follow, all bool
	var since time.Duration
	var output string
	c := &cobra.Command{
		Use:   "timeline",
		Short: "Show what happens in the lab, from all sources, in one order",
		Long: `Show what was recorded of the lab: elections, votes and terms of raft,
changes of nodes, services and tasks, machines, engines that stop, hang and
answer again, faults, and what commands of dcalab did. --follow listens,
records and shows it as it comes, until Ctrl-C. status --watch listens and
records, too; nothing is recorded while nobody does.

Each manager's raft log and the changes that it applies are read on the manager
itself, over SSH and as root, without asking a leader: so it goes on through
elections, and where the quorum is lost. Nothing is written on the nodes.
Secrets and configs are not asked for; of services and tasks, what is kept is
names, states, nodes and numbers of replicas.

Times are those at which this machine learnt of it. A change is shown when the
first manager applies it; --all shows it for each of them, and every entry of
their logs. The recording is .dcalab/LAB/timeline.jsonl, one event per line;
when it reaches 16 MiB, it becomes timeline.old.jsonl, in place of the last.`,
		Example: "  dcalab timeline --follow\n  dcalab timeline --since 10m\n  dcalab timeline -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case since < 0:
				return usage("--since "+since.String()+" is in the future", "the last ten minutes: --since 10m")
			case output != "text" && output != "json":
				return oneOf("output format", output, []string{"text", "json"}, "")
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			_, unrecorded := os.Stat(s.State().Recording().Path()) // it outlives the lab
			if follow || unrecorded != nil {
				if err := s.MustExist(); err != nil {
					return err
				}
			}
			if stop, err := s.announce(timeline.Runbook(s.Session)); stop || err != nil {
				return err
			}
			var from time.Time
			if since > 0 || follow {
				from = time.Now().Add(-since)
			}
			tell := show.Events(a.streams.Out, output == "json", all)
			if !follow {
				if errors.Is(unrecorded, fs.ErrNotExist) {
					s.note("nothing was recorded yet; dcalab timeline --follow does")
				}
				return timeline.Recording{State: s.State()}.Read(from, tell)
			}
			return timeline.Follow(c.Context(), s.Session, from, tell)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "listen, record and show what happens, until Ctrl-C")
	c.Flags().DurationVar(&since, "since", 0, "leave out what is older than this: 10m, 2h")
	c.Flags().BoolVar(&all, "all", false, "show also what repeats: each manager's own, and every entry of the log")
	c.Flags().StringVarP(&output, "output", "o", "text", "text, or json: one event per line")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, noFiles))
	c.AddCommand(timelineExportCommand(a))
	return explained(c)
}

func timelineExportCommand(a *app) *cobra.Command {
	var since, until time.Duration
	var output string
	c := &cobra.Command{
		Use:   "export [FILE.html]",
		Short: "Tell what became of the swarm in a recorded time, and keep it as a page",
		Long: `Find in what was recorded of the lab what dcalab observe finds while it happens:
what was broken, terms, votes, leaders, tasks that were placed anew, nodes that
are Ready again, each with its time, and the rules behind them.

FILE.html is the page of dcalab serve with that time in it, to be opened without
dcalab and without a network: drag its time line, and everything is as it was.
What was found is drawn below, and seen without a script as well. Moments less
than 0.1 s apart are one, and where there are more than 10,000, longer ones.

Which writes were accepted is known where dcalab observe was at work then.`,
		Example: "  dcalab timeline export --since 10m\n  dcalab timeline export evening.html --since 2h --until 1h",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file := ""
			if len(args) > 0 {
				file = args[0]
			}
			o := observation{report: file, output: output}
			switch {
			case since < 0 || until < 0:
				return usage("--since and --until are how long ago: 10m", "dcalab timeline export --since 10m")
			case since > 0 && since <= until:
				return usage("--since "+since.String()+" is not before --until "+until.String(), "dcalab timeline export --since 2h --until 1h")
			}
			if err := o.check(); err != nil {
				return err
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			if stop, err := s.announce(timeline.Runbook(s.Session)); stop || err != nil {
				return err
			}
			return observing{s, o}.export(c.Context(), since, until)
		},
	}
	c.Flags().DurationVar(&since, "since", 0, "from how long ago: 10m, 2h (default: the last time that somebody listened)")
	c.Flags().DurationVar(&until, "until", 0, "until how long ago (default: now)")
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml (default: text)")
	return explained(c)
}

// export shows what was observed in a recorded time.
func (o observing) export(ctx context.Context, since, until time.Duration) error {
	now := time.Now()
	end, from := now.Add(-until), time.Time{}
	if since > 0 {
		from = now.Add(-since)
	}
	observer := observe.New(o.Lab().Name, from)
	var events []timeline.Event
	err := timeline.Recording{State: o.State()}.Read(time.Time{}, func(e timeline.Event) {
		if !e.Time.After(end) {
			observer.Add(e)
			events = append(events, e)
		}
	})
	if err != nil {
		return err
	}
	last := end
	if len(events) > 0 {
		last = events[len(events)-1].Time
	} else {
		o.note("nothing was recorded then; dcalab timeline --follow and dcalab observe record")
	}
	rep := observer.Report(last)
	return o.showReport(o.report, o.output, rep, func(w io.Writer) error {
		var found strings.Builder
		if err := observe.WritePage(&found, rep); err != nil {
			return err
		}
		l := host.Lab(ctx, o.Session)
		l.Exists = true // then
		return web.WritePast(w, l, events, observer.Start(), found.String())
	})
}

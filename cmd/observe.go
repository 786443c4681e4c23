package cmd

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/observe"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/timeline"
)

// observation are the flags of what observes a lab.
type observation struct {
	report, output string
	load           bool
}

func (o *observation) flags(c *cobra.Command) {
	c.Flags().BoolVar(&o.load, "load", false, "run tasks of the demo image meanwhile, two for each node")
	c.Flags().StringVar(&o.report, "report", "", "draw what was observed, on a page of HTML")
	c.Flags().StringVarP(&o.output, "output", "o", "", "json or yaml (default: text)")
}

// check refuses what makes no sense.
func (o *observation) check() error {
	if err := checkFormat(o.output); err != nil {
		return err
	}
	return freeFile(o.report)
}

func observeCommand(a *app) *cobra.Command {
	var o observation
	var total time.Duration
	c := &cobra.Command{
		Use:   "observe",
		Short: "Follow what becomes of the swarm when something breaks, and time it",
		Long: `Wait until something breaks in the lab, by dcalab break in another terminal or
by hand, and follow the swarm until it is whole again: the first new term, the
votes, the leader, the first write that is accepted, tasks that are placed anew,
nodes that are Ready. Each is told as it comes, in milliseconds since the fault,
and at the end all of them once more, with the rules of SwarmKit's raft behind
them.

It writes through each manager, to learn when that is possible: a label of the
config dcalab-observe-MANAGER, made for this and removed at the end, also after
Ctrl-C. What happens is recorded as by dcalab timeline --follow, and dcalab
timeline export gives the same of what was recorded.`,
		Example: "  dcalab observe\n  dcalab observe --for 10m --report evening.html\n  dcalab break isolate leader --for 1m --observe",
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { // before a lab is looked for
			if total < 0 || total > 0 && total < time.Second {
				return usage("--for is a second at least, and with --for 0 until it is whole again", "dcalab observe --for 10m")
			}
			return o.check()
		},
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.existing()
			if err != nil {
				return err
			}
			if stop, err := s.announce(timeline.Runbook(s.Session)); stop || err != nil {
				return err
			}
			return observing{s, o}.run(c.Context(), total, nil, nil)
		},
	}
	c.Flags().DurationVar(&total, "for", 0, "how long to look at most: 10m; 0 is until it is whole again")
	o.flags(c)
	return explained(c)
}

// observing observes a lab.
type observing struct {
	*session
	observation
}

// run follows what becomes of the swarm, once op, if there is one, has broken something.
// told are the warnings that its plan has told.
func (o observing) run(ctx context.Context, total time.Duration, op lifecycle.Operation, told []string) error {
	if o.load {
		if err := o.loadDemo(ctx); err != nil {
			return err
		}
	}
	var rep observe.Report
	var typed runbook.Runbook
	err := o.bounded(ctx, told, func(ctx context.Context, tell story) error {
		steps := timeline.Steps(o.Session, tell)
		options := observe.Options{For: total, Load: o.load, Tell: steps, Found: func(m observe.Milestone) { tell.Note(m.Line()) }}
		if op != nil {
			options.Break = func(ctx context.Context) error {
				out, err := o.underLock(ctx, op, steps)
				typed = out.Runbook
				for _, note := range out.Notes {
					steps.Note(note)
				}
				return err
			}
		}
		var err error
		rep, err = observe.Run(ctx, o.Session, options)
		return err
	})
	if len(rep.Milestones) == 0 && err != nil { // it never began
		return err
	}
	if op != nil {
		err = errors.Join(err, o.recount(typed))
	}
	return errors.Join(o.show(rep), err)
}

// loadDemo loads the demo image into the nodes that run.
func (o observing) loadDemo(ctx context.Context) error {
	machines, err := o.Driver().Status(ctx)
	if err != nil {
		return err
	}
	nodes := slices.DeleteFunc(slices.Clone(o.Lab().Nodes), func(n lab.Node) bool { return machines[n.Name] != machine.StatusRunning })
	f, err := labsession.DemoImage.Open(ctx, o.app.streams.In, o.app.settings.GetString("demo-binary"), nil)
	if err != nil {
		return err
	}
	defer f.Close()
	return loadImages(ctx, o.session, labsession.ImageLoad{Archive: f.Archive, Source: labsession.DemoImage}, nodes)
}

// show prints a report, and draws it where that is asked for.
func (o observing) show(rep observe.Report) error {
	return o.showReport(o.report, o.output, rep, func(w io.Writer) error { return observe.WritePage(w, rep) })
}

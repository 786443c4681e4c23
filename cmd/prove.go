package cmd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/prove"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// proof are the flags of dcalab prove, and what they mean.
type proof struct {
	total          time.Duration
	seed           uint64
	faults         []string
	noFaults       bool
	report, output string

	asked   []fault.Request
	planned []prove.Planned
}

func proveCommand(a *app) *cobra.Command {
	var p proof
	c := &cobra.Command{
		Use:   "prove",
		Short: "Break the lab while clients write, and prove that no acknowledged write is lost",
		Long: `Clients write and read the swarm's store through all managers while faults
come and go. Then everything is healed, every manager is asked for what is
there, and the history of all operations is checked: is every acknowledged
write there, and is there an order of them that fits their times
(linearizability)?

What they write are labels of three configs, dcalab-prove-1 to -3, made for this
and removed at the end, also after Ctrl-C. A write names the version that it
replaces, and is refused where another was faster. Nothing else is touched.

Without --fault there is a partition of the leader, and then others as the seed
draws them; each lasts up to 25 seconds and heals by itself. It takes three
managers. SwarmKit answers reads from its leader's memory: one that is cut off
gives old values until it steps down. Such reads are counted and shown, and are
no failure.

The exit status is 0 when no acknowledged write was lost, and 6 when one was, or
when it could not be found out.`,
		Example: "  dcalab prove\n  dcalab prove --for 5m --report prove.html\n  dcalab prove --fault 'kill leader' --fault 'isolate leader --one-way in'\n  dcalab prove --no-faults --for 10s -o json",
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return p.check() }, // before a lab is looked for
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.existing()
			if err != nil {
				return err
			}
			return prover{s, p}.run(c.Context())
		},
	}
	c.Flags().DurationVar(&p.total, "for", 2*time.Minute, "how long clients write and read")
	c.Flags().Uint64Var(&p.seed, "seed", 0, "have the same faults as before")
	c.Flags().StringArrayVar(&p.faults, "fault", nil, "a fault as it is typed after dcalab break, without --for; may be repeated")
	c.Flags().BoolVar(&p.noFaults, "no-faults", false, "break nothing")
	c.Flags().StringVar(&p.report, "report", "", "draw what happened, on a page of HTML")
	c.Flags().StringVarP(&p.output, "output", "o", "", "json or yaml (default: text)")
	yesFlag(c)
	_ = c.RegisterFlagCompletionFunc("fault", completer{a}.faultWords)
	return explained(c)
}

// check refuses what makes no sense, and finds out which faults there are to be.
func (p *proof) check() error {
	if err := checkFormat(p.output); err != nil {
		return err
	}
	switch {
	case p.noFaults && len(p.faults) > 0:
		return usage("--no-faults breaks nothing, and --fault something", "give one of them")
	case p.total < time.Second || p.total > 30*time.Minute: // the search for an order takes memory
		return usage("--for is a second at least, and 30 minutes at most", "dcalab prove --for 2m")
	case !p.noFaults && p.total < prove.LeastTime:
		return usage("--for "+p.total.String()+" leaves no time for a fault", "dcalab prove --for "+prove.LeastTime.String(), "without one: dcalab prove --no-faults --for "+p.total.String())
	}
	for _, line := range p.faults {
		r, err := prove.ParseFault(line)
		var wrong *fault.SyntaxError
		if errors.As(err, &wrong) {
			return usage(wrong.Why, "dcalab prove --fault 'partition leader'", "which faults there are: dcalab break --help")
		}
		if err != nil {
			return err
		}
		p.asked = append(p.asked, r)
	}
	return freeFile(p.report)
}

// freeFile refuses a file that is there, or for which there is no folder.
func freeFile(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return &trouble.Error{
			ID: "file-exists", What: "write " + path, Why: "it exists already, and is not overwritten",
			Next: []string{"name another file, or remove this one"}, Exit: trouble.ExitRefused, Err: fs.ErrExist,
		}
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
		return &trouble.Error{
			ID: "file-place", What: "write " + path, Why: "its folder does not exist", Next: []string{"name a file in a folder that exists"}, Err: err,
		}
	}
	return nil
}

// prover proves what a lab keeps.
type prover struct {
	*session
	proof
}

// run breaks the lab while clients write, and says what that proves.
func (p prover) run(ctx context.Context) error {
	if p.seed == 0 {
		p.seed = 1 + rand.Uint64N(1_000_000) //nolint:gosec // a lot, short enough to be typed again
	}
	if !p.noFaults {
		var err error
		if p.planned, err = prove.Schedule(p.total, p.seed, p.asked); err != nil {
			return err
		}
	}
	o := prove.Options{For: p.total, Seed: p.seed, Faults: p.planned}
	if p.app.dryRun() {
		return p.rehearse(prove.Lines(o), prove.Runbook(p.Lab(), o))
	}
	for _, one := range p.planned {
		if lacksRoot(p.operator().Faults().Break(one.Request, true)) {
			return asRoot{p.session}.rerun()
		}
	}
	yes, err := p.askForFaults(ctx)
	if err != nil {
		return err
	}
	var ran prove.Ran
	err = p.bounded(ctx, nil, func(ctx context.Context, tell story) error {
		var err error
		steps := timeline.Steps(p.Session, tell)
		o.Tell = steps
		o.Break = func(ctx context.Context, r fault.Request) (fault.Fault, error) {
			out, err := p.underLock(ctx, p.operator().Faults().Break(r, yes), steps)
			if err != nil {
				return fault.Fault{}, err
			}
			steps.Note(strings.Join(out.Notes[:min(1, len(out.Notes))], ""))
			j, err := fault.ReadJournal(p.State())
			if err != nil || len(j.Faults) == 0 {
				return fault.Fault{}, errors.Join(err, errors.New("it was healed at once"))
			}
			return slices.MaxFunc(j.Faults, func(a, b fault.Fault) int { return a.Begun.Compare(b.Begun) }), nil
		}
		o.Heal = func(ctx context.Context, ids []string) error {
			_, err := p.underLock(ctx, p.operator().Faults().Heal(ids...), steps)
			return err
		}
		elections := timeline.Elections(ctx, p.Session)
		ran, err = prove.Run(ctx, p.Session, o)
		won, unheard := elections()
		if unheard != nil {
			p.warn("elections are not shown: " + trouble.OneLine(unheard))
		}
		for _, e := range won {
			ran.Elected(e.Time, e.Node, e.Raft.Term)
		}
		return err
	})
	if err != nil && len(ran.Operations) == 0 { // it was interrupted, or never began
		return err
	}
	rep := prove.NewReport(p.Lab().Name, p.seed, ran)
	page := func(w io.Writer) error { return prove.WritePage(w, rep, ran) }
	return errors.Join(p.showReport(p.report, p.output, rep, page), rep.Trouble(), err)
}

// askForFaults refuses faults that were asked for and that the lab cannot have, and asks
// before one costs the quorum. yes: it may.
func (p prover) askForFaults(ctx context.Context) (yes bool, err error) {
	yes = p.flag("yes") == "true"
	if len(p.asked) == 0 {
		return yes, nil
	}
	pool := p.NewPool()
	defer pool.Close()
	if _, err := prove.Managers(ctx, p.Session, pool, true); err != nil {
		return yes, err
	}
	for _, r := range p.asked {
		r.Seed = p.seed
		plan, err := p.operator().Faults().Break(r, yes).Plan(ctx, nil)
		if err != nil {
			return yes, err
		}
		if plan.Question != "" && !yes {
			p.warn(plan.Warnings...)
			if err := p.confirm(ctx, plan.Question); err != nil {
				return yes, err
			}
			yes = true
		}
	}
	return yes, nil
}

// underLock does an operation while the lab is locked.
func (s *session) underLock(ctx context.Context, op lifecycle.Operation, tell labsession.Reporter) (lifecycle.Outcome, error) {
	release, err := s.change(ctx)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	defer release()
	return op.Run(ctx, tell)
}

// showReport prints a report, and draws it in a file where there is to be one.
func (s *session) showReport(file, output string, report interface{ Write(io.Writer) error }, page func(io.Writer) error) error {
	var drawn error
	if file != "" {
		if drawn = newFile(file, page); drawn == nil {
			s.note("drawn in %s", file)
		}
	}
	if output != "" {
		text, err := ui.Encode(output, report)
		if err == nil {
			_, err = s.app.streams.Out.Write(text)
		}
		return errors.Join(err, drawn)
	}
	return errors.Join(report.Write(s.app.streams.Out), drawn)
}

// newFile writes a file that is not there yet.
func newFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a picture, to be shown
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// faultWords completes the kinds of faults.
func (c completer) faultWords(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	for _, kind := range fault.Kinds() {
		out = append(out, string(kind)+" ")
	}
	return out, noFiles
}

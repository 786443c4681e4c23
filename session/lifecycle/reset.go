package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

type reset struct{ Operator }

// Reset empties the engine of every node, all of which must run.
func (o Operator) Reset() Operation { return reset{o} }

func (reset) NeedsRoot() bool { return false }

func (r reset) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	if err := r.allRun(ctx); err != nil {
		return Plan{}, err
	}
	p := Plan{Question: fmt.Sprintf(
		"empty the engines of %s (swarm, containers, images and volumes are removed; other files on the nodes stay)?", strings.Join(r.Lab().NodeNames(), ", "))}
	j, err := fault.ReadJournal(r.State())
	if err != nil {
		return Plan{}, err
	}
	for _, f := range j.Now(time.Now()) {
		p.add("heal %s, %s", f.ID, f.Words())
	}
	for _, n := range r.Lab().Nodes {
		p.add("%s: empty its engine of swarm, containers, images and volumes, and start it again", n.Name)
		p.types(provision.ExplainReset(n.Name))
	}
	return p, nil
}

func (r reset) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	plan, err := r.Plan(ctx, tell)
	if err != nil {
		return Outcome{}, err
	}
	began := time.Now()
	if err := r.Faults().healAll(ctx, tell); err != nil {
		return Outcome{}, err
	}
	engines, err := r.Engines(ctx, nil)
	if err != nil {
		return Outcome{}, err
	}
	defer engines.Close()
	var unreachable []error
	for _, t := range engines.Targets {
		unreachable = append(unreachable, t.Unreachable)
	}
	if err := errors.Join(unreachable...); err != nil {
		return Outcome{}, err
	}
	errs := make([]error, len(engines.Targets))
	var wg sync.WaitGroup
	for i, t := range engines.Targets {
		wg.Go(func() {
			errs[i] = provision.Reset(ctx, engines.Pool.Held(t.Name), func(step string) { tell.Step(t.Name, step) })
			if errs[i] != nil {
				tell.Fail(t.Name, errs[i])
			} else {
				tell.Done(t.Name, "clean, in no swarm")
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return Outcome{}, cut(ctx, ctx.Err(), "some engines may be stopped, and empty", "finish it: dcalab reset --yes")
	}
	if err := errors.Join(errs...); err != nil {
		return Outcome{}, &trouble.Error{Err: err, Next: append(trouble.Advice(err), "then finish it: dcalab reset --yes")}
	}
	note := fmt.Sprintf("lab %s is clean, in %s; next: dcalab swarm bootstrap", r.Lab().Name, trouble.Duration(time.Since(began)))
	return Outcome{Notes: []string{note}, Runbook: plan.Runbook}, nil
}

// allRun refuses while a machine does not run.
func (r reset) allRun(ctx context.Context) error {
	if err := r.MustExist(); err != nil {
		return err
	}
	machines, err := r.Driver().Status(ctx)
	if err != nil {
		return err
	}
	for _, n := range r.Lab().Nodes {
		if err := session.NotRunning(n.Name, machines[n.Name]); err != nil {
			return &trouble.Error{What: "refused to reset", Next: trouble.Advice(err), Exit: trouble.ExitRefused, Err: err}
		}
	}
	return nil
}

package cmd

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// operator makes the operations on the lab.
func (s *session) operator() lifecycle.Operator {
	return lifecycle.Operator{Session: s.Session, Explain: s.app.explains()}
}

// perform is a command that does one operation. In a dry run it prints the plan,
// or the runbook; else it asks what there is to ask, unless the flags have
// answered it, does the operation under the lock, and recounts it.
func (s *session) perform(ctx context.Context, op lifecycle.Operation, answered bool) error {
	if s.app.dryRun() {
		plan, err := s.plan(ctx, op)
		if err != nil {
			return err
		}
		return s.rehearse(plan.Lines, plan.Runbook)
	}
	if lacksRoot(op) {
		return s.sudo(ctx)
	}
	typed, err := s.do(ctx, op, answered)
	if err != nil {
		return err
	}
	return s.recount(typed)
}

// plan plans an operation, if there is one, and tells the warnings.
func (s *session) plan(ctx context.Context, op lifecycle.Operation) (lifecycle.Plan, error) {
	if op == nil {
		return lifecycle.Plan{}, nil
	}
	p := s.progress(s.nodeNames())
	defer p.Close()
	plan, err := op.Plan(ctx, p)
	p.Close()
	if err == nil {
		s.warn(plan.Warnings...)
	}
	return plan, err
}

// do asks and does an operation, if there is one, and gives what a person would
// have typed.
func (s *session) do(ctx context.Context, op lifecycle.Operation, answered bool) (runbook.Runbook, error) {
	if op == nil {
		return nil, nil
	}
	var told []string
	if !answered {
		plan, err := s.plan(ctx, op)
		if err != nil {
			return nil, err
		}
		told = plan.Warnings
		if err := s.confirm(ctx, plan.Question); err != nil {
			var t *trouble.Error
			if errors.As(err, &t) && plan.Declined != "" {
				t.Next = append(t.Next, plan.Declined)
			}
			return nil, err
		}
	}
	if s.Session != nil {
		release, err := s.change(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	p := s.progress(s.nodeNames())
	defer p.Close()
	out, err := op.Run(ctx, warnedOf{p, told})
	p.Close()
	s.warn(out.Warnings...)
	if err != nil {
		return nil, err
	}
	for _, note := range out.Notes {
		s.note("%s", note)
	}
	return out.Runbook, nil
}

// warnedOf is a story without the warnings that were told with the plan.
type warnedOf struct {
	*ui.Progress
	told []string
}

func (w warnedOf) Warn(text string) {
	if !slices.Contains(w.told, text) {
		w.Progress.Warn(text)
	}
}

// nodeNames are those of the lab, if there is one.
func (s *session) nodeNames() []string {
	if s.Session == nil {
		return nil
	}
	return s.Lab().NodeNames()
}

// confirm asks, unless there is no question, and makes an error of a no.
func (s *session) confirm(ctx context.Context, question string) error {
	if question == "" {
		return nil
	}
	ok, err := ui.Confirm(ctx, s.app.streams, question)
	if err == nil && !ok {
		err = &trouble.Error{ID: "not-confirmed", What: s.app.called.Name(), Why: "not confirmed, nothing was touched"}
	}
	return err
}

// lacksRoot: the command must be run again as root.
func lacksRoot(op interface{ NeedsRoot() bool }) bool { return op.NeedsRoot() && os.Geteuid() != 0 }

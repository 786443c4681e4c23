package cmd

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// operator makes the operations on the lab.
func (s *session) operator() lifecycle.Operator {
	o := lifecycle.Operator{Session: s.Session, Explain: s.app.explains()}
	if !s.app.read { // labs.yaml came through a pipe: no other process can read it
		o.HealLater = s.healLater
	}
	return o
}

// operation makes c a command that does one operation on a lab. open gives the
// lab; plan gives the operation that the arguments and flags mean, nil for none.
func operation(a *app, open func(*app) (*session, error), c *cobra.Command, plan func(s *session, args []string) (lifecycle.Operation, error)) *cobra.Command {
	timeoutFlag(c, 0)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := open(a)
		if err != nil {
			return err
		}
		op, err := plan(s, args)
		if err != nil || op == nil {
			return err
		}
		return s.perform(c.Context(), op)
	}
	return explained(c)
}

// yesFlag is the flag that answers an operation's question.
func yesFlag(c *cobra.Command) { c.Flags().BoolP("yes", "y", false, "do not ask") }

// perform is a command that does one operation. In a dry run it prints the plan,
// or the runbook; else it asks what there is to ask, unless the flags have
// answered it, does the operation under the lock, and recounts it.
func (s *session) perform(ctx context.Context, op lifecycle.Operation) error {
	if s.app.dryRun() {
		plan, err := s.plan(ctx, op)
		if err != nil {
			return err
		}
		return s.rehearse(plan.Lines, plan.Runbook)
	}
	if lacksRoot(op) {
		return asRoot{s}.rerun()
	}
	typed, err := s.do(ctx, op, s.flag("yes") != "false" || s.flag("force") == "true")
	if err != nil {
		return err
	}
	return s.recount(typed)
}

// plan plans an operation, if there is one, and tells the warnings.
func (s *session) plan(ctx context.Context, op lifecycle.Operation) (plan lifecycle.Plan, err error) {
	if op == nil {
		return plan, nil
	}
	err = s.bounded(ctx, nil, func(ctx context.Context, tell story) error {
		plan, err = op.Plan(ctx, tell)
		return err
	})
	if err == nil {
		s.warn(plan.Warnings...)
	}
	return plan, err
}

// ask asks what an operation has to ask, and gives the warnings that were told.
func (s *session) ask(ctx context.Context, op lifecycle.Operation) (told []string, err error) {
	plan, err := s.plan(ctx, op)
	if err != nil {
		return nil, err
	}
	if err := s.confirm(ctx, plan.Question); err != nil {
		var t *trouble.Error
		if errors.As(err, &t) && plan.Declined != "" {
			t.Next = append(t.Next, plan.Declined)
		}
		return nil, err
	}
	return plan.Warnings, nil
}

// do asks and does an operation, if there is one, and gives what a person would
// have typed.
func (s *session) do(ctx context.Context, op lifecycle.Operation, answered bool) (runbook.Runbook, error) {
	if op == nil {
		return nil, nil
	}
	var told []string
	if !answered {
		var err error
		if told, err = s.ask(ctx, op); err != nil {
			return nil, err
		}
	}
	var out lifecycle.Outcome
	err := s.bounded(ctx, told, func(ctx context.Context, tell story) error {
		if s.Session != nil {
			release, err := s.change(ctx)
			if err != nil {
				return err
			}
			defer release()
		}
		var err error
		out, err = op.Run(ctx, timeline.Steps(s.Session, tell))
		return err
	})
	s.warn(out.Warnings...)
	if err != nil {
		return nil, err
	}
	for _, note := range out.Notes {
		s.note("%s", note)
	}
	return out.Runbook, nil
}

// flag is the value of a flag of the command that runs; empty where it has none.
func (s *session) flag(name string) string {
	if c := s.app.called; c != nil && c.Flags().Lookup(name) != nil {
		return c.Flags().Lookup(name).Value.String()
	}
	return ""
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
	if asked := s.app.embedded.Asked; asked != nil {
		asked(question)
	}
	ok, err := ui.Confirm(ctx, s.app.streams, question)
	if err == nil && !ok {
		err = &trouble.Error{ID: "not-confirmed", What: s.app.called.Name(), Why: "not confirmed, nothing was touched"}
	}
	return err
}

// lacksRoot: the command must be run again as root.
func lacksRoot(op interface{ NeedsRoot() bool }) bool { return op.NeedsRoot() && os.Geteuid() != 0 }

package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// timeout is the value of --timeout: 0 is no limit.
type timeout time.Duration

func (t *timeout) String() string {
	if *t == 0 {
		return "" // the flag's default, which its help tells
	}
	return time.Duration(*t).String()
}

func (t *timeout) Type() string { return "duration" }

func (t *timeout) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("it is negative")
	}
	*t = timeout(d)
	return err
}

// timeoutFlag gives a command that waits its --timeout.
func timeoutFlag(c *cobra.Command, usual time.Duration) *timeout {
	t, usage := timeout(usual), "how long to work at most"
	if usual == 0 {
		usage += " (default: no limit)"
	}
	c.Flags().Var(&t, "timeout", usage)
	return &t
}

// errTimeout ends a context when the time of --timeout is over.
var errTimeout = errors.New("the time of --timeout is over")

// story tells how bounded work goes.
type story struct {
	*ui.Progress
	told []string // warnings that were told before
	over func() bool
}

func (s story) Warn(text string) {
	if !slices.Contains(s.told, text) {
		s.Progress.Warn(text)
	}
}

func (s story) Fail(node string, err error) {
	if s.over() {
		err = errTimeout
	}
	s.Progress.Fail(node, err)
}

// bounded does one part of a command's work within what is left of --timeout. The
// time that its user takes to answer a question, between two parts, is not counted.
func (s *session) bounded(ctx context.Context, told []string, work func(context.Context, story) error) error {
	p := s.progress(s.nodeNames())
	defer p.Close()
	limit, _ := time.ParseDuration(s.flag("timeout")) // none is 0
	began := time.Now()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit-s.worked, errTimeout)
		defer cancel()
	}
	over := func() bool { return errors.Is(context.Cause(ctx), errTimeout) }
	err := work(ctx, story{p, told, over})
	s.worked += time.Since(began)
	if err == nil || !over() || trouble.ExitStatus(err) == trouble.ExitUnfinished {
		return err
	}
	why := strings.Join(p.Unfinished(), "; ")
	if why == "" {
		why = "it was not finished"
	}
	return &trouble.Error{
		ID: "condition-unmet", What: fmt.Sprintf("%s (%s)", s.app.called.Name(), limit), Why: why,
		Next: append(trouble.Advice(err), "look at the lab: dcalab status", "the same command, run again, continues from there; for more time: --timeout "+(2*limit).String()),
		Exit: trouble.ExitUnfinished, Err: err,
	}
}

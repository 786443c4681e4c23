package swarm

import (
	"context"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// rejoinStep takes a node in again: it leaves, joins, and gets what its old
// entry kept, in turn.
type rejoinStep struct {
	on
	steps []Step
}

func (s rejoinStep) Kind() Kind { return s.steps[0].Kind() }

func (s rejoinStep) String() string {
	var parts []string
	for _, step := range s.steps {
		parts = append(parts, step.String())
	}
	return strings.Join(parts, "; ")
}

// quiet: its steps tell of themselves.
func (rejoinStep) quiet() {}

func (s rejoinStep) Do(ctx context.Context, r *Run) error { return r.rejoin(ctx, s.Node(), s.steps) }

func (s rejoinStep) Runbook(w *RunbookWriter) {
	for _, step := range s.steps {
		step.Runbook(w)
	}
}

// planRejoin does the steps that take a node in again, and keeps them for the
// account.
func (r *Run) rejoin(ctx context.Context, node string, steps []Step) error {
	r.mu.Lock()
	r.again[node], r.awaits = steps, true
	r.mu.Unlock()
	for _, s := range steps {
		err := r.step(ctx, s)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return err
		default:
			return &trouble.Error{ID: "change-unfinished", Exit: trouble.ExitUnfinished, Where: node, What: s.String(), Why: cause(node, err),
				Next: []string{"check the state: dcalab status", "then continue: dcalab swarm bootstrap"}, Err: err}
		}
	}
	return nil
}

package swarm

import (
	"context"
	"errors"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/runbook"
)

type waitStep struct {
	on
	hung bool
}

func (waitStep) Kind() Kind { return KindWait }
func (s waitStep) String() string {
	if s.hung {
		return "wait until it answers (an engine may be silent while its leader or its role changes)"
	}
	return "wait until it is in the swarm (it is joining, or coming back)"
}

// Do waits until an engine that hangs answers, whatever it says, or until a
// pending node is in its swarm.
func (s waitStep) Do(ctx context.Context, r *Run) error {
	defer r.ask(ctx, s.Node())
	if !s.hung {
		return r.awaitJoined(ctx, s.Node())
	}
	e, err := r.engine(s.Node())
	if err != nil {
		return err
	}
	return poll(ctx, min(r.o.Timeout, HangTimeout), shortPauses(), func() error {
		_, err := e.Info(ctx)
		return err
	})
}

// awaitJoined waits until a pending node is in its swarm. One that turns out to be
// in none, or in error, is a matter for the next plan.
func (r *Run) awaitJoined(ctx context.Context, node string) error {
	e, err := r.engine(node)
	if err != nil {
		return err
	}
	return r.poll(ctx, func() error {
		info, err := e.Info(ctx)
		switch {
		case err != nil:
			return err
		case info.State != engine.StatePending:
			return nil
		case info.Error != "":
			return errors.New("its engine says: " + info.Error)
		}
		return errors.New("it is still joining")
	})
}

func (s waitStep) Runbook(w *RunbookWriter) {
	if s.hung {
		w.add(runbook.Command{Node: s.Node(), Text: runbook.Template("docker", "info", "--format", "{{.Swarm.LocalNodeState}}"), Why: "it answers once it knows its role in the swarm"})
		return
	}
	w.await(runbook.Command{Node: s.Node(), Text: runbook.Template("docker", "info", "--format", "{{.Swarm.LocalNodeState}}"), Until: "active"})
}

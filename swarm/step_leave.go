package swarm

import (
	"context"
	"errors"
	"slices"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
)

type leaveStep struct {
	on
	Cluster string
	Why     string
	// failed: by then its engine has given up, whatever the view says.
	failed bool
}

func (leaveStep) Kind() Kind { return KindLeave }
func (s leaveStep) String() string {
	if s.Cluster == "" {
		return "leave its swarm (" + s.Why + ")"
	}
	return "leave swarm " + s.Cluster + " (" + s.Why + ")"
}

func (s leaveStep) Do(ctx context.Context, r *Run) error {
	defer r.ask(ctx, s.Node())
	e, err := r.engine(s.Node())
	if err != nil {
		return err
	}
	if err := e.Leave(ctx, true); !errors.Is(err, engine.ErrNotInSwarm) {
		return err
	}
	return nil
}

func (s leaveStep) Runbook(w *RunbookWriter) {
	// Without force goes a worker, and what was demoted on the way.
	n, _ := w.v.Node(s.Node())
	line := []string{"docker", "swarm", "leave"}
	manages := slices.Contains(w.managers, s.Node()) || n.Role == lab.RoleManager && w.arrived[s.Node()] != engine.RoleWorker
	if manages || s.failed || n.State != StateMember && n.State != StateForeign {
		line = append(line, "--force")
	}
	w.add(runbook.Command{Node: s.Node(), Text: runbook.Template(line...), Why: s.Why})
	w.gone(s.Node())
}

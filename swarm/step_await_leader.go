package swarm

import (
	"context"
	"errors"

	"github.com/dcalab/dcalab/runbook"
)

type awaitQuorumStep struct{ on }

func (awaitQuorumStep) Kind() Kind     { return KindAwaitQuorum }
func (awaitQuorumStep) String() string { return "wait until the managers have elected a leader" }

func (awaitQuorumStep) Do(ctx context.Context, r *Run) error {
	return r.poll(ctx, func() error {
		list, err := r.nodes(ctx)
		if err != nil {
			return err
		}
		if q := quorumOf(list); !q.HasQuorum {
			return errors.New(q.String())
		}
		return nil
	})
}

func (s awaitQuorumStep) Runbook(w *RunbookWriter) {
	w.await(runbook.Command{Node: w.manager(), Text: runbook.Template("docker", "node", "ls", "--format", "{{.ManagerStatus}}"), Until: "Leader"})
}

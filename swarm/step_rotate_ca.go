package swarm

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/runbook"
)

// rotateCAStep gives the swarm a new root CA, and every node a certificate of it.
type rotateCAStep struct{ on }

func (rotateCAStep) Kind() Kind     { return KindRotateCA }
func (rotateCAStep) String() string { return "make a new root CA, and new certificates for all nodes" }

// Do waits until all nodes have the new ones. One that is down gets its own when it is
// back; until then the swarm trusts both.
func (rotateCAStep) Do(ctx context.Context, r *Run) error {
	if err := r.viaManagerWithRetry(ctx, func(e Engine) error { return e.RotateCA(ctx) }); err != nil {
		return err
	}
	return r.poll(ctx, func() error {
		var old []string
		err := r.viaAnyManager(ctx, func(e Engine) (err error) {
			old, err = e.OldCA(ctx)
			return err
		})
		if err != nil {
			return err
		}
		for i, host := range old {
			if n, ok := r.view.Node(host); ok {
				old[i] = n.Name
			}
		}
		if len(old) > 0 {
			return errors.New("still with a certificate of the old one: " + strings.Join(slices.Sorted(slices.Values(old)), ", "))
		}
		return nil
	})
}

func (rotateCAStep) Runbook(w *RunbookWriter) {
	w.add(runbook.Command{Node: w.manager(), Text: "docker swarm ca --rotate", Why: "it ends when all nodes have new certificates"})
}

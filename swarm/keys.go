package swarm

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/trouble"
)

// Token gives the join token for a role, from a manager of the lab's swarm.
// Errors are those of NeedManager: no-swarm, nobody-answers, two-swarms, no-quorum.
func (c *Cluster) Token(ctx context.Context, role engine.Role) (engine.Secret, error) {
	r, err := c.keeper(ctx)
	if err != nil {
		return "", err
	}
	return r.joinTokens(ctx, role)
}

// RotateToken makes a new join token for a role and gives it. The old one is
// invalid at once; nodes that have joined stay.
func (c *Cluster) RotateToken(ctx context.Context, role engine.Role) (engine.Secret, error) {
	r, err := c.keeper(ctx)
	if err != nil {
		return "", err
	}
	if err := r.viaManagerWithRetry(ctx, func(e Engine) error { return e.RotateToken(ctx, role) }); err != nil {
		return "", err
	}
	return r.joinTokens(ctx, role)
}

// RotateUnlockKey makes a new unlock key and gives it; empty where autolock is off. The
// old one unlocks nobody any more but managers that do not run now.
func (c *Cluster) RotateUnlockKey(ctx context.Context) (engine.Secret, error) {
	if key, err := c.UnlockKey(ctx); key == "" || err != nil {
		return "", err
	}
	r, err := c.keeper(ctx)
	if err != nil {
		return "", err
	}
	if err := r.viaManagerWithRetry(ctx, func(e Engine) error { return e.RotateUnlockKey(ctx) }); err != nil {
		return "", err
	}
	return c.UnlockKey(ctx)
}

// UnlockKey gives the key that unlocks a restarted manager; empty where
// autolock is off.
func (c *Cluster) UnlockKey(ctx context.Context) (engine.Secret, error) {
	r, err := c.keeper(ctx)
	if err != nil {
		return "", err
	}
	var key engine.Secret
	err = r.viaManagerWithRetry(ctx, func(e Engine) error {
		var err error
		key, err = e.UnlockKey(ctx)
		return err
	})
	return key, err
}

func (c *Cluster) keeper(ctx context.Context) (*Run, error) {
	v, err := c.Changeable(ctx, nil, AwaitLeader, false)
	if err != nil {
		return nil, err
	}
	return c.begin(v), nil
}

// PlanUnlock plans to give the key to every locked node of the lab, all at once
// (one alone is not unlocked before enough others are for a quorum). An empty key
// is fetched from a manager that is not locked. Run, the result's Nodes are those
// that were unlocked; errors are of type *trouble.Error: wrong-key, no-key.
func PlanUnlock(v View, key engine.Secret) Plan {
	p := Plan{View: v, end: endUnlock}
	var steps []Step
	for i, n := range v.Nodes {
		// As the engine says itself: a locked node of another swarm is unlocked by its
		// key just the same.
		if v.facts[i].info.State == engine.StateLocked {
			steps = append(steps, unlockStep{on(n.Name), !v.Quorum.HasQuorum, key})
			p.Nodes = append(p.Nodes, Changed{Name: n.Name})
		}
	}
	p.stageThat(goOn, "unlock", steps...)
	p.Runbook = v.Runbook(p.Steps())
	return p
}

func endUnlock(ctx context.Context, _ *Run, p Plan, failed []failure, res *Result) error {
	if p.Empty() {
		return ctx.Err()
	}
	var wrong []string
	var other []error
	for _, f := range failed {
		res.Nodes = slices.DeleteFunc(res.Nodes, func(n Changed) bool { return n.Name == f.step.Node() })
		var noKey NoKeyError
		switch {
		case errors.As(f.err, &noKey):
			res.Nodes = nil // it is the same for all
			return &trouble.Error{ID: "no-key", Exit: trouble.ExitRefused, What: "unlock the swarm",
				Why: "there is no unlocked manager to ask for the key", Err: noKey,
				Next: []string{"enter the key that docker swarm unlock-key showed when autolock was turned on"}}
		case errors.Is(f.err, engine.ErrWrongKey):
			wrong = append(wrong, f.step.Node())
		default:
			other = append(other, f.err)
		}
	}
	if len(wrong) > 0 {
		other = append(other, &trouble.Error{ID: "wrong-key", Exit: trouble.ExitFailure, Where: strings.Join(wrong, ", "),
			What: "unlock the swarm", Why: "the key is wrong", Err: engine.ErrWrongKey,
			Next: []string{"the key begins with SWMKEY; an unlocked manager shows it: docker swarm unlock-key"}})
	}
	return errors.Join(other...)
}

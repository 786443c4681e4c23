package swarm

import (
	"context"
	"errors"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/trouble"
)

// Token gives the join token for a role, from a manager of the lab's swarm.
// Errors are those of Promote: no-swarm, nobody-answers, two-swarms, no-quorum.
func (c *Cluster) Token(ctx context.Context, role engine.Role) (engine.Secret, error) {
	r, err := c.keeper(ctx)
	if err != nil {
		return "", err
	}
	return r.joinTokens(ctx, role)
}

// RotateToken makes a new join token for a role and gives it. The old one is
// void at once; nodes that have joined stay.
func (c *Cluster) RotateToken(ctx context.Context, role engine.Role) (engine.Secret, error) {
	r, err := c.keeper(ctx)
	if err != nil {
		return "", err
	}
	if err := r.steadily(ctx, func(e Engine) error { return e.RotateToken(ctx, role) }); err != nil {
		return "", err
	}
	return r.joinTokens(ctx, role)
}

// UnlockKey gives the key that unlocks a restarted manager; empty where
// autolock is off.
func (c *Cluster) UnlockKey(ctx context.Context) (engine.Secret, error) {
	r, err := c.keeper(ctx)
	if err != nil {
		return "", err
	}
	var key engine.Secret
	err = r.steadily(ctx, func(e Engine) error {
		var err error
		key, err = e.UnlockKey(ctx)
		return err
	})
	return key, err
}

func (c *Cluster) keeper(ctx context.Context) (*Run, error) {
	v, err := c.usable(ctx, nil, ChangeOptions{}, nil)
	if err != nil {
		return nil, err
	}
	return c.begin(v), nil
}

// PlanUnlock says which nodes of the lab Unlock would unlock.
func PlanUnlock(v View) []Step {
	var steps []Step
	for _, i := range v.locked() {
		steps = append(steps, unlockStep{on(v.Nodes[i].Name), !v.Quorum.HasQuorum})
	}
	return steps
}

// locked gives the places of locked nodes. By the engine's own word: a locked
// node of another swarm is unlocked by its key just the same.
func (v View) locked() []int {
	var out []int
	for i := range v.Nodes {
		if v.facts[i].info.State == engine.StateLocked {
			out = append(out, i)
		}
	}
	return out
}

// Unlock gives key to every locked node of the lab, all at once (one alone is
// not unlocked before enough others are for a quorum), and names those that it
// unlocked: none where none was locked. An empty key is fetched from a manager
// that is not locked. v is what was observed just now. Errors are of type
// *trouble.Error: wrong-key, no-key.
func (c *Cluster) Unlock(ctx context.Context, v View, key engine.Secret) ([]string, error) {
	var locked []Target
	for _, i := range v.locked() {
		locked = append(locked, c.targets[i])
	}
	if len(locked) == 0 {
		return nil, ctx.Err()
	}
	if key == "" {
		r := c.begin(v)
		ask := r.through
		if v.Quorum.HasQuorum {
			ask = r.steadily // it may lose its leader meanwhile
		}
		err := ask(ctx, func(e Engine) error {
			var err error
			key, err = e.UnlockKey(ctx)
			return err
		})
		if err != nil || key == "" {
			return nil, &trouble.Error{ID: "no-key", Exit: trouble.ExitRefused, What: "unlock the swarm",
				Why: "no manager that is not locked has the key", Err: err,
				Next: []string{"give the key that docker swarm unlock-key showed when autolock was switched on"}}
		}
	}
	errs := make([]error, len(locked))
	each(len(locked), func(i int) { errs[i] = unlock(ctx, locked[i], key) })
	var done, wrong []string
	var other []error
	for i, err := range errs {
		switch {
		case err == nil:
			done = append(done, locked[i].Name)
		case errors.Is(err, engine.ErrWrongKey):
			wrong = append(wrong, locked[i].Name)
		default:
			other = append(other, err)
		}
	}
	if len(wrong) > 0 {
		other = append(other, &trouble.Error{ID: "wrong-key", Exit: trouble.ExitFailure, Where: strings.Join(wrong, ", "),
			What: "unlock the swarm", Why: "the key is not the right one",
			Next: []string{"the key begins with SWMKEY; a manager that is not locked shows it: docker swarm unlock-key"}})
	}
	return done, errors.Join(other...)
}

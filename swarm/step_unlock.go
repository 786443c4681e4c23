package swarm

import (
	"context"
	"errors"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lesson"
)

type unlockStep struct {
	on
	// keyless: the managers that are not locked are no quorum, or nobody, and
	// cannot give the key.
	keyless bool
}

func (unlockStep) Kind() Kind { return KindUnlock }
func (s unlockStep) String() string {
	if s.keyless {
		return "unlock with the key that you give"
	}
	return "unlock with the key that the other managers hold"
}

// Do fetches the key from another manager and gives it to the node.
func (s unlockStep) Do(ctx context.Context, r *Run) error {
	defer r.ask(ctx, s.Node())
	var key engine.Secret
	if err := r.steadily(ctx, func(m Engine) error {
		var err error
		key, err = m.UnlockKey(ctx)
		return err
	}); err != nil {
		return err
	}
	if key == "" {
		return errors.New("the swarm has no unlock key any more (autolock was switched off while this node was down): give it the old one: dcalab swarm unlock")
	}
	return unlock(ctx, r.target(s.Node()), key)
}

// unlock unlocks one node. The engine answers only once the node is back in
// its swarm, which may need others to be unlocked or started: a node that is
// no longer locked has taken its key.
func unlock(ctx context.Context, t Target, key engine.Secret) error {
	err := t.Engine.Unlock(ctx, key)
	if err == nil || errors.Is(err, engine.ErrNotLocked) {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		if info, infoErr := t.Engine.Info(ctx); infoErr == nil && info.State != engine.StateLocked {
			return nil
		}
	}
	return err
}

func (s unlockStep) Runbook(w *RunbookWriter) {
	if !s.keyless {
		w.give(lesson.UnlockKey, "docker", "swarm", "unlock-key", "--quiet")
	}
	w.add(lesson.Command{Node: s.Node(), Text: "docker swarm unlock", Asks: lesson.UnlockKey})
}

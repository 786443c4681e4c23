package swarm

import (
	"context"
	"errors"
	"sync"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/runbook"
)

type unlockStep struct {
	on
	// keyless: the managers that are not locked are no quorum, or nobody, and
	// cannot give the key.
	keyless bool
	// Key that a person gave; empty where the managers are asked for it.
	Key engine.Secret
}

func (unlockStep) Kind() Kind { return KindUnlock }
func (s unlockStep) String() string {
	if s.keyless {
		return "unlock with the key that you give"
	}
	return "unlock with the key that the other managers hold"
}

// Do gives the key to the node.
func (s unlockStep) Do(ctx context.Context, r *Run) error {
	defer r.ask(ctx, s.Node())
	key := s.Key
	if key == "" {
		var err error
		if key, err = r.unlockKey(ctx, s.keyless); err != nil {
			return err
		}
	}
	return unlock(ctx, r.target(s.Node()), key)
}

// unlockKey fetches the key once, from a manager that has it.
func (r *Run) unlockKey(ctx context.Context, keyless bool) (engine.Secret, error) {
	r.mu.Lock()
	if r.key == nil {
		r.key = sync.OnceValues(func() (key engine.Secret, err error) {
			ask := r.viaManagerWithRetry // it may lose its leader meanwhile
			if keyless {
				ask = r.viaAnyManager
			}
			err = ask(ctx, func(e Engine) error {
				var err error
				key, err = e.UnlockKey(ctx)
				return err
			})
			if err != nil || key == "" {
				err = NoKeyError{err}
			}
			return key, err
		})
	}
	fetch := r.key
	r.mu.Unlock()
	return fetch()
}

// NoKeyError tells that no manager gave the key. err is nil where there is none.
type NoKeyError struct{ err error }

func (e NoKeyError) Unwrap() error { return e.err }

func (e NoKeyError) Error() string {
	if e.err != nil {
		return e.err.Error()
	}
	return "the swarm has no unlock key any more (autolock was turned off while this node was down): enter the old one: dcalab swarm unlock"
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
		w.give(runbook.UnlockKey, "docker", "swarm", "unlock-key", "--quiet")
	}
	w.add(runbook.Command{Node: s.Node(), Text: "docker swarm unlock", Asks: runbook.UnlockKey})
}

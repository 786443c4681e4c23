package swarm

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/dcalab/dcalab/engine"
)

// unlock fetches the key from another manager and gives it to node.
func (r *runner) unlock(ctx context.Context, node string) error {
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
	return unlock(ctx, r.target(node), key)
}

// drop demotes an entry where it is a manager's, waits until it has left raft,
// and removes it.
func (r *runner) drop(ctx context.Context, s dropStep) error {
	// Somebody may have been at work since the list was read: what the node
	// itself is now is never removed.
	if e, err := r.engine(s.Node()); err == nil {
		if info, err := e.Info(ctx); err == nil && info.State == engine.StateActive && info.NodeID == s.ID {
			return nil
		}
	}
	r.raft.Lock()
	defer r.raft.Unlock()
	return r.steadily(ctx, func(e Engine) error {
		if s.Manager {
			// A node that was promoted and never came into raft cannot be demoted,
			// and need not be.
			err := e.UpdateNode(ctx, s.ID, func(spec *engine.NodeSpec) { spec.Role = engine.RoleWorker })
			if err != nil && !errors.Is(err, engine.ErrNotInRaft) && !errors.Is(err, engine.ErrNotFound) {
				return err
			}
		}
		// Raft lets go of a demoted node a moment after its role has changed;
		// until then its entry cannot be removed.
		return r.poll(ctx, func() error {
			err := e.RemoveNode(ctx, s.ID, true)
			switch {
			case err == nil, errors.Is(err, engine.ErrNotFound):
				return nil
			case errors.Is(err, engine.ErrStillManager):
				return err
			}
			return finalError{err}
		})
	})
}

func (r *runner) init(ctx context.Context, s initStep) error {
	e, err := r.engine(s.Node())
	if err != nil {
		return err
	}
	if _, err := e.Init(ctx, s.Options); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.via = []string{s.Node()}
	return nil
}

// joinTokens fetches both tokens once a round. They stay in memory.
func (r *runner) joinTokens(ctx context.Context, role engine.Role) (engine.Secret, error) {
	r.mu.Lock()
	if r.tokens == nil {
		r.tokens = onceTokens(func() (worker, manager engine.Secret, err error) {
			err = r.steadily(ctx, func(e Engine) error {
				worker, manager, err = e.Tokens(ctx)
				return err
			})
			return worker, manager, err
		})
	}
	fetch := r.tokens
	r.mu.Unlock()
	worker, manager, err := fetch()
	if role == engine.RoleManager {
		return manager, err
	}
	return worker, err
}

// managerAddrs are where a node can join, that of the leader first.
func (r *runner) managerAddrs() []string {
	var out []string
	for _, name := range r.managers() {
		n, _ := r.view.Node(name)
		addr := net.JoinHostPort(r.target(name).Addr.String(), RaftPort)
		if at := find(r.view.entries(), n.NodeID); at >= 0 && n.NodeID != "" {
			if a := r.view.entries()[at].ManagerAddr; a != "" {
				addr = a
			}
		}
		out = append(out, addr)
	}
	return out
}

func (r *runner) join(ctx context.Context, s joinStep) error {
	e, err := r.engine(s.Node())
	if err != nil {
		return err
	}
	token, err := r.joinTokens(ctx, s.Role)
	if err != nil {
		return err
	}
	err = e.Join(ctx, engine.JoinOptions{
		Token: token, Managers: r.managerAddrs(), Advertise: s.Advertise, Availability: s.Availability,
	})
	switch {
	case errors.Is(err, engine.ErrJoinTimeout), errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		// Not a failure: the engine goes on in the background.
		return r.settle(ctx, s.Node())
	case errors.Is(err, engine.ErrAlreadyInSwarm):
		// Somebody else was faster; the next look shows with which swarm.
		return r.settle(ctx, s.Node())
	}
	return err
}

func (r *runner) update(ctx context.Context, s updateStep) error {
	id := s.ID
	if id == "" {
		e, err := r.engine(s.Node())
		if err != nil {
			return err
		}
		info, err := e.Info(ctx)
		if err != nil {
			return err
		}
		id = info.NodeID
	}
	return r.steadily(ctx, func(e Engine) error {
		return e.UpdateNode(ctx, id, func(spec *engine.NodeSpec) {
			for k, v := range s.Labels {
				spec.Labels[k] = v
			}
			if s.Availability != "" {
				spec.Availability = s.Availability
			}
		})
	})
}

// onceTokens is sync.OnceValues for three values.
func onceTokens(f func() (engine.Secret, engine.Secret, error)) func() (engine.Secret, engine.Secret, error) {
	type both struct{ worker, manager engine.Secret }
	once := sync.OnceValues(func() (both, error) {
		w, m, err := f()
		return both{w, m}, err
	})
	return func() (engine.Secret, engine.Secret, error) {
		b, err := once()
		return b.worker, b.manager, err
	}
}

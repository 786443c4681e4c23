package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/runbook"
)

type joinStep struct {
	on
	Role         engine.Role
	Advertise    string
	Availability engine.Availability
}

func (joinStep) Kind() Kind { return KindJoin }
func (s joinStep) String() string {
	return fmt.Sprintf("join as %s, advertising %s", s.Role, s.Advertise)
}

func (s joinStep) Do(ctx context.Context, r *Run) error {
	defer r.ask(ctx, s.Node())
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
		// Not a failure: the engine continues in the background.
		return r.awaitJoined(ctx, s.Node())
	case errors.Is(err, engine.ErrAlreadyInSwarm):
		// Somebody else was faster; the next look shows with which swarm.
		return r.awaitJoined(ctx, s.Node())
	}
	return err
}

// joinTokens fetches both tokens once a round. They stay in memory.
func (r *Run) joinTokens(ctx context.Context, role engine.Role) (engine.Secret, error) {
	r.mu.Lock()
	if r.tokens == nil {
		r.tokens = onceTokens(func() (worker, manager engine.Secret, err error) {
			err = r.viaManagerWithRetry(ctx, func(e Engine) error {
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

// managerAddrs are where a node can join, that of the leader first.
func (r *Run) managerAddrs() []string {
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

func (s joinStep) Runbook(w *RunbookWriter) {
	// Both tokens at once, where both are wanted: it spares a way.
	for _, want := range w.plan {
		if j, ok := want.(joinStep); ok {
			w.give(token(j.Role), "docker", "swarm", "join-token", "--quiet", string(j.Role))
		}
	}
	line := []string{"docker", "swarm", "join", "--token", token(s.Role), "--advertise-addr", s.Advertise}
	if s.Availability != "" && s.Availability != engine.AvailabilityActive {
		line = append(line, "--availability", string(s.Availability))
	}
	w.add(runbook.Command{Node: s.Node(), Text: runbook.Template(append(line, w.address())...), Why: "join as " + string(s.Role)})
	w.arrive(s.Node(), s.Role)
}

func token(role engine.Role) string {
	if role == engine.RoleManager {
		return runbook.ManagerToken
	}
	return runbook.WorkerToken
}

// address is where nodes join.
func (w *RunbookWriter) address() string {
	n, _ := w.v.Node(w.manager())
	if at := find(w.v.entries(), n.NodeID); at >= 0 && n.NodeID != "" {
		if a := w.v.entries()[at].ManagerAddr; a != "" {
			return a
		}
	}
	return net.JoinHostPort(n.Addr.String(), RaftPort)
}

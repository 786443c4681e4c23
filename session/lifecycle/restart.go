package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

type restart struct {
	starter
	nodes []string
}

// Restart restarts the engines that are Deferred: one after the other, each only
// when the one before it is back, and only where the quorum allows it. What is
// left, the next Up finds again.
func (u *Up) Restart() Operation { return restart{u.starter, u.deferred} }

func (restart) NeedsRoot() bool { return false }

func (r restart) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	var p Plan
	v, engines, err := r.Settled(ctx, tell)
	if err != nil {
		return p, err
	}
	engines.Close()
	order := restartOrder(v, r.nodes)
	for _, name := range order {
		p.add("%s: restart its engine", name)
	}
	p.Question, p.Declined = restartQuestion(v, order), "without it the engines go on with the settings that they have"
	return p, nil
}

func (r restart) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	var out Outcome
	var order []string
	for i := range r.nodes {
		v, engines, err := r.Settled(ctx, tell)
		if err != nil {
			return out, err
		}
		if order == nil {
			order = restartOrder(v, r.nodes)
		}
		typed, err := r.restartEngine(ctx, tell, v, engines, order[i])
		engines.Close()
		if err != nil {
			return out, err
		}
		out.Runbook = append(out.Runbook, typed...)
	}
	return out, nil
}

// restartOrder is workers first, then managers, the leader last: so a leader is
// elected once.
func restartOrder(v swarm.View, nodes []string) []string {
	rank := func(name string) int {
		switch n, _ := v.Node(name); {
		case n.Leader:
			return 2
		case n.Role == lab.RoleManager:
			return 1
		}
		return 0
	}
	order := slices.Sorted(slices.Values(nodes))
	slices.SortStableFunc(order, func(a, b string) int { return rank(a) - rank(b) })
	return order
}

func restartQuestion(v swarm.View, order []string) string {
	q := fmt.Sprintf("labs.yaml changes engine settings (registries, labels): restart the engines of %s, one after the other (their tasks and containers stop)?", strings.Join(order, ", "))
	for _, name := range order {
		if v.GuardStopping(name) != nil {
			return q + "; while a manager restarts, the swarm has no quorum"
		}
	}
	return q
}

// restartEngine restarts one, and waits until the swarm has it back.
func (r restart) restartEngine(ctx context.Context, tell session.Reporter, v swarm.View, engines *session.Engines, name string) (runbook.Runbook, error) {
	if n, ok := v.Node(name); ok && n.Cluster == v.Cluster && v.Cluster != "" {
		if err := v.GuardRestarting(name); err != nil {
			return nil, err
		}
	}
	ep, err := r.Driver().Endpoint(ctx, name)
	if err != nil {
		return nil, err
	}
	conn, work, err := r.prepare(ctx, ep, tell, false)
	if err != nil {
		tell.Fail(name, err)
		return nil, err
	}
	_ = conn.Close()
	return work.Runbook(name, nodeUser), r.awaitBack(ctx, tell, engines, name)
}

// awaitBack waits until a node whose engine was restarted is back in the swarm,
// and gives a manager that is locked the key that another one has.
func (r restart) awaitBack(ctx context.Context, tell session.Reporter, engines *session.Engines, name string) error {
	v, err := r.back(ctx, func(missing []string) { tell.Step(name, strings.Join(missing, "; ")) }, engines.Pool, "", name)
	n, ok := v.Node(name)
	if err != nil {
		if t := (*trouble.Error)(nil); n.State == swarm.StateLocked && errors.As(err, &t) {
			t.Next = append(t.Next, "then continue: dcalab up --yes")
			return err
		}
		tell.Fail(name, err)
		return err
	}
	if ok && n.Listed {
		tell.Done(name, "restarted: "+n.Summary())
	}
	return nil
}

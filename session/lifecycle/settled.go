package lifecycle

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// demotionTimeout is how long what stops a node waits where it was just demoted.
const demotionTimeout = 30 * time.Second

// UnsettledError is why it cannot be told how many failures the quorum
// tolerates: the swarm has no leader, or the lab has two swarms.
type UnsettledError struct {
	Trouble   *trouble.Error
	TwoSwarms bool
}

func (e *UnsettledError) Error() string { return e.Trouble.Error() }

func (e *UnsettledError) Unwrap() error { return e.Trouble }

// Settled observes, and waits for a leader where enough managers run to elect
// one. Where none comes, or the lab has two swarms, the error is an
// *UnsettledError. Other conditions are waited for as well. The caller closes
// the engines.
func (o Operator) Settled(ctx context.Context, tell session.Reporter, others ...func(running func(node string) bool) swarm.Condition) (swarm.View, *session.Engines, error) {
	engines := o.Unconnected()
	var conditions []swarm.Condition
	for _, of := range append(others, swarm.QuorumKnown) {
		conditions = append(conditions, of(engines.Running))
	}
	v, err := engines.Await(ctx, swarm.ElectionTimeout, session.Waiting(tell), conditions...)
	if err == nil {
		return v, engines, nil
	}
	engines.Close()
	var unmet *swarm.UnmetError
	if !errors.As(err, &unmet) {
		return v, nil, err
	}
	e := &UnsettledError{}
	switch {
	case len(v.CandidateSwarms) > 0:
		err := v.NeedManager()
		if e.TwoSwarms = errors.As(err, &e.Trouble); !e.TwoSwarms {
			return v, nil, err
		}
		e.Trouble.What = "look at the quorum"
	case unmet.Hopeless:
		e.Trouble = v.LockedError(slices.DeleteFunc(slices.Clone(v.Nodes), func(n swarm.NodeView) bool { return n.State != swarm.StateLocked }))
	default:
		e.Trouble = &trouble.Error{
			ID: "no-leader", What: "look at the quorum", Why: "enough managers run, and the swarm has no leader",
			Next: []string{"check the state: dcalab status"}, Exit: trouble.ExitRefused,
		}
	}
	return v, nil, e
}

// healthy connects again to the nodes that a pool has lost, and waits until those named
// are healthy in the swarm; where none is named, all that run and are in it. The
// pool stays the caller's.
func (o Operator) healthy(ctx context.Context, waiting func(missing []string), pool *session.Pool, nodes ...string) (swarm.View, error) {
	engines, err := o.Engines(ctx, pool)
	if err != nil {
		return swarm.View{}, err
	}
	defer engines.Release()
	cluster := engines.Cluster(swarm.Options{Waiting: waiting})
	if len(nodes) == 0 {
		v := cluster.Observe(ctx)
		for _, n := range v.Nodes {
			if engines.Running(n.Name) && !n.Orphan && (n.Listed || n.Cluster != "") {
				nodes = append(nodes, n.Name)
			}
		}
		if len(nodes) == 0 {
			return v, nil
		}
	}
	return cluster.AwaitHealthy(ctx, healthyTimeout, nodes...)
}

// back is healthy for one node whose engine was restarted: one that waits for the unlock
// key is given it: key, or where that is empty the one that another manager has.
func (o Operator) back(ctx context.Context, waiting func(missing []string), pool *session.Pool, key engine.Secret, name string) (swarm.View, error) {
	v, err := o.healthy(ctx, waiting, pool, name)
	if n, _ := v.Node(name); err == nil || n.State != swarm.StateLocked {
		return v, err
	}
	engines, failed := o.Engines(ctx, pool)
	if failed != nil {
		return v, err
	}
	defer engines.Release()
	if _, keyless := engines.Cluster(swarm.Options{}).Run(ctx, swarm.PlanUnlock(v, key)); keyless != nil {
		return v, err
	}
	return o.healthy(ctx, waiting, pool, name)
}

// orForce adds to an UnsettledError what an operation with a --force offers.
func orForce(err error) error {
	var e *UnsettledError
	if errors.As(err, &e) {
		e.Trouble.Next = append(e.Trouble.Next, "or override: --force")
	}
	return err
}

// beforeStopping refuses to stop some of the nodes where the quorum needs them.
// With wait, a demotion that is under way is waited for.
func (o Operator) beforeStopping(ctx context.Context, tell session.Reporter, nodes []lab.Node, wait bool) error {
	guard := len(nodes) < len(o.Lab().Nodes)
	if !guard && !wait {
		return nil
	}
	look := o.Observe
	if guard {
		look = func(ctx context.Context) (swarm.View, *session.Engines, error) { return o.Settled(ctx, tell) }
	}
	v, engines, err := look(ctx)
	if err != nil {
		return orForce(err)
	}
	defer engines.Close()
	if guard {
		if err := v.GuardStopping(lab.Names(nodes)...); err != nil {
			return err
		}
	}
	if !wait {
		return nil
	}
	return awaitDemoted(ctx, tell, engines, v, lab.Names(nodes))
}

// awaitDemoted waits for nodes that are about to be stopped and were just
// demoted.
func awaitDemoted(ctx context.Context, tell session.Reporter, engines *session.Engines, v swarm.View, nodes []string) error {
	return engines.Cluster(swarm.Options{}).AwaitDemoted(ctx, v, nodes, demotionTimeout, func(node string) {
		tell.Step(node, "waiting for its certificate as a worker")
	})
}

// leave takes nodes whose machines are about to be destroyed out of the swarm
// gracefully; only planned, it tells how it would. members says which of them are
// in it, or why that is refused.
func (o Operator) leave(ctx context.Context, tell session.Reporter, planned bool, members func(swarm.View) ([]string, error)) (swarm.Result, error) {
	v, engines, err := o.Settled(ctx, tell)
	if err != nil {
		return swarm.Result{}, err
	}
	defer engines.Close()
	in, err := members(v)
	if err != nil || len(in) == 0 {
		return swarm.Result{}, err
	}
	plan, err := swarm.PlanRemove(v, in, true)
	if err != nil || planned {
		return plan.Result(), err
	}
	return engines.Cluster(swarm.Options{Progress: session.Events(tell)}).Run(ctx, plan)
}

// unchangeable: no manager can take a node out of the swarm.
func unchangeable(v swarm.View) bool { return !v.Quorum.HasQuorum || len(v.CandidateSwarms) > 0 }

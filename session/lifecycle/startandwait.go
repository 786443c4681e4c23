package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// Timeout and tolerance after a start of the whole lab.
const (
	// healthyTimeout: engines that answer elect a leader in 10 to 20 s, and a
	// worker that was turned away comes again; on emulated machines all takes
	// three times as long.
	healthyTimeout = 2 * time.Minute
	// clockTolerance is what the time of a node may differ: certificates and
	// raft do not care, and a clock is read to the second.
	clockTolerance = 5 * time.Second
)

// resume starts the nodes that ran, and waits until those that were in the
// swarm are back in it.
func (o starter) resume(ctx context.Context, tell session.Reporter, state preHaltState) error {
	if len(state.ran) == 0 {
		return nil
	}
	return o.startAndWait(ctx, tell, state.ran, state.ready, state.key)
}

// startAndWait starts nodes, sees to their clocks, and waits until those that are to
// be in the swarm are.
func (o starter) startAndWait(ctx context.Context, tell session.Reporter, nodes, members []string, key engine.Secret) error {
	picked, err := o.Nodes(nodes...)
	if err != nil {
		return err
	}
	tell.Step("", "starting the lab") // its time runs until the end
	pool := o.NewPool()
	defer pool.Close()
	if _, err := o.boot(ctx, tell, picked, machine.ActStart, pool, nil); err != nil {
		return err
	}
	for _, w := range setClocks(ctx, pool.All()) {
		tell.Note(w)
	}
	engines, err := o.Engines(ctx, pool)
	if err != nil {
		return err
	}
	defer engines.Close()
	if key != "" {
		cluster := engines.Cluster(swarm.Options{})
		if _, err := cluster.Run(ctx, swarm.PlanUnlock(cluster.Observe(ctx), key)); err != nil {
			return err
		}
	}
	if len(members) > 0 {
		tell.Step("", "waiting for the swarm")
	}
	v, err := engines.Cluster(swarm.Options{Waiting: func(missing []string) { tell.Detail("", strings.Join(missing, "; ")) }}).AwaitHealthy(ctx, healthyTimeout, members...)
	switch {
	case err != nil:
		return err
	case len(members) == 0:
		tell.Done("", "started")
	case v.Cluster == "":
		tell.Done("", "started, in no swarm")
	default:
		who := ", all"
		if len(members) < len(o.Lab().Nodes) {
			who = "; " + strings.Join(members, ", ")
		}
		tell.Done("", fmt.Sprintf("swarm %s: %s, leader %s%s Ready", v.Cluster, trouble.Count(v.Quorum.Managers, "manager"), v.Leader, who))
	}
	return nil
}

// lookingAgain is how a person sees that the swarm is back.
func lookingAgain(l *lab.Lab) runbook.Runbook {
	managers := lab.Names(managersOf(l))
	look := runbook.On(managers[:min(1, len(managers))], "docker node ls")
	for i := range look {
		look[i].Why = "on a manager: until all are Ready, with a Leader"
	}
	return look
}

// setClocks sets the clocks of nodes that are wrong by more than a few
// seconds, as after a virtual machine's sleep, and tells what it did.
func setClocks(ctx context.Context, nodes map[string]*node.Conn) (told []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, n := range nodes {
		wg.Go(func() {
			ahead, err := provision.Clock(ctx, n)
			say := ""
			switch {
			case err != nil:
				say = err.Error()
			case ahead.Abs() > clockTolerance:
				say = fmt.Sprintf("its clock was wrong by %s, and is set", ahead)
				if err := provision.SetClock(ctx, n); err != nil {
					say = fmt.Sprintf("its clock is wrong by %s: %v", ahead, err)
				}
			}
			if say != "" {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, name+": "+strings.TrimPrefix(say, name+": "))
			}
		})
	}
	wg.Wait()
	slices.Sort(told)
	return told
}

package swarm

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// Awaited says which nodes Changeable waits for.
type Awaited int

// Who is waited for. A leader always is.
const (
	// AwaitLeader: nobody else.
	AwaitLeader Awaited = iota
	// AwaitNamed: nodes that are named, and that are to be promoted. One that hangs
	// may tell more, and one that the leader has not heard of may be Ready.
	AwaitNamed
	// AwaitManagers: nodes that are named, and managers, because how many failures
	// the quorum tolerates depends on them.
	AwaitManagers
)

// Changeable observes until the swarm can be changed, or says why it cannot. An
// election that is under way is waited for, and for as long as HangTimeout, those
// of the named nodes and managers that count and let a call hang. With dryRun
// elections are not waited for. Errors are those of NeedManager.
func (c *Cluster) Changeable(ctx context.Context, names []string, whom Awaited, dryRun bool) (v View, err error) {
	told := map[Event]bool{}
	wait := func(e Event) Finding {
		if !told[e] {
			told[e] = true
			c.o.Progress(e)
		}
		return Finding{Missing: []string{e.Step}}
	}
	patient := patience()
	v, _ = c.awaitWith(ctx, c.o.Timeout, shortPauses(), Condition{"a swarm that can be changed", func(v View) Finding {
		patient := patient()
		err = needManager(v, patient)
		switch hung := hangingAmong(v, names, whom); {
		case err == nil && len(hung) > 0 && patient:
			return wait(Event{Node: hung[0].Name, Kind: KindAwait, Step: "wait until its engine answers"})
		case errors.Is(err, errElection) && !dryRun:
			return wait(Event{Kind: KindAwait, Step: "wait until the swarm has elected a leader"})
		}
		return Finding{Holds: true} // or it cannot come: err says why
	}})
	if err == nil && ctx.Err() == nil && whom == AwaitNamed && len(notHeardByLeader(v, names)) > 0 {
		v, err = c.awaitHeard(ctx, v, names)
	}
	return v, cmp.Or(ctx.Err(), err)
}

// hangingAmong are those of the nodes that matter to the caller whose engine hangs.
func hangingAmong(v View, names []string, whom Awaited) []NodeView {
	named := map[string]bool{}
	for _, name := range names {
		if m, err := resolveMember(v, name); err == nil {
			name = m.name
		}
		if n, ok := v.Node(name); ok {
			named[n.Name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(v.Nodes), func(n NodeView) bool {
		counts := whom != AwaitLeader && named[n.Name] || whom == AwaitManagers && n.hung()
		return !n.Hangs() || !counts
	})
}

// awaitHeard waits until the leader has heard from nodes that answer us: a new
// leader calls every node unknown until then, and one that was just started is
// down. What they are in the end, the plan judges.
func (c *Cluster) awaitHeard(ctx context.Context, v View, names []string) (View, error) {
	for _, m := range notHeardByLeader(v, names) {
		c.o.Progress(Event{Node: m.name, Kind: KindAwait, Step: "wait until the leader has heard from it"})
	}
	began := time.Now()
	last, err := c.awaitWith(ctx, c.o.Timeout, shortPauses(), Condition{"the leader to hear from them", func(v View) Finding {
		if !v.Quorum.HasQuorum {
			return Finding{Missing: []string{v.Leaderless()}}
		}
		waiting := slices.DeleteFunc(notHeardByLeader(v, names), func(m member) bool { // down, perhaps for good
			return m.Status == engine.NodeDown && time.Since(began) > heartbeatTimeout
		})
		return Finding{Holds: len(waiting) == 0, Missing: []string{"the leader has not heard from it yet"}}
	}})
	if err != nil && ctx.Err() != nil {
		return v, ctx.Err()
	}
	return last, last.NeedManager()
}

// notHeardByLeader are the named nodes that could be promoted, and whose engines answer
// us, and not the leader; none where one of the names is wrong.
func notHeardByLeader(v View, names []string) []member {
	p := Plan{View: v}
	members, err := p.resolve(names, true)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(members, func(m member) bool {
		n, ok := v.Node(m.name)
		_, again := planRejoin(v, n, engine.RoleManager)
		return !ok || again || m.manages() || !n.State.Answered() || m.Status != engine.NodeUnknown && m.Status != engine.NodeDown
	})
}

// errElection: enough managers are there for a leader, and there is none yet.
var errElection = errors.New("no leader")

// NeedManager says why nobody can be asked about the lab's swarm, or change
// it, if so. Errors are of type
// *trouble.Error: no-swarm, nobody-answers, two-swarms, no-quorum.
func (v View) NeedManager() error { return needManager(v, true) }

// needManager is NeedManager; with patient, managers that hang may still answer.
func needManager(v View, patient bool) error {
	p := planner{lab: &lab.Lab{}, v: v}
	if !patient {
		p.ignoreHung = nodeNames(v.Nodes)
	}
	switch {
	case len(v.CandidateSwarms) > 0:
		return p.refuseForeignSwarm()
	case v.Cluster == "":
		return noSwarmError(v)
	case v.Quorum.HasQuorum:
		return nil
	}
	electing := &trouble.Error{ID: "no-quorum", Exit: trouble.ExitRefused, What: "the swarm has no leader at this moment",
		Why: v.Leaderless(), Next: []string{"an election takes 10 to 20 seconds; then try again"}, Err: errElection}
	if !patient && v.Election() { // their engines run: none of them is missing
		return electing
	}
	if err := p.planElection(); err != nil {
		return err
	}
	// Of one that hangs the next look tells more; of how many there are, too.
	if alive := max(len(v.Voters()), v.Quorum.Reachable+len(p.pick(func(n NodeView) bool { return n.State == StatePending }))); (!patient || !v.Hanging()) && alive < v.Quorum.Majority {
		return p.noQuorum(nil) // no election can change that
	}
	return electing
}

// noSwarmError is why nothing can be changed where there is no swarm.
func noSwarmError(v View) error {
	why := "no node of the lab is in one"
	var silent []string
	for _, n := range v.Nodes {
		if !n.State.Answered() {
			silent = append(silent, n.Name+" does not answer ("+reason(n)+")")
		}
	}
	if len(silent) > 0 {
		why = "no node that answers is in one; " + strings.Join(silent, ", ")
	}
	next := []string{"make one: dcalab swarm bootstrap"}
	if len(silent) > 0 {
		next = []string{"start the machines that are halted: dcalab start", "check the state: dcalab status", "if there never was one: dcalab swarm bootstrap"}
	}
	if slices.ContainsFunc(v.Nodes, func(n NodeView) bool { return n.State == StateEngineDown }) {
		next = slices.Insert(next, 0, "an engine may not answer for up to 20 s while its swarm elects a leader: then try again")
	}
	if len(silent) == len(v.Nodes) {
		return &trouble.Error{ID: "nobody-answers", Exit: trouble.ExitFailure, What: "no node answers, so the swarm is unknown",
			Why: strings.Join(silent, ", "), Next: next}
	}
	return &trouble.Error{ID: "no-swarm", Exit: trouble.ExitFailure, What: "the lab has no swarm", Why: why, Next: next}
}

// AwaitDemoted waits until those of the named nodes that are workers have a
// worker's certificate, which takes some seconds after a demotion. Stopped
// before that, a node would come back as a manager and take its place in raft
// again, and with it perhaps the quorum. waiting is told of each node that is
// waited for; after the timeout they are left as they are.
func (c *Cluster) AwaitDemoted(ctx context.Context, v View, names []string, timeout time.Duration, waiting func(node string)) error {
	for _, t := range c.targets {
		n, ok := v.Node(t.Name)
		if !ok || !slices.Contains(names, t.Name) || n.Role != lab.RoleWorker || certified(ctx, t) == nil {
			continue
		}
		waiting(t.Name)
		_ = poll(ctx, timeout, shortPauses(), func() error { return certified(ctx, t) })
	}
	return ctx.Err()
}

package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/trouble"
)

// Survivor is a manager from which a swarm without a quorum could go on.
type Survivor struct {
	Name string
	// Committed is the last entry that its log knows to be committed; Last is where
	// the log ends. What is between them is thrown away: docker swarm init
	// --force-new-cluster keeps what is known to be committed, and nothing else
	// (swarmkit, raft.loadAndStart).
	Committed, Last uint64
	Term            uint64
}

// Recovery is how a swarm gets its quorum back without the managers that are lost.
type Recovery struct {
	Plan
	// From is the manager that goes on; empty where the swarm has a quorum.
	From string
	// Survivors are the managers whose logs could be read, the one that has most
	// first.
	Survivors []Survivor
	// Rejoin is what follows, as far as it can be told before: PlanBootstrap has the rest.
	Rejoin []Step
	// Gone are managers whose machines, and so their logs, are no more.
	Gone []string
}

// PlanRecover says how a swarm that lost its quorum for good goes on from one of
// its managers, which logs tell of: from, or the one that has the most that is
// known to be committed. The other managers that are left leave it, and are to be
// taken in again (PlanBootstrap). Of a swarm that has a quorum, only what a recovery
// has left undone is planned. It is pure.
//
// It refuses where the managers may get their quorum back by themselves, for they would
// be a second swarm beside the recovered one, with the same id: "managers-may-return"
// where some do not run, "election-possible" where enough answer. Other errors: those of
// NeedManager that are not about the quorum; "locked"; "nothing-to-recover".
func PlanRecover(v View, logs map[string]raft.State, from string) (Recovery, error) {
	rec := Recovery{Plan: Plan{View: v, end: endRecover, command: "dcalab swarm recover"}}
	// An engine in no swarm that has a log: a recovery was cut short after it was restarted
	// without its swarm. (One that leaves has none any more.)
	aside := func(n NodeView) bool { return n.State == StateInactive && logs[n.Name] != (raft.State{}) }
	if v.Cluster == "" && !slices.ContainsFunc(v.Nodes, aside) || len(v.CandidateSwarms) > 0 {
		return rec, v.NeedManager()
	}
	// A leader whose followers are gone goes on believing that it leads, for 10 s.
	if v.Quorum.HasQuorum && v.Quorum.Reachable >= v.Quorum.Majority {
		rec.leaveBehind("", func(n NodeView) bool { return n.outOfRaft() })
		return rec, nil
	}
	if err := v.mayReturn(from); err != nil {
		return rec, err
	}
	managers := nodeNames(v.managers())
	for _, n := range v.Nodes {
		switch log := logs[n.Name]; {
		case !slices.Contains(managers, n.Name) && !aside(n):
		case errors.Is(n.Err, ErrAbsent):
			rec.Gone = append(rec.Gone, n.Name)
		case log != (raft.State{}) && n.State != StateForeign:
			rec.Survivors = append(rec.Survivors, Survivor{Name: n.Name, Committed: log.Commit, Last: log.Last.Index, Term: log.Term})
		}
	}
	failed := func(s Survivor) int {
		if n, _ := v.Node(s.Name); n.failed() {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(rec.Survivors, func(a, b Survivor) int {
		// Of two that have the same, one whose engine runs its swarm is the better one.
		return cmp.Or(cmp.Compare(b.Committed, a.Committed), cmp.Compare(failed(a), failed(b)))
	})
	at := 0
	if from != "" {
		at = slices.IndexFunc(rec.Survivors, func(s Survivor) bool { return s.Name == from })
	}
	if len(rec.Survivors) == 0 || at < 0 {
		why := "no manager is left whose raft log could be read"
		if from != "" {
			why = from + " has no raft log: it is no manager of this swarm, or it could not be read"
		}
		return rec, &trouble.Error{ID: "nothing-to-recover", Exit: trouble.ExitRefused, What: "recover the swarm", Why: why,
			Next: []string{"look at the managers: dcalab status", "if nothing is left, begin anew: dcalab swarm dissolve, then dcalab swarm bootstrap"}}
	}
	rec.From = rec.Survivors[at].Name
	rec.fromState(rec.From)
	rec.leaveBehind(rec.From, func(n NodeView) bool {
		return slices.ContainsFunc(v.managers(), func(m NodeView) bool { return m.Name == n.Name }) && n.State != StateInactive
	})
	rec.Warnings = rec.losses(rec.Survivors[at])
	return rec, nil
}

// PlanFromState plans that a node makes a swarm of the data that it has, of which its
// engine knows nothing yet: a backup that was put there. It is pure.
func PlanFromState(v View, node string) Plan {
	p := Plan{View: v, end: endRecover, command: "dcalab swarm restore FILE"}
	p.fromState(node)
	p.Runbook = v.Runbook(p.Steps())
	return p
}

func (p *Plan) fromState(node string) {
	n, _ := p.View.Node(node)
	p.stageThat(stopRun, "init", initStep{on: on(n.Name), Options: engine.InitOptions{Advertise: n.Addr.String(), TaskHistory: -1, FromState: true}})
}

// Unlock has the swarm go on from data that is locked, with its unlock key (empty in a
// plan that is not run). Autolock stays on.
func (p *Plan) Unlock(key engine.Secret) {
	for _, stage := range p.Stages {
		for i, s := range stage.Steps {
			if s, ok := s.(initStep); ok && s.Options.FromState {
				s.Locked, s.Key, s.Options.Autolock = true, key, true
				stage.Steps[i] = s
			}
		}
	}
	p.Runbook = p.View.Runbook(p.Steps())
}

// Unlock is that of the plan.
func (rec *Recovery) Unlock(key engine.Secret) {
	rec.Plan.Unlock(key)
	rec.Runbook = rec.View.Runbook(append(rec.Steps(), rec.Rejoin...))
}

// leaveBehind plans that managers which run, and are not in the swarm that goes on,
// leave theirs.
func (rec *Recovery) leaveBehind(from string, behind func(NodeView) bool) {
	var steps []Step
	for _, n := range rec.View.Nodes {
		if n.Name != from && behind(n) && (n.State.Answered() || n.Hangs()) && n.State != StateForeign {
			steps = append(steps, leaveStep{on: on(n.Name), Cluster: rec.View.Cluster, Why: "it has lost its quorum", failed: true})
			if n.Want != lab.RoleNone {
				rec.Rejoin = append(rec.Rejoin, joinStep{on: on(n.Name), Role: engine.Role(n.Want), Advertise: n.Addr.String()})
			}
		}
	}
	rec.stageThat(goOn, "leave", steps...)
	rec.Runbook = rec.View.Runbook(append(rec.Steps(), rec.Rejoin...))
}

// mayReturn is why the managers may get their quorum back by themselves. Of those that are
// no nodes of the lab nobody here can tell, so that a person has to say from where to go on.
func (v View) mayReturn(from string) error {
	var halted, down []string
	voters := 0
	for _, n := range v.managers() {
		if !errors.Is(n.Err, ErrAbsent) && !n.failed() && n.State != StateInactive && n.State != StateForeign && n.State != StateRemoved {
			voters++
		}
		switch {
		case n.State == StateLocked:
			return v.LockedError(v.Locked())
		case errors.Is(n.Err, ErrAbsent), n.hung():
		case n.State == StateUnreachable:
			halted = append(halted, n.Name)
		case n.State == StateEngineDown:
			down = append(down, n.Name)
		}
	}
	refused := &trouble.Error{Exit: trouble.ExitRefused, What: "refused to recover the swarm from one manager"}
	back := append(slices.Clone(halted), down...)
	var outside []string
	for _, addr := range (&planner{v: v}).peers() {
		if !slices.ContainsFunc(v.Nodes, func(n NodeView) bool { return n.Addr.String() == addr }) {
			outside = append(outside, addr)
		}
	}
	switch {
	case len(outside) > 0 && from == "":
		refused.ID = "managers-may-return"
		refused.Why = "managers at " + strings.Join(outside, ", ") + " are not nodes of labs.yaml, and may go on with the swarm, or come back"
		refused.Next = []string{"put them back into labs.yaml, or remove their machines: dcalab up --prune", "if they are gone for good, name the manager to go on from: dcalab swarm recover NODE"}
		return refused
	case len(back) > 0:
		refused.ID = "managers-may-return"
		refused.Why = fmt.Sprintf("%s do not run: started later, they could go on as a second swarm, with the same id", strings.Join(back, ", "))
		if len(back) == 1 {
			refused.Why = back[0] + " does not run: started later, it would not fit into the swarm any more"
		}
		if len(halted) > 0 {
			refused.Next = append(refused.Next, "start them, which may be all that is needed: dcalab start "+strings.Join(halted, " "))
		}
		for _, name := range down {
			refused.Next = append(refused.Next, "start its engine: dcalab ssh "+name+" -- sudo service docker start")
		}
		refused.Next = append(refused.Next, "if they are lost for good: dcalab destroy --force "+strings.Join(back, " ")+", then dcalab swarm recover")
	case v.Quorum.Managers > 0 && voters >= v.Quorum.Majority: // one that hangs may answer again
		refused.ID = "election-possible"
		refused.Why = v.Leaderless()
		refused.Next = []string{"look again in 20 s: dcalab status", "if something is broken on purpose: dcalab heal --all"}
	default:
		return nil
	}
	return refused
}

// losses say what is lost where the swarm goes on from this manager.
func (rec Recovery) losses(from Survivor) []string {
	var out []string
	if most := rec.Survivors[0].Committed; most > from.Committed {
		out = append(out, fmt.Sprintf("%s knows of %s that %s does not: going on from %s loses them",
			rec.Survivors[0].Name, trouble.Count(int(most-from.Committed), "committed change"), from.Name, from.Name))
	}
	if from.Last > from.Committed {
		out = append(out, fmt.Sprintf("%s in the log of %s is not known to be committed, and is thrown away", trouble.Count(int(from.Last-from.Committed), "change"), from.Name))
	}
	if len(rec.Gone) > 0 {
		out = append(out, "what only "+strings.Join(rec.Gone, ", ")+" had is lost: a change that was accepted in the last moments may be lost")
	}
	return out
}

// endRecover says what could not be done.
func endRecover(ctx context.Context, r *Run, p Plan, failed []failure, res *Result) error {
	if err := interrupted(ctx, p.command); err != nil {
		return err
	}
	for _, f := range failed {
		if f.step.Kind() == KindInit {
			next := []string{"look at the engine's log: dcalab logs " + f.step.Node(), "where another manager is left: dcalab swarm recover NODE"}
			if s, ok := f.step.(initStep); ok && s.Locked {
				next = append(next, "until the swarm has a leader, the keys on the disk of "+s.Node()+" may be in clear: destroy that node where it is given up")
			}
			return &trouble.Error{ID: "recover-failed", Exit: trouble.ExitUnfinished, Where: f.step.Node(),
				What: "the engine could not go on from its raft log", Why: cause(f.step.Node(), f.err),
				Next: next, Err: f.err}
		}
		res.Failed = append(res.Failed, Unfinished{Node: f.step.Node(), Why: f.step.String() + ": " + cause(f.step.Node(), f.err), Err: f.err})
	}
	res.View = r.Observe(ctx)
	res.After = res.View.Quorum
	return unfinished(p.command, nil, res.Failed)
}

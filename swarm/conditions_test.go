package swarm

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

func TestWhatANodeLacksToBeHealthy(t *testing.T) {
	member := NodeView{Name: "n", State: StateMember, Listed: true, Role: lab.RoleWorker, Status: engine.NodeReady}
	with := func(change func(*NodeView)) NodeView {
		n := member
		change(&n)
		return n
	}
	for name, c := range map[string]struct {
		node   NodeView
		leader bool
		why    string
		final  bool
	}{
		"a worker that is ready":       {member, true, "", false},
		"the same without a leader":    {member, false, "the swarm has no leader yet", false},
		"a manager that is reachable":  {with(func(n *NodeView) { n.Role, n.Reachability = lab.RoleManager, engine.ReachabilityReachable }), true, "", false},
		"a manager that is not":        {with(func(n *NodeView) { n.Role, n.Reachability = lab.RoleManager, engine.ReachabilityUnreachable }), true, "as a manager it is unreachable", false},
		"one whose heartbeats lack":    {with(func(n *NodeView) { n.Status = engine.NodeDown }), true, "its status is down", false},
		"one that no list has":         {with(func(n *NodeView) { n.Listed = false }), true, "not in the swarm's list", false},
		"one in no swarm":              {NodeView{Name: "n", State: StateInactive}, false, "", false},
		"one in a swarm of others":     {NodeView{Name: "n", State: StateForeign}, false, "", false},
		"one that still joins":         {NodeView{Name: "n", State: StatePending}, true, "it is pending", false},
		"one whose engine is silent":   {NodeView{Name: "n", State: StateEngineDown, Err: errors.New("n: no answer")}, true, "no answer", false},
		"one that waits for its key":   {NodeView{Name: "n", State: StateLocked}, false, "it waits for the unlock key", true},
		"one that gave up":             {NodeView{Name: "n", State: StateError, Err: errors.New("certificate expired")}, true, "certificate expired", true},
		"one that the swarm let go of": {NodeView{Name: "n", State: StateRemoved}, true, "it was removed from the swarm's node list", true},
	} {
		t.Run(name, func(t *testing.T) {
			why, final := c.node.unhealthy(c.leader)
			if why != c.why || final != c.final {
				t.Errorf("%q, final %v; want %q, %v", why, final, c.why, c.final)
			}
		})
	}
}

// Waiting is given up early where nobody can still come.
func TestWaitingIsGivenUpWhereItIsHopeless(t *testing.T) {
	v := View{Nodes: []NodeView{
		{Name: "locked", State: StateLocked}, {Name: "pending", State: StatePending}, {Name: "other", State: StateUnreachable},
	}}
	if missing, hopeless := healthy(v, "locked", "pending"); !hopeless || len(missing) != 2 {
		t.Errorf("without a leader: %q, hopeless %v", missing, hopeless)
	}
	v.Quorum.HasQuorum = true
	if missing, hopeless := healthy(v, "locked", "pending"); hopeless || len(missing) != 2 {
		t.Errorf("%q, hopeless %v", missing, hopeless)
	}
	if missing, hopeless := healthy(v, "locked"); !hopeless || len(missing) != 1 {
		t.Errorf("%q, hopeless %v", missing, hopeless)
	}
	if missing, _ := healthy(v); len(missing) != 0 {
		t.Errorf("nobody is waited for, and %q are missing", missing)
	}
}

func healthy(v View, nodes ...string) (missing []string, hopeless bool) {
	f := Healthy(nodes...).Check(v)
	return f.Missing, f.Hopeless
}

func TestConditions(t *testing.T) {
	running := func(string) bool { return true }
	for _, tt := range []struct {
		name      string
		roles     string
		play      func(*world)
		condition Condition
		missing   string // empty where it holds
		hopeless  bool
	}{
		{"a leader", "mmm", formed, HasLeader(), "", false},
		{"no leader", "mmm", func(w *world) { formed(w); w.swarms["swarm01"].election = 99 }, HasLeader(),
			"election in progress: no leader at this moment, 3 of 3 managers answer, 2 required", false},
		{"two that answer", "mw", formed, Answers("n1", "n2"), "", false},
		{"one that does not", "mw", func(w *world) { formed(w); w.halt(1) }, Answers("n1", "n2"), "n2: the machine is halted", false},
		{"one that the lab does not have", "mw", formed, Answers("n3"), "n3: it is not a node of the lab", false},
		{"Ready", "mw", formed, Ready("n1", "n2"), "", false},
		{"not Ready", "mw", func(w *world) { formed(w); w.swarms["swarm01"].nodes[1].cut = true }, Ready("n1", "n2"), "n2: its status is down", false},
		{"not listed", "mw", func(w *world) { w.init(0) }, Ready("n1", "n2"), "n2: not in the swarm's list", false},
		{"Reachable", "mm", formed, Reachable("n1", "n2"), "", false},
		{"a worker is not", "mw", formed, Reachable("n1", "n2"), "n2: it is not a manager", false},
		{"a dead manager is not", "mmm", func(w *world) { formed(w); w.stop(2) }, Reachable("n3"), "n3: as a manager it is unreachable", false},
		{"connected", "mmw", formed, Connected("n1", "n2", "n3"), "", false},
		{"a node that is missed", "mw", func(w *world) { formed(w); w.swarms["swarm01"].nodes[1].cut = true }, Connected("n1", "n2"), "n2: its status is down", false},
		{"a manager that is missed", "mmm", func(w *world) { formed(w); w.stop(2) }, Connected("n3"), "n3: its status is down", false},
		{"nobody misses one that is not listed", "mw", func(w *world) { w.init(0) }, Connected("n2"), "", false},
		{"out of the swarm", "mw", func(w *world) { w.init(0) }, HasLeft("n2"), "", false},
		{"in the swarm", "mw", formed, HasLeft("n2"), "n2: it is member", false},

		{"the quorum is known", "mmm", formed, QuorumKnown(running), "", false},
		{"there is no swarm", "mmm", nil, QuorumKnown(running), "", false},
		{"an election", "mmm", func(w *world) { formed(w); w.swarms["swarm01"].election = 99 }, QuorumKnown(running), "the swarm to elect a leader", false},
		{"too few for an election", "mmm", func(w *world) { formed(w); w.halt(1); w.halt(2) },
			QuorumKnown(func(node string) bool { return node == "n1" }), "", false},
		{"they boot", "mmm", func(w *world) { formed(w); w.halt(1); w.halt(2) }, QuorumKnown(running), "the swarm to elect a leader", false},
		{"two swarms", "mm", func(w *world) { w.init(0); w.init(1) }, QuorumKnown(running), "one swarm", true},
		{"all locked", "mmm", func(w *world) { formed(w); w.autolock(0); w.restart(0); w.restart(1); w.restart(2) },
			QuorumKnown(running), "the swarm to elect a leader", true},

		{"all members answer", "mmw", formed, MembersAnswer(running), "", false},
		{"an election, before they leave", "mmm", func(w *world) { formed(w); w.swarms["swarm01"].election = 99 }, MembersAnswer(running), "the swarm to elect a leader", false},
		{"too few, before they leave", "mmm", func(w *world) { formed(w); w.halt(1); w.halt(2) },
			MembersAnswer(func(node string) bool { return node == "n1" }), "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(testLab(tt.roles))
			if tt.play != nil {
				tt.play(w)
			}
			f := tt.condition.Check(observe(t.Context(), w.targets()))
			if missing := strings.Join(f.Missing, "; "); f.Holds != (tt.missing == "") || missing != tt.missing || f.Hopeless != tt.hopeless {
				t.Errorf("%+v, want %q, hopeless %v", f, tt.missing, tt.hopeless)
			}
		})
	}
}

// One that hangs beside a leader is waited for, and not for ever.
func TestWhoHangsIsWaitedForUntilHangTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mmm"))
		formed(w)
		targets := w.targets()
		targets[2].Engine = hanging{targets[2].Engine}
		for _, condition := range []func(func(string) bool) Condition{QuorumKnown, MembersAnswer} {
			began := time.Now()
			v, err := New(targets, Options{}).Await(t.Context(), ElectionTimeout, condition(func(string) bool { return true }))
			if took := time.Since(began); err != nil || !v.Hanging() || took < HangTimeout || took > HangTimeout+time.Second {
				t.Errorf("after %s: %v", took, err)
			}
		}
	})
}

func TestAwaitWhatComesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mww"))
		formed(w)
		w.halt(2)
		looks, told := 0, ""
		cluster := New(nil, Options{
			Reconnect: func(context.Context) ([]Target, error) {
				if looks++; looks == 4 {
					w.restart(2)
				}
				return w.targets(), nil
			},
			Waiting: func(missing []string) { told = strings.Join(missing, "; ") },
		})
		began := time.Now()
		v, err := cluster.Await(t.Context(), time.Minute, HasLeader(), Answers("n3"))
		if n, _ := v.Node("n3"); err != nil || !n.State.Answered() || told != "n3: the machine is halted" || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %s, told %q: %+v", err, time.Since(began), told, n)
		}
	})
}

func TestAwaitWhatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mww"))
		formed(w)
		w.halt(2)
		v, err := New(w.targets(), Options{}).Await(t.Context(), 3*time.Second, HasLeader(), Answers("n3"))
		var unmet *UnmetError
		if !errors.As(err, &unmet) || unmet.Hopeless || len(unmet.Conditions) != 1 || len(v.Nodes) != 3 ||
			err.Error() != "waiting for answers: n3: the machine is halted (after 3s)" {
			t.Errorf("%v", err)
		}
		no := errors.New("no")
		_, err = New(nil, Options{Reconnect: func(context.Context) ([]Target, error) { return nil, no }}).Await(t.Context(), time.Minute, HasLeader())
		if !errors.Is(err, no) {
			t.Errorf("no way to the nodes: %v", err)
		}
	})
}

// The conditions that somebody types, on a swarm of three whose manager m2 is
// unreachable and whose worker is Down.
func TestNamedConditions(t *testing.T) {
	l := &lab.Lab{Nodes: []lab.Node{{Name: "m1", Role: lab.RoleManager}, {Name: "m2", Role: lab.RoleManager}, {Name: "w1", Role: lab.RoleWorker}, {Name: "r", Role: lab.RoleNone}}}
	v := View{Quorum: Quorum{Managers: 2, HasQuorum: true}, Nodes: []NodeView{
		{Name: "m1", State: StateMember, Listed: true, Role: lab.RoleManager, Status: engine.NodeReady, Reachability: engine.ReachabilityReachable},
		{Name: "m2", State: StateMember, Listed: true, Role: lab.RoleManager, Status: engine.NodeReady, Reachability: engine.ReachabilityUnreachable},
		{Name: "w1", State: StateUnreachable, Listed: true, Role: lab.RoleWorker, Status: engine.NodeDown},
		{Name: "r", State: StateInactive},
	}}
	for typed, want := range map[string]string{
		"leader":       "",
		"quorum":       "",
		"answers":      "w1: unreachable",
		"answers r m1": "",
		"ready":        "w1: its status is down", // r is not to be in the swarm
		"ready m1":     "",
		"ready r":      "r: not in the swarm's list",
		"reachable":    "m2: as a manager it is unreachable",
		"reachable w1": "w1: it is not a manager",
		"healthy m1 r": "",
		"healthy":      "m2: as a manager it is unreachable; w1: it is unreachable",
		"left r":       "",
		"left":         "m1: it is member; m2: it is member; w1: it is unreachable",
	} {
		words := strings.Fields(typed)
		c, ok := Named(words[0], l, words[1:]...)
		if !ok {
			t.Errorf("%s is no condition", words[0])
			continue
		}
		f := c.Check(v)
		if got := strings.Join(f.Missing, "; "); got != want || f.Holds != (want == "") {
			t.Errorf("%s: %v, %q; want %q", typed, f.Holds, got, want)
		}
	}
	for _, name := range ConditionNames() {
		if _, ok := Named(name, l); !ok {
			t.Errorf("%s is no condition", name)
		}
	}
	if _, ok := Named("ready,leader", l); ok {
		t.Error("a name that is none is one")
	}
}

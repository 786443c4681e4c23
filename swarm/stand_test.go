package swarm

import (
	"errors"
	"testing"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

func TestWhatANodeLacksToStand(t *testing.T) {
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
			why, final := c.node.notStanding(c.leader)
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
	if missing, hopeless := v.notStanding([]string{"locked", "pending"}); !hopeless || len(missing) != 2 {
		t.Errorf("without a leader: %q, hopeless %v", missing, hopeless)
	}
	v.Quorum.HasQuorum = true
	if missing, hopeless := v.notStanding([]string{"locked", "pending"}); hopeless || len(missing) != 2 {
		t.Errorf("%q, hopeless %v", missing, hopeless)
	}
	if missing, hopeless := v.notStanding([]string{"locked"}); !hopeless || len(missing) != 1 {
		t.Errorf("%q, hopeless %v", missing, hopeless)
	}
	if missing, _ := v.notStanding(nil); len(missing) != 0 {
		t.Errorf("nobody is waited for, and %q are missing", missing)
	}
}

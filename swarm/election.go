package swarm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dcalab/dcalab/engine"
)

// Electing tells whether a manager's engine runs and waits for a leader: it
// answers a ping, and what needs the leader hangs (measured on 20.10: for about
// 10 s of an election).
func (n NodeView) Electing() bool { return n.hung() && errors.Is(n.Err, engine.ErrHangs) }

// Voters are the managers of the lab's swarm that can take part in an election:
// their engines answer.
func (v View) Voters() []NodeView {
	var out []NodeView
	for _, n := range v.managers() {
		if n.Electing() || n.Cluster == v.Cluster && (n.State == StateMember && n.Control || n.State == StatePending) {
			out = append(out, n)
		}
	}
	return out
}

// Election tells whether the swarm has no leader and enough managers to elect
// one. Raft begins an election 10 to 19 s after the leader's last heartbeat.
func (v View) Election() bool {
	return v.Cluster != "" && v.Quorum.Managers > 0 && !v.Quorum.HasQuorum && len(v.Voters()) >= v.Quorum.Majority
}

// Locked are the managers that wait for the unlock key.
func (v View) Locked() []NodeView {
	return slices.DeleteFunc(v.managers(), func(n NodeView) bool { return n.State != StateLocked })
}

// Leaderless says that there is no leader, and what for: "election in progress:
// no leader at this moment, 2 of 3 managers answer, 2 required". Where the
// unlock key is all that a majority waits for: "locked: 2 of 3 managers wait for
// the unlock key".
func (v View) Leaderless() string {
	if n := len(v.Locked()); n > 0 && n+len(v.Voters()) >= v.Quorum.Majority {
		return fmt.Sprintf("locked: %d of %s wait for the unlock key", n, managers(v.Quorum.Managers))
	}
	if v.Election() {
		return fmt.Sprintf("election in progress: no leader at this moment, %d of %s answer, %d required", len(v.Voters()), managers(v.Quorum.Managers), v.Quorum.Majority)
	}
	return v.Quorum.Lost()
}

// Lost reads "quorum lost: 1 of 3 managers reachable, 2 required".
func (q Quorum) Lost() string {
	return fmt.Sprintf("quorum lost: %d of %s reachable, %d required", q.Reachable, managers(q.Managers), q.Majority)
}

// WithoutLeader is the view where the node that the list calls the leader is
// known to be gone. The others go on calling it so until they miss it.
func (v View) WithoutLeader() View {
	v.Nodes = append([]NodeView(nil), v.Nodes...)
	for i := range v.Nodes {
		v.Nodes[i].Leader = false
	}
	v.Leader, v.Quorum.HasQuorum = "", false
	return v
}

// Engaged is the address that a node has for the swarm: what its own engine
// tells, else the list. It is empty where neither does.
func (v View) Engaged(node string) string {
	for i, n := range v.Nodes {
		if n.Name != node || i >= len(v.facts) {
			continue
		}
		if a := v.facts[i].info.Addr; a != "" {
			return a
		}
		for _, e := range v.entries() {
			if n.Listed && e.ID == n.NodeID && e.Addr != "0.0.0.0" && e.Addr != "127.0.0.1" {
				return e.Addr
			}
		}
	}
	return ""
}

package swarm

import (
	"net/netip"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// State is what one node of the lab is to the lab's swarm.
type State string

// The states of a node. Only answers make a node absent from a swarm: a probe
// that failed is unreachable or engine-down.
const (
	StateUnreachable State = "unreachable" // the machine cannot be asked
	StateEngineDown  State = "engine-down" // the machine answers, its engine does not
	StateInactive    State = "inactive"    // in no swarm
	StatePending     State = "pending"     // joining, or restarted and not yet back in its swarm
	StateError       State = "error"       // the engine reports swarm state error; Err says why
	StateLocked      State = "locked"      // a manager that waits for its unlock key
	StateForeign     State = "foreign"     // in a swarm that is not the lab's
	StateMember      State = "member"      // in the lab's swarm
	// StateRemoved is a node that considers itself a member of the lab's swarm, although
	// it was removed from the swarm's node list (docker node rm --force), or was dissolved
	// while it was down. Its engine calls itself active for as long as one cares
	// to look (20.10, measured).
	StateRemoved State = "removed"
)

// Answered tells whether the node's own engine spoke.
func (s State) Answered() bool { return s != StateUnreachable && s != StateEngineDown }

// NodeView is what is known of one node of the lab.
type NodeView struct {
	Name     string
	Hostname string
	Addr     netip.Addr
	// Want is the role that labs.yaml gives the node.
	Want  lab.Role
	State State
	// Orphan: labs.yaml no longer has it. It wants no role then.
	Orphan bool
	// Err says what is wrong where something is: why the node or its engine
	// does not answer, or the engine's own account of its swarm.
	Err error
	// Engine is the engine's version; empty where neither the engine nor the
	// swarm's list tells.
	Engine string
	// NodeID and Cluster (the swarm's id) as the node's own engine or
	// certificate has them; for a node that does not answer, from the list.
	// Cluster is empty where nobody could tell.
	NodeID  string
	Cluster string
	// Role is the one that the node has now: lab.RoleManager, lab.RoleWorker,
	// or empty outside a swarm.
	Role lab.Role
	// Control: the node's own engine takes calls on the swarm.
	Control bool
	// Listed: the swarm's list holds the node; the fields below come from it.
	Listed       bool
	WantedRole   lab.Role // the swarm's wish, where it differs from Role it is on its way
	Leader       bool
	Reachability engine.Reachability // empty for workers
	Availability engine.Availability
	Status       engine.NodeStatus
	Labels       map[string]string

	// engineState is what the node's own engine called its state, before it was
	// judged in the light of the others.
	engineState engine.LocalNodeState
	// dissolved: it is in a swarm that the lab dissolved while it was down.
	dissolved bool
}

// Entry is a line of the swarm's list that belongs to no existing node of the
// lab.
type Entry struct {
	engine.Node
	// Lab is the lab's node that the entry was, for a stale one.
	Lab string
}

// SwarmMembers are the nodes of the lab that are in one swarm.
type SwarmMembers struct {
	Cluster string
	Nodes   []string
}

// View is what all the engines said at one time. It is plain data.
type View struct {
	// Nodes in the order of the lab's.
	Nodes []NodeView
	// Cluster is the id of the lab's swarm: the one in which a node that
	// labs.yaml calls manager is a member; where there is none, that of the nodes
	// which labs.yaml no longer has. Empty where there is none, or more than one.
	Cluster string
	// Swarms are all the swarms that nodes of the lab are in, the lab's
	// included, ordered by id.
	Swarms []SwarmMembers
	// CandidateSwarms are those of Swarms that could be the lab's, where there are two
	// or more.
	CandidateSwarms []SwarmMembers
	// Leader is the short name of the leader, or its host name where it is not
	// a node of the lab.
	Leader   string
	Settings *engine.SwarmSettings
	Quorum   Quorum
	// Stale are entries of nodes of the lab as they were before they left or
	// were recreated; judged only where the node itself answered.
	Stale []Entry
	// Unknown are entries with a host name that is not the lab's. They are left
	// alone.
	Unknown []Entry
	// Warnings are sentences for the user.
	Warnings []string

	labNodes []Node
	facts    []fact
}

// Node finds a node of the lab by its short or full name.
func (v View) Node(name string) (NodeView, bool) {
	for _, n := range v.Nodes {
		if n.Name == name || n.Hostname == name {
			return n, true
		}
	}
	return NodeView{}, false
}

// Summary says what a member of the swarm is now.
func (n NodeView) Summary() string {
	what := string(n.Role)
	if n.Leader {
		what += ", leader"
	} else if n.Reachability != "" {
		what += ", " + string(n.Reachability)
	}
	// A new leader calls every node unknown until it has heard from it.
	if n.Status != engine.NodeUnknown {
		what += ", " + string(n.Status)
	}
	return what
}

package engine

import (
	"net/netip"
	"time"
)

// LocalNodeState is what an engine says of its own place in a swarm.
type LocalNodeState string

// The states of moby's swarm.LocalNodeState. A manager that lost the quorum
// stays active; one that was restarted without a quorum is pending.
const (
	StateInactive LocalNodeState = "inactive"
	StatePending  LocalNodeState = "pending"
	StateActive   LocalNodeState = "active"
	StateError    LocalNodeState = "error"
	StateLocked   LocalNodeState = "locked"
)

// Role of a node in a swarm.
type Role string

// The roles that a swarm knows.
const (
	RoleManager Role = "manager"
	RoleWorker  Role = "worker"
)

// Availability says whether the scheduler may give a node tasks.
type Availability string

// The availabilities that a swarm knows.
const (
	AvailabilityActive Availability = "active"
	AvailabilityPause  Availability = "pause"
	AvailabilityDrain  Availability = "drain"
)

// Reachability is what the leader says of a manager.
type Reachability string

// The reachabilities that a swarm knows.
const (
	ReachabilityUnknown     Reachability = "unknown"
	ReachabilityUnreachable Reachability = "unreachable"
	ReachabilityReachable   Reachability = "reachable"
)

// NodeStatus is what the leader says of a node's agent.
type NodeStatus string

// The statuses that a swarm knows. A node is Down 13 to 17 s after its last
// heartbeat, and Unknown for a while after a new leader was elected.
const (
	NodeUnknown      NodeStatus = "unknown"
	NodeDown         NodeStatus = "down"
	NodeReady        NodeStatus = "ready"
	NodeDisconnected NodeStatus = "disconnected"
)

// Peer is a manager that a node knows of.
type Peer struct {
	ID   string
	Addr string // host:port
}

// Info is what an engine says of itself.
type Info struct {
	EngineVersion string
	Hostname      string
	State         LocalNodeState
	// NodeID is empty where State is inactive or locked, and mostly in error.
	NodeID string
	// Addr is the address that the node advertises, without a port.
	Addr string
	// Control: this engine is a manager that takes calls on the swarm. It may
	// hold and the swarm still have no leader; then Error says so.
	Control bool
	// ClusterID is known to managers with a leader only.
	ClusterID string
	// Settings of the swarm, known where ClusterID is.
	Settings *SwarmSettings
	// Error is the engine's own account of what is wrong, free of secrets.
	Error string
	// Remotes are the managers that the node knows of, itself included where it
	// is one.
	Remotes []Peer
}

// Node is an entry of the swarm's list of nodes.
type Node struct {
	ID string
	// Version of the object.
	Version  uint64
	Hostname string
	// Role is the one that is wished for (docker node promote sets it at once);
	// ManagerAddr and Reachability tell whether it has come true.
	Role   Role
	Leader bool
	// Reachability is empty where the node takes no part in raft.
	Reachability Reachability
	// ManagerAddr is host:port of the node's raft, empty as above.
	ManagerAddr string
	// Addr is the address that the leader sees the node at.
	Addr          string
	Availability  Availability
	Status        NodeStatus
	StatusMessage string
	Labels        map[string]string
	EngineVersion string
}

// IsManager tells whether the node takes part in raft now, whatever role is
// wished for.
func (n Node) IsManager() bool { return n.Reachability != "" }

// NodeSpec is what can be set of a node. Nothing else of the node's spec is
// lost when it is written back.
type NodeSpec struct {
	Role         Role
	Availability Availability
	Labels       map[string]string
}

// SwarmSettings are the settings of a whole swarm.
type SwarmSettings struct {
	// ClusterID and Version are read only; Version is that of the object, not
	// of the engine.
	ClusterID string
	Version   uint64
	// Pools, SubnetSize and DataPathPort are set by Init alone.
	Pools        []netip.Prefix
	SubnetSize   int
	DataPathPort int
	CertExpiry   time.Duration
	Autolock     bool
	TaskHistory  int
	// Rotating: the root CA is being replaced, and some nodes have certificates of the old
	// one still. Read only.
	Rotating bool
}

// InitOptions start a new swarm. Zero values leave Docker's defaults, but for
// TaskHistory, where a negative value does.
type InitOptions struct {
	// Advertise is the address or address:port that other nodes reach this one
	// at.
	Advertise string
	// Listen defaults to 0.0.0.0:2377.
	Listen       string
	Pools        []netip.Prefix
	SubnetSize   int
	DataPathPort int
	Autolock     bool
	Availability Availability
	CertExpiry   time.Duration
	TaskHistory  int
	// FromState makes the new swarm from the state that this node has as a manager, with
	// the same id, services, secrets and settings, and with no other manager (docker
	// swarm init --force-new-cluster). Of the other options only the addresses count.
	FromState bool
}

// JoinOptions take a node into a swarm.
type JoinOptions struct {
	Token Secret
	// Managers are address:port of the swarm's managers. Engines to this day
	// use the first one only.
	Managers []string
	// Advertise is the address or address:port that other nodes reach this one
	// at; Listen defaults to 0.0.0.0:2377.
	Advertise    string
	Listen       string
	Availability Availability
}

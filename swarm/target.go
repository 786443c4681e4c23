package swarm

import (
	"context"
	"errors"
	"net/netip"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// Engine is what this package asks of the engine of one node; engine.Swarm is
// one.
type Engine interface {
	Info(context.Context) (engine.Info, error)
	Nodes(context.Context) ([]engine.Node, error)
	Init(context.Context, engine.InitOptions) (string, error)
	Join(context.Context, engine.JoinOptions) error
	OnIngress(context.Context) (bool, error)
	Leave(ctx context.Context, force bool) error
	Tokens(context.Context) (worker, manager engine.Secret, err error)
	RotateToken(context.Context, engine.Role) error
	UnlockKey(context.Context) (engine.Secret, error)
	RotateUnlockKey(context.Context) error
	RotateCA(context.Context) error
	OldCA(context.Context) (hostnames []string, err error)
	Unlock(context.Context, engine.Secret) error
	UpdateSwarm(context.Context, func(*engine.SwarmSettings)) error
	UpdateNode(ctx context.Context, id string, edit func(*engine.NodeSpec)) error
	RemoveNode(ctx context.Context, id string, force bool) error
	Tasks(context.Context) ([]engine.Task, error)
	Holdings(context.Context) (engine.Holdings, error)
	Standalone(context.Context) (int, error)
}

// ErrAbsent is wrapped by Target.Unreachable where the machine does
// not exist: what does not exist holds no swarm.
var ErrAbsent = errors.New("the machine does not exist")

// Node is one node of the lab.
type Node struct {
	// Name is the short name, Hostname the full one; a swarm's list may show
	// either.
	Name     string
	Hostname string
	// Addr is the node's address in the lab: it is what the node advertises.
	Addr netip.Addr
	// Role is the one that labs.yaml wants.
	Role lab.Role
	// Orphan: labs.yaml no longer has the node, and its machine is still there.
	Orphan bool
	// Dissolved are the ids of swarms that were the lab's and were dissolved: a
	// node that comes back into one of them takes itself for a member.
	Dissolved []string
}

// Target is one node of the lab and the way to its engine.
type Target struct {
	Node
	// Engine is nil where the node cannot be asked; Unreachable says why
	// (halted, not created, SSH refused).
	Engine      Engine
	Unreachable error
	// Disk has what the engine keeps of its swarm. It may be nil, and is asked only where
	// engines do not already tell.
	Disk Disk
}

// Disk is what a node has of its swarm on disk, in /var/lib/docker/swarm.
type Disk interface {
	// Certificate reads the node's swarm certificate, PEM: it alone says which swarm a
	// worker, a locked manager or one without a quorum belongs to. An error for which
	// errors.Is(err, fs.ErrNotExist) holds means that there is none.
	Certificate(context.Context) ([]byte, error)
	// KeyLocked tells whether the node's key in the swarm is encrypted (autolock).
	KeyLocked(context.Context) (bool, error)
	// SetAside restarts the engine without its swarm, whose data stays. With an unlock
	// key, that is not locked any more (autolock).
	SetAside(ctx context.Context, unlockKey string) error
	// IsAside tells whether a manager's data is there of which the engine, which is in
	// no swarm, knows nothing: it was set aside, or a backup was put there.
	IsAside(context.Context) (bool, error)
}

// TargetFor gives the target of a node of a lab, without a way to its engine:
// the caller sets Engine and Disk, or Unreachable.
func TargetFor(l *lab.Lab, n lab.Node) Target {
	return Target{Node: Node{Name: n.Name, Hostname: l.Hostname(n), Addr: n.IP, Role: n.Role}}
}

func labNodes(targets []Target) []Node {
	out := make([]Node, len(targets))
	for i, t := range targets {
		out[i] = t.Node
	}
	return out
}

// Package machine is where the nodes of a lab run. A Driver makes, starts,
// halts and destroys them and says how each is reached over SSH; what happens
// inside a node is the business of package provision. Drivers live in folders
// of their own below this one and pass one contract suite, machinetest.
package machine

import (
	"context"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// Status is what a driver knows of one machine, without asking anything
// inside it.
type Status string

// The states of a machine. A driver maps its own onto these.
const (
	StatusAbsent  Status = "absent"  // not created, or destroyed
	StatusHalted  Status = "halted"  // exists, powered off; its disk is kept
	StatusRunning Status = "running" // powered on; says nothing about sshd or the engine
	StatusUnknown Status = "unknown" // the driver could not tell
)

// Observer follows what a driver does. Its functions may be
// called from several goroutines at once. Nil functions are not called.
type Observer struct {
	// Step is called when a node begins a step, named in a few words in the
	// present participle ("booting", "waiting for sshd").
	Step func(node, step string)
	// Ready is called once per node, as soon as its sshd answers. Up and Start
	// do not wait for it to return before they go on with the other nodes, but
	// they return only when every call has.
	Ready func(node.Endpoint)
}

// Begin calls Step, if there is one.
func (o Observer) Begin(node, step string) {
	if o.Step != nil {
		o.Step(node, step)
	}
}

// Driver runs the machines of one lab. Every method is idempotent, honours
// ctx, and leaves the lab in a state from which the same or any other method
// succeeds, wherever it was interrupted (even by kill -9). Methods that take
// nodes act on all the nodes of the lab when given none.
type Driver interface {
	// Name of the driver, as in labs.yaml.
	Name() string
	// Traits of the driver on this machine.
	Traits() Traits
	// Preflight finds everything that would stop Up on this machine and
	// returns it as one error with the commands that solve it. It changes
	// nothing.
	Preflight(ctx context.Context) error
	// Up creates the nodes that are absent and starts those that are halted.
	Up(ctx context.Context, o Observer, nodes ...string) error
	// Start starts nodes that exist; an absent one is an *AbsentError.
	Start(ctx context.Context, o Observer, nodes ...string) error
	// Halt shuts nodes down gracefully (the engine is stopped first) and keeps
	// their disks.
	Halt(ctx context.Context, o Observer, nodes ...string) error
	// Destroy removes nodes and everything that belongs to them. With none
	// named, everything of the lab on this machine goes.
	Destroy(ctx context.Context, o Observer, nodes ...string) error
	// Status tells the state of every node of the lab. It neither waits nor
	// changes anything.
	Status(ctx context.Context) (map[string]Status, error)
	// Endpoint tells how to reach a node that is running.
	Endpoint(ctx context.Context, node string) (node.Endpoint, error)
}

// AbsentError is in the chain of Start's error for a node that does not exist.
type AbsentError struct{ Node string }

func (e *AbsentError) Error() string { return "the machine of " + e.Node + " does not exist" }

// NotCreated is what Start refuses with: an *AbsentError, and what to do about it.
func NotCreated(node string) error {
	return &trouble.Error{
		ID: "node-absent", Where: node, What: "start", Why: "this node has not been created",
		Next: []string{"create it: dcalab up " + node}, Err: &AbsentError{node},
	}
}

// Killer is a Driver that can cut the power of machines: what runs there ends at
// once, and not gracefully. Disks are kept, and Start boots them.
type Killer interface {
	Kill(ctx context.Context, o Observer, nodes ...string) error
}

// Limited is a Driver that can name what nodes on this machine will not be
// able to do, so that nobody is surprised later ("no ip_vs: published ports answer
// only on the node that runs the task"), and what their presence means for this
// machine. None of it stops Up.
type Limited interface {
	Limits(ctx context.Context) []string
}

//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"runtime"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// Driver is the sandbox driver; on this operating system every method says
// that it needs Linux.
type Driver struct{}

// New makes the driver for one lab.
func New(Config) *Driver { return &Driver{} }

func needsLinux() error {
	return &trouble.Error{
		ID: "sandbox-needs-linux", What: "the sandbox driver",
		Why:  "its nodes are made of Linux namespaces, and this is " + runtime.GOOS,
		Next: []string{"use the docker driver: dcalab --driver docker up", "use the vagrant driver: dcalab --driver vagrant up"},
		Exit: trouble.ExitRequirement,
	}
}

func (*Driver) Name() string                                               { return Name }
func (*Driver) Traits() machine.Traits                                     { return machine.Traits{} }
func (*Driver) Preflight(context.Context) error                            { return needsLinux() }
func (*Driver) Up(context.Context, machine.Observer, ...string) error      { return needsLinux() }
func (*Driver) Start(context.Context, machine.Observer, ...string) error   { return needsLinux() }
func (*Driver) Halt(context.Context, machine.Observer, ...string) error    { return needsLinux() }
func (*Driver) Destroy(context.Context, machine.Observer, ...string) error { return needsLinux() }
func (*Driver) Status(context.Context) (map[string]machine.Status, error)  { return nil, needsLinux() }
func (*Driver) Endpoint(context.Context, string) (node.Endpoint, error) {
	return node.Endpoint{}, needsLinux()
}

// Examine says the same as a check.
func (*Driver) Examine(context.Context) []machine.Check {
	c := machine.Check{ID: "linux", What: "Linux"}
	return []machine.Check{c.Failure("the sandbox driver's nodes are made of Linux namespaces, and this is "+runtime.GOOS,
		machine.Advise("use the vagrant driver: dcalab --driver vagrant up"))}
}

// Places lists nothing.
func Places() map[string]Place { return map[string]Place{} }

// Leftovers lists nothing.
func Leftovers(map[string]Place) map[string]Place { return nil }

// PowerOff powers off the nodes of this host.
func PowerOff(context.Context) error { return errors.ErrUnsupported }

package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// Preflight finds what would stop Up.
func (d *Driver) Preflight(ctx context.Context) error { return machine.Preflight(d.Examine(ctx)) }

// Examine looks at Docker, and where the container runs, at what the sandbox
// driver needs in it.
func (d *Driver) Examine(ctx context.Context) []machine.Check {
	c := machine.Check{ID: "docker", What: "Docker"}
	version, err := d.docker.run(ctx, "version", "--format", "{{.Server.Version}} {{.Server.Os}}/{{.Server.Arch}}")
	if err != nil {
		var fixes []machine.Fix
		for _, next := range trouble.Advice(err) {
			fixes = append(fixes, machine.Advise(next))
		}
		var t *trouble.Error
		if errors.As(err, &t) {
			return []machine.Check{c.Failure(t.Why, fixes...)}
		}
		return []machine.Check{c.Failure(err.Error())}
	}
	checks := []machine.Check{c.OK("Docker " + version)}
	inside, err := asked(ctx, d.inside, methodExamine, func(r *result) []machine.Check { return r.Checks })
	if err != nil {
		return append(checks, machine.Check{ID: "docker-host", What: "the host container"}.Unknown(err.Error()))
	}
	return append(checks, inside...)
}

// Limits are the driver's own, and those of the kernel below Docker.
func (d *Driver) Limits(ctx context.Context) []string {
	own := []string{fmt.Sprintf("root in a node is close to root on the host of your Docker: the lab is its container %s, with most of root's rights", d.cfg.container())}
	inside, err := asked(ctx, d.inside, methodLimits, func(r *result) []string { return r.Limits })
	if err != nil {
		return own
	}
	return append(own, inside...)
}

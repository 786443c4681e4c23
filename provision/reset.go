package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// Reset takes everything away that the node's engine keeps (containers,
// images, volumes, networks, its place in a swarm) and starts it again, empty,
// with the configuration that it had. The node stays the node: its name, keys,
// users and files elsewhere. It ends when the engine answers and is in no
// swarm. It needs no engine that answers to begin with, may be cut short
// anywhere, and be done again. step is told what is being done; it may be nil.
//
// Errors: "sudo-refused", "engine-data-elsewhere" (nothing was touched),
// "engine-start-failed", "engine-down", "reset-unfinished".
func Reset(ctx context.Context, c *node.Conn, step func(string)) error {
	if step == nil {
		step = func(string) {}
	}
	step("emptying the engine")
	_, err := c.Root(ctx, script(c, "reset.sh"), nil)
	var failed *node.RunError
	var t *trouble.Error
	switch {
	case err == nil:
	case ctx.Err() != nil || errors.As(err, &t):
		return err
	case errors.As(err, &failed) && failed.Exit == 4:
		return &trouble.Error{
			ID: "engine-data-elsewhere", Where: c.Name(), What: "reset the engine", Why: failed.Stderr,
			Next: []string{"dcalab empties /var/lib/docker alone: dcalab ssh " + c.Name() + "    # and empty that one by hand"},
			Exit: trouble.ExitRefused, Err: err,
		}
	default:
		return fmt.Errorf("reset the engine: %w", err)
	}
	step("starting the engine")
	if err := service(ctx, c, "start", false); err != nil {
		return err
	}
	if _, err := awaitEngine(ctx, c); err != nil {
		return err
	}
	state, err := swarmState(ctx, c)
	if err != nil {
		return err
	}
	if state != "inactive" {
		return &trouble.Error{
			ID: "reset-unfinished", Where: c.Name(), What: "reset the engine", Why: "it is still in a swarm (" + state + "): its data must be elsewhere than in /var/lib/docker",
			Next: []string{"dcalab ssh " + c.Name() + " -- docker info"},
		}
	}
	return nil
}

// swarmState asks the engine for its own place in a swarm: "inactive" is none.
func swarmState(ctx context.Context, c *node.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var v struct {
		Swarm struct{ LocalNodeState string }
	}
	if _, err := askEngine(ctx, c, "/info", 1<<22, &v); err != nil {
		return "", fmt.Errorf("%s: ask the engine for its swarm: %w", c.Name(), err)
	}
	return v.Swarm.LocalNodeState, nil
}

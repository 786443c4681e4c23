package provision

import (
	"context"
	"fmt"
	"strings"

	"github.com/dcalab/dcalab/node"
)

// KeyLocked tells whether the node's key in its swarm is encrypted on disk: autolock
// is on, and an engine that starts with it waits for the unlock key.
func KeyLocked(ctx context.Context, c *node.Conn) (bool, error) {
	out, err := c.Root(ctx, script(c, "key-locked.sh"), nil)
	if err != nil {
		return false, fmt.Errorf("look whether the swarm's key is locked: %w", err)
	}
	return strings.TrimSpace(out) == "locked", nil
}

// SetSwarmAside restarts the engine without its swarm, whose data stays on the node:
// an engine that could not start its swarm holds on to it, and refuses to make a new
// one from the same data (moby's daemon/cluster, Init: "not a swarm manager"; measured
// on 20.10).
func SetSwarmAside(ctx context.Context, c *node.Conn) error {
	if _, err := c.Root(ctx, script(c, "set-aside.sh"), nil); err != nil {
		return fmt.Errorf("restart the engine without its swarm: %w", err)
	}
	if err := service(ctx, c, "start", false); err != nil {
		return err
	}
	_, err := awaitEngine(ctx, c, enginePatience)
	return err
}

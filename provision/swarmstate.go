package provision

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
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
	if _, err := c.Root(ctx, script(c, "swarm-state.sh"), nil, "aside"); err != nil {
		return fmt.Errorf("restart the engine without its swarm: %w", err)
	}
	_, err := awaitEngine(ctx, c)
	return err
}

// SaveSwarm writes what the node has of its swarm (/var/lib/docker/swarm), as a tar
// archive, while its engine is stopped. The engine runs again afterwards, whatever
// has happened.
func SaveSwarm(ctx context.Context, c *node.Conn, to io.Writer) error {
	return moveSwarm(ctx, c, "save", nil, to)
}

// PutSwarm puts such an archive in the place of what the node has, and restarts the engine,
// which takes itself for one without a swarm. What was there, if it was a manager's,
// is in swarm.before, beside it.
func PutSwarm(ctx context.Context, c *node.Conn, from io.Reader) error {
	return moveSwarm(ctx, c, "put", from, nil)
}

func moveSwarm(ctx context.Context, c *node.Conn, verb string, from io.Reader, to io.Writer) error {
	s := script(c, "swarm-state.sh")
	said := &trouble.Bound{Max: node.MaxOutput, Node: c.Name(), What: "run " + s.Name}
	exit, err := c.Stream(ctx, c.AsRoot(s.Line(verb)), from, to, said)
	if err == nil && exit != 0 {
		err = &node.RunError{Node: c.Name(), Command: s.Name + " " + verb, Exit: exit, Stderr: trouble.LastLines(said.String(), 5)}
	}
	if err != nil {
		return fmt.Errorf("%s the swarm's data: %w", verb, err)
	}
	_, err = awaitEngine(ctx, c)
	return err
}

package provision

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// SwarmData is what a node has of its swarm, in /var/lib/docker/swarm.
type SwarmData struct{ Conn *node.Conn }

// Certificate reads the node's own swarm certificate (PEM, with the chain)
// from the engine's folder, with sudo. Only CERTIFICATE blocks leave the node:
// a key that stands in the same file is left out there, not here. A node that
// is in no swarm gives an error that wraps fs.ErrNotExist.
func (d SwarmData) Certificate(ctx context.Context) ([]byte, error) {
	out, err := d.Conn.Root(ctx, script(d.Conn, "certificate.sh"), nil)
	var failed *node.RunError
	switch {
	case errors.As(err, &failed) && failed.Exit == 3:
		return nil, fmt.Errorf("%s: read the swarm certificate: %w", d.Conn.Name(), fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read the swarm certificate: %w", err)
	}
	block, _ := pem.Decode([]byte(out))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: read the swarm certificate: the file holds none", d.Conn.Name())
	}
	return []byte(out), nil
}

// KeyLocked tells whether the node's key in its swarm is encrypted on disk: autolock
// is on, and an engine that starts with it waits for the unlock key.
func (d SwarmData) KeyLocked(ctx context.Context) (bool, error) {
	return d.told(ctx, "key", "locked")
}

// IsAside tells whether a manager's data is there, and not the note with which an engine
// that starts takes it for its own.
func (d SwarmData) IsAside(ctx context.Context) (bool, error) {
	return d.told(ctx, "aside", "aside")
}

func (d SwarmData) told(ctx context.Context, what, yes string) (bool, error) {
	out, err := d.Conn.Root(ctx, script(d.Conn, "swarm-look.sh"), nil, what)
	if err != nil {
		return false, fmt.Errorf("look at the swarm's data: %w", err)
	}
	return strings.TrimSpace(out) == yes, nil
}

// Unlocks tells whether an unlock key is the one that the node's key in the swarm, which
// is locked, is encrypted with: ErrWrongKey where it is not.
func (d SwarmData) Unlocks(ctx context.Context, unlockKey string) error {
	_, err := d.unlocked(ctx, unlockKey)
	return err
}

func (d SwarmData) unlocked(ctx context.Context, unlockKey string) ([]byte, error) {
	file, err := d.Conn.Root(ctx, script(d.Conn, "swarm-look.sh"), nil, "locked-key")
	if err == nil {
		var key []byte
		if key, err = unlocked([]byte(file), unlockKey); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%s: unlock the swarm's data: %w", d.Conn.Name(), err)
}

// SetAside restarts the engine without its swarm, whose data stays on the node:
// an engine that could not start its swarm holds on to it, and refuses to make a new
// one from the same data (moby's daemon/cluster, Init: "not a swarm manager"; measured
// on 20.10). With an unlock key, the data is not locked any more.
func (d SwarmData) SetAside(ctx context.Context, unlockKey string) error {
	var key []byte
	args := []string{"aside"}
	if unlockKey != "" {
		var err error
		if key, err = d.unlocked(ctx, unlockKey); err != nil {
			return err
		}
		args = append(args, "key")
	}
	if _, err := d.Conn.Root(ctx, script(d.Conn, "swarm-state.sh"), key, args...); err != nil {
		return fmt.Errorf("restart the engine without its swarm: %w", err)
	}
	_, err := awaitEngine(ctx, d.Conn)
	return err
}

// Save writes it as a tar archive, while its engine is stopped. The engine runs again afterwards, whatever
// has happened.
func (d SwarmData) Save(ctx context.Context, to io.Writer) error {
	return d.move(ctx, "save", nil, to)
}

// Put puts such an archive in the place of what the node has, and restarts the engine,
// which takes itself for one without a swarm. What was there, if it was a manager's,
// is in swarm.before, beside it.
func (d SwarmData) Put(ctx context.Context, from io.Reader) error {
	return d.move(ctx, "put", from, nil)
}

func (d SwarmData) move(ctx context.Context, verb string, from io.Reader, to io.Writer) error {
	c := d.Conn
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

package docker

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
)

// Config is what a Driver is made of.
type Config struct {
	Lab *lab.Lab
	// ID is unique to this lab on this machine: 12 hex digits.
	ID string
	// Root is the folder whose .dcalab holds the lab's state: a label tells it to
	// whoever lists containers.
	Root string
	// Binary is the path of dcalab for Linux, for the container; empty where there
	// is none.
	Binary string
	// AuthorizedKey, IdentityFile, PinHostKey and ForgetHostKey are as for the
	// sandbox driver.
	AuthorizedKey func() (ssh.PublicKey, error)
	IdentityFile  string
	PinHostKey    func(host string, key ssh.PublicKey) error
	ForgetHostKey func(host string) error
	// State keeps which Docker the lab is in. May be nil: the user's current one.
	State  *lab.State
	Getenv func(string) string
	// Log gets the commands that are run and what they say. May be nil.
	Log io.Writer
}

// Driver is the docker driver for one lab.
type Driver struct {
	cfg    *Config
	docker *labDocker
	host   *host
	inside *inside
}

var (
	_ machine.Driver       = (*Driver)(nil)
	_ machine.Limited      = (*Driver)(nil)
	_ machine.Examiner     = (*Driver)(nil)
	_ machine.Snapshotter  = (*Driver)(nil)
	_ machine.SnapshotRoom = (*Driver)(nil)
	_ machine.OrphanLister = (*Driver)(nil)
)

// New makes the driver for one lab. It touches nothing.
func New(cfg Config) *Driver {
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	docker := &labDocker{cfg: &cfg}
	h := &host{cfg: &cfg, docker: docker}
	return &Driver{&cfg, docker, h, &inside{&cfg, h}}
}

// Name is "docker".
func (d *Driver) Name() string { return Name }

// Traits of a driver whose machines belong to the user of Docker.
func (d *Driver) Traits() machine.Traits { return machine.Traits{SlowStatus: true, Private: true} }

// Up makes the host container where there is none, and the nodes in it.
func (d *Driver) Up(ctx context.Context, o machine.Observer, nodes ...string) error {
	if _, err := d.cfg.Lab.Pick(nodes); err != nil {
		return err
	}
	state, err := d.host.state(ctx)
	if err == nil {
		err = d.host.wake(ctx, o, state)
	}
	if err != nil {
		return err
	}
	_, err = d.inside.do(ctx, o, request{Method: methodUp, Nodes: nodes})
	return err
}

// Start starts nodes that exist.
func (d *Driver) Start(ctx context.Context, o machine.Observer, nodes ...string) error {
	picked, err := d.cfg.Lab.Pick(nodes)
	if err != nil {
		return err
	}
	if err := d.host.atHand(ctx, o, machine.NotCreated(picked[0].Name)); err != nil {
		return err
	}
	_, err = d.inside.do(ctx, o, request{Method: methodStart, Nodes: nodes})
	return err
}

// Halt shuts nodes down gracefully.
func (d *Driver) Halt(ctx context.Context, o machine.Observer, nodes ...string) error {
	return d.off(ctx, o, methodHalt, nodes)
}

// Kill ends all processes of nodes at once.
func (d *Driver) Kill(ctx context.Context, o machine.Observer, nodes ...string) error {
	return d.off(ctx, o, methodKill, nodes)
}

func (d *Driver) off(ctx context.Context, o machine.Observer, how method, nodes []string) error {
	if _, err := d.cfg.Lab.Pick(nodes); err != nil {
		return err
	}
	state, err := d.host.state(ctx)
	if err != nil || state != stateRunning {
		return err
	}
	_, err = d.inside.do(ctx, o, request{Method: how, Nodes: nodes})
	return err
}

// Destroy removes nodes, and with the last of them the container and its volume.
func (d *Driver) Destroy(ctx context.Context, o machine.Observer, nodes ...string) error {
	state, err := d.host.state(ctx)
	if err != nil {
		return err
	}
	if len(nodes) > 0 && state == "" {
		_, err := d.cfg.Lab.Pick(nodes)
		return err
	}
	if len(nodes) > 0 || state == stateRunning {
		if err := d.host.wake(ctx, o, state); err != nil {
			return err
		}
		if _, err := d.inside.do(ctx, o, request{Method: methodDestroy, Nodes: nodes}); err != nil {
			return err
		}
	}
	if len(nodes) > 0 {
		left, err := d.inside.do(ctx, o, request{Method: methodStatus})
		if err != nil {
			return err
		}
		for _, s := range left.Machines {
			if s != machine.StatusAbsent {
				return nil
			}
		}
		// Snapshots bring back nodes that were destroyed one by one.
		if kept, err := d.Snapshots(ctx); err != nil || len(kept) > 0 {
			return err
		}
	}
	return d.host.remove(ctx)
}

// Status tells the state of every node.
func (d *Driver) Status(ctx context.Context) (map[string]machine.Status, error) {
	out := map[string]machine.Status{}
	state, err := d.host.state(ctx)
	if err != nil {
		return nil, err
	}
	if state == stateRunning {
		res, err := d.inside.do(ctx, machine.Observer{}, request{Method: methodStatus})
		if err != nil {
			return nil, err
		}
		return res.Machines, nil
	}
	for _, n := range d.cfg.Lab.Nodes {
		out[n.Name] = machine.StatusAbsent
		if state != "" {
			out[n.Name] = machine.StatusHalted // or absent: its container would have to run to tell
		}
	}
	return out, nil
}

// Endpoint leads through docker exec.
func (d *Driver) Endpoint(ctx context.Context, name string) (node.Endpoint, error) {
	return d.inside.endpoint(ctx, name)
}

// Orphans are asked for where the container runs.
func (d *Driver) Orphans(ctx context.Context) (map[string]machine.Status, error) {
	return d.inside.orphans(ctx)
}

// Snapshots lists those that are complete.
func (d *Driver) Snapshots(ctx context.Context) ([]machine.Snapshot, error) {
	return asked(ctx, d.inside, methodSnapshots, func(r *result) []machine.Snapshot { return r.Snapshots })
}

// SaveSnapshot keeps the disks of all nodes.
func (d *Driver) SaveSnapshot(ctx context.Context, o machine.Observer, name string) error {
	return d.snapshot(ctx, o, methodSave, name)
}

// RestoreSnapshot brings them back.
func (d *Driver) RestoreSnapshot(ctx context.Context, o machine.Observer, name string) error {
	return d.snapshot(ctx, o, methodRestore, name)
}

// DeleteSnapshot removes one.
func (d *Driver) DeleteSnapshot(ctx context.Context, o machine.Observer, name string) error {
	return d.snapshot(ctx, o, methodDelete, name)
}

// RoomToSave tells whether there is room for the disks once more.
func (d *Driver) RoomToSave(ctx context.Context) error {
	return d.snapshot(ctx, machine.Observer{}, methodSaveRoom, "")
}

// RoomToRestore tells whether there is room for a snapshot's disks.
func (d *Driver) RoomToRestore(ctx context.Context, name string) error {
	return d.snapshot(ctx, machine.Observer{}, methodBackRoom, name)
}

func (d *Driver) snapshot(ctx context.Context, o machine.Observer, m method, name string) error {
	absent := fmt.Errorf("snapshot %s: %w", name, machine.ErrNoSnapshot)
	if m == methodSave || m == methodSaveRoom {
		absent = machine.NotCreated(d.cfg.Lab.Nodes[0].Name)
	}
	if err := d.host.atHand(ctx, o, absent); err != nil {
		return err
	}
	_, err := d.inside.do(ctx, o, request{Method: m, Snapshot: name})
	return err
}

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// Driver is the sandbox driver for one lab. It brings its parts together: maker
// makes disks, and shared is what the lab's nodes share. What this host needs is
// examined by checks, and snapshots are kept by snapshots, whose methods are the
// Driver's too.
type Driver struct {
	cfg    Config
	place  place
	disks  storage
	net    network
	nodes  containers
	maker  maker
	shared shared
	*checks
	*snapshots
}

var (
	_ machine.Driver       = (*Driver)(nil)
	_ machine.Killer       = (*Driver)(nil)
	_ machine.Limited      = (*Driver)(nil)
	_ machine.Examiner     = (*Driver)(nil)
	_ machine.Snapshotter  = (*Driver)(nil)
	_ machine.SnapshotRoom = (*Driver)(nil)
	_ machine.OrphanLister = (*Driver)(nil)
	_ machine.Explainer    = (*Driver)(nil)
)

// New makes the driver for one lab. It touches nothing.
func New(cfg Config) *Driver {
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	at := newPlace(cfg)
	disks := storage{cfg.ID, cfg.Dir, len(cfg.Lab.Nodes)}
	net := network{cfg.ID, cfg.Lab, cfg.Root}
	nodes := containers{id: cfg.ID, lab: cfg.Lab, uid: cfg.UID, gid: cfg.GID, log: cfg.Log, disks: disks, net: net}
	m := maker{cfg, disks, net}
	return &Driver{
		cfg: cfg, place: at, disks: disks, net: net, nodes: nodes, maker: m, shared: shared{cfg, at, disks, net},
		checks:    &checks{id: cfg.ID, lab: cfg.Lab, place: at, disks: disks, net: net, meminfo: "/proc/meminfo", release: "/proc/sys/kernel/osrelease"},
		snapshots: &snapshots{lab: cfg.Lab, place: at, disks: disks, nodes: nodes, maker: m, pinHostKey: cfg.PinHostKey, authorizedKey: cfg.AuthorizedKey},
	}
}

// Name is "sandbox".
func (d *Driver) Name() string { return Name }

// Traits of a driver whose nodes are made of what only root may make.
func (d *Driver) Traits() machine.Traits { return machine.Traits{NeedsRoot: true} }

// Up creates the nodes that are absent and starts those that are halted.
func (d *Driver) Up(ctx context.Context, o machine.Observer, names ...string) error {
	return d.disks.noRoom(d.power(ctx, o, names, true))
}

// Start starts nodes that exist.
func (d *Driver) Start(ctx context.Context, o machine.Observer, names ...string) error {
	return d.disks.noRoom(d.power(ctx, o, names, false))
}

func (d *Driver) power(ctx context.Context, o machine.Observer, names []string, create bool) error {
	nodes, err := d.cfg.Lab.Pick(names)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.place.verify(); err != nil {
		return err
	}
	if err := d.Preflight(ctx); err != nil {
		return err
	}
	if err := d.settle(); err != nil {
		return err
	}
	alive, err := running(d.cfg.ID)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if !create && !d.disks.disk(n.Name).exists() {
			return machine.NotCreated(n.Name)
		}
	}
	if err := machine.Preflight(append(d.checkImages(true, nodes), d.checkMemory(nodes))); err != nil {
		return err
	}
	// Files are to get the modes that the code names: nobody could log in to a
	// node whose root folder others cannot enter.
	unix.Umask(0o022)
	if err := d.shared.prepare(); err != nil {
		return err
	}
	nat, err := d.net.setUpBridge()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.net.allow(ctx, nat) })
	copied := make(chan struct{}) // closed when nodes have all to run from; disks can be made before
	g.Go(func() error {
		err := d.shared.copy(len(alive) > 0)
		if err == nil {
			close(copied)
		}
		return err
	})
	// Engines that start keep processors busy, waiting does not: only the first is
	// limited, so that the first of many nodes are not starved by the last.
	boots := make(chan struct{}, max(8, 4*runtime.NumCPU()))
	for _, n := range nodes {
		g.Go(func() error {
			if pid, ok := alive[n.Name]; ok {
				if done, err := d.resume(ctx, o, n, pid); done {
					return err
				}
			}
			select {
			case boots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			pid, err := d.boot(ctx, o, n, nat, copied)
			go func() {
				if err == nil {
					booted(ctx, pid)
				}
				<-boots
			}()
			if err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			return d.ready(ctx, o, n, pid)
		})
	}
	return g.Wait()
}

// libnetwork is the line in /proc/net/unix of a socket that dockerd listens on
// once it has set up its networks, which is nearly the last thing that it does
// before it answers. What the node itself has to say is not asked.
var libnetwork = regexp.MustCompile(`(?m)^\S+ \S+ \S+ 00010000 .* (/var)?/run/docker/libnetwork/\S+\.sock$`)

const (
	// bootTimeout is how long a node counts as booting whose engine does not come up.
	bootTimeout = 5 * time.Second
	look        = 10 * time.Millisecond // between two checks of what is waited for
)

// booted waits until the engine of the node whose PID 1 is pid has started.
func booted(ctx context.Context, pid int) {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	for !ended(pid) && !libnetwork.MatchString(readText(fmt.Sprintf("/proc/%d/net/unix", pid))) {
		if pause(ctx, 4*look) != nil {
			return
		}
	}
}

// resume makes a node that runs ready. done is false where it has to be booted.
func (d *Driver) resume(ctx context.Context, o machine.Observer, n lab.Node, pid int) (done bool, err error) {
	if _, err := os.Stat(d.nodes.haltMark(n.Name)); err == nil {
		// A halt was interrupted: how far it has got is unknown.
		o.Begin(n.Name, "stopping")
		if err := end(ctx, pid, haltTimeout); err != nil {
			return true, fmt.Errorf("%s: %w", n.Name, err)
		}
		return false, nil
	}
	err = updateHosts(d.cfg.Lab, pid)
	if err == nil {
		err = d.net.repair(n, pid)
	}
	if err == nil {
		err = d.ready(ctx, o, n, pid)
	}
	return err == nil || !ended(pid), err
}

// boot creates a node's disk when there is none, starts its PID 1 once copied is closed,
// and gives the pid of that on the host.
func (d *Driver) boot(ctx context.Context, o machine.Observer, n lab.Node, nat bool, copied <-chan struct{}) (int, error) {
	if !d.disks.disk(n.Name).exists() {
		o.Begin(n.Name, "creating")
		if err := d.maker.create(ctx, n); err != nil {
			return 0, err
		}
	}
	o.Begin(n.Name, "booting")
	if err := d.maker.refresh(n, nat); err != nil {
		return 0, err
	}
	if err := d.nodes.sweep(ctx, n.Name); err != nil {
		return 0, err
	}
	select {
	case <-copied:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	pid, err := d.nodes.run(ctx, n)
	if err != nil {
		return 0, err
	}
	return pid, d.net.attach(n, pid)
}

// ready waits until a node whose PID 1 is pid can be logged in to, and says so.
func (d *Driver) ready(ctx context.Context, o machine.Observer, n lab.Node, pid int) error {
	o.Begin(n.Name, "waiting for sshd")
	if err := d.nodes.await(ctx, n.Name, pid); err != nil {
		return err
	}
	ep, err := d.Endpoint(ctx, n.Name)
	if err == nil && o.Ready != nil {
		o.Ready(ep)
	}
	return err
}

// Halt stops the engine and sshd of the nodes and then the nodes.
func (d *Driver) Halt(ctx context.Context, o machine.Observer, names ...string) error {
	return d.off(ctx, names, func(ctx context.Context, name string, pid int) error {
		o.Begin(name, "stopping")
		return d.nodes.halt(ctx, name, pid)
	})
}

// Kill ends all processes of the nodes at once.
func (d *Driver) Kill(ctx context.Context, o machine.Observer, names ...string) error {
	return d.off(ctx, names, func(ctx context.Context, name string, _ int) error {
		o.Begin(name, "cutting its power")
		return d.nodes.sweep(ctx, name)
	})
}

// off ends those of the nodes that run.
func (d *Driver) off(ctx context.Context, names []string, end func(ctx context.Context, name string, pid int) error) error {
	nodes, err := d.cfg.Lab.Pick(names)
	if err != nil {
		return err
	}
	if err := d.place.update(); err != nil {
		return err
	}
	alive, err := running(d.cfg.ID)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		if pid, ok := alive[n.Name]; ok {
			g.Go(func() error { return end(ctx, n.Name, pid) })
		}
	}
	return g.Wait()
}

// Destroy removes nodes; with none named, everything of the lab's.
func (d *Driver) Destroy(ctx context.Context, o machine.Observer, names ...string) error {
	if err := needRoot(); err != nil {
		return err
	}
	if err := d.place.verify(); err != nil {
		return err
	}
	targets := map[string]bool{}
	for _, name := range names {
		n, err := d.nodes.find(name)
		if err != nil {
			return err
		}
		targets[n.Name] = true
	}
	whole := len(names) == 0
	if whole {
		// Also the nodes that labs.yaml no longer names.
		for _, name := range d.nodes.remains() {
			targets[name] = true
		}
	} else if err := d.settle(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.NumCPU())
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		g.Go(func() error {
			o.Begin(name, "destroying")
			disk := d.disks.disk(name)
			err := d.nodes.sweep(gctx, name)
			if err == nil {
				err = errors.Join(removeTree(disk.dir), removeTree(disk.half().dir))
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			// Also for one that labs.yaml no longer names.
			return d.cfg.ForgetHostKey(d.cfg.Lab.Hostname(lab.Node{Name: name}))
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if !whole {
		// Snapshots bring back nodes that were destroyed one by one.
		kept, err := d.Snapshots(ctx)
		if err != nil || len(kept) > 0 || len(d.nodes.remains()) > 0 {
			return err
		}
	}
	return d.shared.remove(ctx)
}

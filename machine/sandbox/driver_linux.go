package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

const (
	runtimeRoot = "/run/dcalab"
	initCommand = "sandbox-init"
	// haltTimeout is how long a node may take to stop its engine and sshd
	// before it is switched off hard: longer than PID 1 gives the engine.
	haltTimeout = stopTimeout + 10*time.Second
)

// Driver is the sandbox driver for one lab.
type Driver struct {
	cfg Config
	fit atomic.Bool // this host was found to lack nothing
	// meminfo is where the kernel says what memory is left.
	meminfo string
}

var (
	_ machine.Driver       = (*Driver)(nil)
	_ machine.Limited      = (*Driver)(nil)
	_ machine.OrphanLister = (*Driver)(nil)
)

// New makes the driver for one lab. It touches nothing.
func New(cfg Config) *Driver {
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	return &Driver{cfg: cfg, meminfo: "/proc/meminfo"}
}

// Name is "sandbox".
func (d *Driver) Name() string { return Name }

// Traits of a driver whose nodes are made of what only root may make.
func (d *Driver) Traits() machine.Traits { return machine.Traits{NeedsRoot: true} }

func (d *Driver) disk(node string) disk { return disk{filepath.Join(d.storage(), node)} }
func (d *Driver) runtime(elem ...string) string {
	return filepath.Join(append([]string{runtimeRoot, d.cfg.ID}, elem...)...)
}
func (d *Driver) socket(node string) string { return d.runtime(node, "run", "ssh.sock") }

// Up creates the nodes that are absent and starts those that are halted.
func (d *Driver) Up(ctx context.Context, o machine.Observer, names ...string) error {
	return d.power(ctx, o, names, true)
}

// Start starts nodes that exist.
func (d *Driver) Start(ctx context.Context, o machine.Observer, names ...string) error {
	return d.power(ctx, o, names, false)
}

func (d *Driver) power(ctx context.Context, o machine.Observer, names []string, create bool) (err error) {
	defer func() { err = d.full(err) }()
	nodes, err := d.cfg.Lab.Pick(names)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.trust(); err != nil {
		return err
	}
	if err := d.Preflight(ctx); err != nil {
		return err
	}
	if err := d.settleDisks(); err != nil {
		return err
	}
	alive, err := running(d.cfg.ID)
	if err != nil {
		return err
	}
	if !create {
		for _, n := range nodes {
			if !d.disk(n.Name).exists() {
				return machine.NotCreated(n.Name)
			}
		}
	}
	if err := machine.Preflight([]machine.Check{d.checkMemory(nodes)}); err != nil {
		return err
	}
	// The modes of what is made from here on are meant as they are written: a
	// node whose root folder others cannot enter lets nobody in.
	unix.Umask(0o022)
	if err := d.ground(); err != nil {
		return err
	}
	if err := d.copyEtc(len(alive) > 0); err != nil {
		return err
	}
	nat, err := d.raise()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.allow(nat) })
	// Booting is work for the processors, waiting is not: only the first is
	// limited.
	boots := make(chan struct{}, 2*runtime.NumCPU())
	for _, n := range nodes {
		g.Go(func() error {
			switch pid, ok := alive[n.Name]; {
			case ok && d.halting(n.Name):
				// A halt that was cut short: nobody knows how far it has come.
				step(o, n.Name, "stopping")
				if err := end(ctx, pid, haltTimeout); err != nil {
					return fmt.Errorf("%s: %w", n.Name, err)
				}
			case ok:
				err := d.introduce(pid)
				if err == nil {
					err = d.mend(n, pid)
				}
				if err == nil {
					err = d.ready(ctx, o, n, pid)
				}
				if err == nil || !ended(pid) {
					return err
				}
			}
			select {
			case boots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			pid, err := d.boot(ctx, o, n, nat)
			<-boots
			if err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			return d.ready(ctx, o, n, pid)
		})
	}
	return g.Wait()
}

// full words the error of a disk that has no room.
func (d *Driver) full(err error) error {
	var told *trouble.Error
	if errors.Is(err, unix.ENOSPC) && !errors.As(err, &told) {
		err = &trouble.Error{ID: "disk-full", What: "the nodes' disks have no room", Why: err.Error(), Next: []string{d.makeRoom()}, Err: err}
	}
	return err
}

func (d *Driver) makeRoom() string { return "make room there: df -h " + filepath.Dir(d.cfg.Dir) }

// ready waits until a node whose PID 1 is pid can be logged in to, and says so.
func (d *Driver) ready(ctx context.Context, o machine.Observer, n lab.Node, pid int) error {
	step(o, n.Name, "waiting for sshd")
	if err := d.await(ctx, n, pid); err != nil {
		return err
	}
	if o.Ready != nil {
		ep, err := d.Endpoint(ctx, n.Name)
		if err != nil {
			return err
		}
		o.Ready(ep)
	}
	return nil
}

// ended tells whether a process is gone.
func ended(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

func step(o machine.Observer, node, what string) {
	if o.Step != nil {
		o.Step(node, what)
	}
}

// ground makes what all nodes share: the folders and the copy of this program
// that is their PID 1 (a copy, so that rebuilding dcalab leaves running nodes
// alone; not below /run, which is mounted noexec on many hosts).
func (d *Driver) ground() error {
	if err := d.claim(); err != nil {
		return err
	}
	if err := d.prepareStorage(); err != nil {
		return err
	}
	self, err := os.Stat(d.cfg.Executable)
	if err != nil {
		return err
	}
	if old, err := os.Lstat(d.initCopy()); err == nil && old.Mode().IsRegular() && old.Size() == self.Size() && old.ModTime().Equal(self.ModTime()) {
		return nil
	}
	return replaceFile(d.initCopy(), d.cfg.Executable, self.ModTime())
}

func (d *Driver) initCopy() string { return filepath.Join(d.storage(), ".init") }

// replaceFile copies a program to a path, in one step for those who look.
func replaceFile(to, from string, mtime time.Time) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".init-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // gone already when all went well
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Chmod(0o755), out.Close()); err != nil {
		return err
	}
	if err := os.Chtimes(out.Name(), mtime, mtime); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

// boot creates a node's disk when there is none, starts its PID 1 and gives
// the pid of that on the host.
func (d *Driver) boot(ctx context.Context, o machine.Observer, n lab.Node, nat bool) (int, error) {
	if !d.disk(n.Name).exists() {
		step(o, n.Name, "creating")
		if err := d.create(n); err != nil {
			return 0, err
		}
	}
	step(o, n.Name, "booting")
	if err := d.refresh(n, nat); err != nil {
		return 0, err
	}
	if err := d.sweep(ctx, n.Name); err != nil {
		return 0, err
	}
	pid, err := d.run(ctx, n)
	if err != nil {
		return 0, err
	}
	return pid, d.plug(n, pid)
}

// await waits until the sshd of the node whose PID 1 is pid answers.
func (d *Driver) await(ctx context.Context, n lab.Node, pid int) error {
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		// The node makes its socket when its sshd listens.
		if _, err := os.Stat(d.socket(n.Name)); err == nil {
			return nil
		}
		if err := pause(waiting, 5*time.Millisecond); err != nil {
			if ctx.Err() == nil { // the minute is over, not the caller's patience
				return &trouble.Error{
					ID: "sshd-silent", Where: n.Name, What: "boot", Why: "its sshd did not answer within a minute",
					Next: []string{"read the node's log: " + d.disk(n.Name).log()},
				}
			}
			return err
		}
		if ended(pid) {
			return &trouble.Error{
				ID: "node-died", Where: n.Name, What: "boot", Why: lastLine(d.disk(n.Name).log()),
				Next: []string{"read the node's log: " + d.disk(n.Name).log()},
			}
		}
	}
}

func lastLine(path string) string {
	lines := strings.Split(strings.TrimSpace(readFirst(path)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return "it ended at once: " + last
	}
	return "it ended at once"
}

// Halt stops the engine and sshd of the nodes and then the nodes.
func (d *Driver) Halt(ctx context.Context, o machine.Observer, names ...string) error {
	nodes, err := d.cfg.Lab.Pick(names)
	if err != nil {
		return err
	}
	if err := d.follow(); err != nil {
		return err
	}
	alive, err := running(d.cfg.ID)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		pid, ok := alive[n.Name]
		if !ok {
			continue
		}
		g.Go(func() error {
			step(o, n.Name, "stopping")
			// Before the signal: PID 1 may take it long after this is gone.
			err := os.WriteFile(d.haltMark(n.Name), nil, 0o600)
			if err == nil || errors.Is(err, fs.ErrNotExist) { // somebody removed the node's folder
				err = end(ctx, pid, haltTimeout)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			return d.sweep(ctx, n.Name)
		})
	}
	return g.Wait()
}

// haltMark is a file that a node has from when it was told to halt until it is
// swept up.
func (d *Driver) haltMark(node string) string { return d.runtime(node, "halting") }

func (d *Driver) halting(node string) bool {
	_, err := os.Stat(d.haltMark(node))
	return err == nil
}

// end asks a process to end, again and again, and kills it after the timeout.
func end(ctx context.Context, pid int, timeout time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for deadline := time.Now().Add(timeout); ; {
		sig := unix.SIGTERM
		if time.Now().After(deadline) {
			sig = unix.SIGKILL
		}
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); errors.Is(err, unix.ESRCH) {
			return nil
		} else if err != nil {
			return err
		}
		// A pidfd becomes readable when its process ends.
		for range 20 {
			if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100); err == nil && n > 0 {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

// Destroy removes nodes; with none named, everything of the lab's.
func (d *Driver) Destroy(ctx context.Context, o machine.Observer, names ...string) error {
	if err := d.needRoot(); err != nil {
		return err
	}
	if err := d.trust(); err != nil {
		return err
	}
	targets := map[string]bool{}
	for _, name := range names {
		n, ok := d.node(name)
		if !ok {
			return fmt.Errorf("lab %s has no node %s", d.cfg.Lab.Name, name)
		}
		targets[n.Name] = true
	}
	whole := len(names) == 0
	if whole {
		// Also the nodes that labs.yaml no longer names.
		for _, name := range d.remains() {
			targets[name] = true
		}
	} else if err := d.settleDisks(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.NumCPU())
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		g.Go(func() error {
			step(o, name, "destroying")
			if err := d.sweep(gctx, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			disk := d.disk(name)
			if err := errors.Join(removeDisk(disk.dir), removeDisk(disk.half().dir)); err != nil {
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
		if err != nil || len(kept) > 0 || len(d.remains()) > 0 {
			return err
		}
	}
	return d.vanish(ctx)
}

// remains lists the nodes of which anything is left: a disk, a runtime
// folder, a process, a cgroup.
func (d *Driver) remains() []string {
	found := map[string]bool{}
	for _, dir := range []string{d.storage(), d.restored(), d.runtime()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				name, _, _ := strings.Cut(e.Name(), ".") // what follows says what became of it
				found[name] = true
			}
		}
	}
	if alive, err := running(d.cfg.ID); err == nil {
		for name := range alive {
			found[name] = true
		}
	}
	roots, _ := hierarchies()
	for _, root := range roots {
		entries, _ := os.ReadDir(filepath.Join(root, "dcalab", d.cfg.ID))
		for _, e := range entries {
			if e.IsDir() {
				found[e.Name()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Orphans are the nodes of which anything is left and that labs.yaml no longer
// names.
func (d *Driver) Orphans(context.Context) (map[string]machine.Status, error) {
	if err := d.trust(); err != nil {
		return nil, err
	}
	alive, err := running(d.cfg.ID)
	if err != nil {
		return nil, err
	}
	out := map[string]machine.Status{}
	for _, name := range d.remains() {
		if _, ok := d.cfg.Lab.Node(name); ok {
			continue
		}
		switch {
		case alive[name] != 0:
			out[name] = machine.StatusRunning
		case d.disk(name).exists():
			out[name] = machine.StatusHalted
		default:
			out[name] = machine.StatusUnknown
		}
	}
	return out, nil
}

// node finds a node of the lab, or an orphan, which has a name only.
func (d *Driver) node(name string) (lab.Node, bool) {
	if n, ok := d.cfg.Lab.Node(name); ok {
		return n, true
	}
	return lab.Node{Name: name}, slices.Contains(d.remains(), name)
}

// vanish removes what the nodes shared.
func (d *Driver) vanish(ctx context.Context) error {
	if err := reapCgroup(ctx, filepath.Join("/dcalab", d.cfg.ID)); err != nil {
		return err
	}
	if err := dropCgroups(d.cfg.ID); err != nil {
		return err
	}
	if err := d.fell(); err != nil {
		return err
	}
	if err := errors.Join(d.releaseStorage(), d.dropProbes()); err != nil {
		return err
	}
	if err := os.RemoveAll(d.runtime()); err != nil {
		return err
	}
	if err := d.unclaim(); err != nil {
		return err
	}
	return d.leave()
}

// leave removes what all labs share, when there is no other.
func (d *Driver) leave() error {
	if err := unix.Rmdir(filepath.Dir(d.cfg.Dir)); err != nil && !emptied(err) {
		return err
	}
	root, err := lockedDir(runtimeRoot, unix.LOCK_EX)
	if errors.Is(err, unix.ENOENT) {
		return dropCgroups("")
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if err := unforward(); err != nil {
		return err
	}
	if left, err := root.ReadDir(-1); err != nil || slices.ContainsFunc(left, os.DirEntry.IsDir) {
		return err
	}
	if err := errors.Join(dropForwardMarks(), dropCgroups("")); err != nil {
		return err
	}
	return unix.Rmdir(runtimeRoot)
}

// emptied tells whether a folder that labs share was not removed because it is
// in use, or gone.
func emptied(err error) bool {
	for _, e := range []unix.Errno{unix.ENOENT, unix.ENOTEMPTY, unix.EEXIST, unix.EBUSY, unix.EROFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// lockedDir opens a folder and locks it, until it is closed, against others
// that do the same.
func lockedDir(path string, how int) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(dir.Fd()), how)
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, unix.EINTR) {
			dir.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// Status tells which nodes run, which are halted, and which do not exist.
func (d *Driver) Status(context.Context) (map[string]machine.Status, error) {
	if err := d.trust(); err != nil {
		return nil, err
	}
	alive, err := running(d.cfg.ID)
	if err != nil {
		return nil, err
	}
	out := map[string]machine.Status{}
	for _, n := range d.cfg.Lab.Nodes {
		switch {
		case alive[n.Name] != 0:
			out[n.Name] = machine.StatusRunning
		case d.disk(n.Name).exists(), disk{d.restored(n.Name)}.exists():
			out[n.Name] = machine.StatusHalted
		default:
			out[n.Name] = machine.StatusAbsent
		}
	}
	return out, nil
}

// Endpoint gives the socket that leads to the node's sshd.
func (d *Driver) Endpoint(_ context.Context, name string) (node.Endpoint, error) {
	if err := d.trust(); err != nil {
		return node.Endpoint{}, err
	}
	n, ok := d.node(name)
	if !ok {
		return node.Endpoint{}, fmt.Errorf("lab %s has no node %s", d.cfg.Lab.Name, name)
	}
	return node.Endpoint{
		Node: n.Name, Network: "unix", Address: d.socket(n.Name),
		User: User, IdentityFile: d.cfg.IdentityFile, HostKeyAlias: d.cfg.Lab.Hostname(n),
	}, nil
}

package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// Snapshots lie beside the nodes' disks, below storage:
//
//	.snapshots/NAME/NODE/   a copy of the node's disk; NAME is for root alone,
//	                        since it holds the swarm's keys
//	.snapshots/NAME.json    what it is; a folder without one is half a snapshot
//	.restore.new/NODE/      disks that a restore is still copying
//	.restore/NODE/          disks that are whole, and on their way to the nodes
//
// One rename decides a restore, that of .restore.new to .restore: before it
// every node has the disk that it had, and after it the snapshot's, whatever
// happens, since whoever touches the disks next finishes the way to the nodes
// first (settleDisks).

const (
	snapshotsFolder = ".snapshots"
	restoreFolder   = ".restore"
	oldSuffix       = ".old"
	recordSuffix    = ".json"
)

var (
	_ machine.Snapshotter  = (*Driver)(nil)
	_ machine.SnapshotRoom = (*Driver)(nil)
)

func (d *Driver) snapshots(elem ...string) string {
	return filepath.Join(append([]string{d.storage(), snapshotsFolder}, elem...)...)
}

func (d *Driver) restored(elem ...string) string {
	return filepath.Join(append([]string{d.storage(), restoreFolder}, elem...)...)
}

// SaveSnapshot copies the disks of all nodes, which must be halted.
func (d *Driver) SaveSnapshot(ctx context.Context, o machine.Observer, name string) error {
	if err := d.beforeSnapshot(ctx, name); err != nil {
		return err
	}
	if _, err := d.snapshot(name); !errors.Is(err, machine.ErrNoSnapshot) {
		if err == nil {
			err = fmt.Errorf("%s: %w", name, machine.ErrSnapshotExists)
		}
		return err
	}
	if err := d.wantHalted(ctx, "save a snapshot", machine.StatusHalted); err != nil {
		return err
	}
	if err := d.RoomToSave(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(d.snapshots(), 0o755); err != nil {
		return err
	}
	nodes := d.cfg.Lab.NodeNames()
	from := func(node string) disk { return d.disk(node) }
	if err := d.copyDisks(ctx, o, "saving its disk", nodes, from, d.snapshots(name), 0o700); err != nil {
		return err
	}
	return d.writeSnapshot(machine.Snapshot{Name: name, Time: time.Now().UTC().Truncate(time.Millisecond), Nodes: nodes})
}

// RestoreSnapshot gives all nodes, none of which may run, the disks of a
// snapshot. A node that was destroyed since is back with it.
func (d *Driver) RestoreSnapshot(ctx context.Context, o machine.Observer, name string) error {
	if err := d.beforeSnapshot(ctx, name); err != nil {
		return err
	}
	s, err := d.snapshot(name)
	if err != nil {
		return err
	}
	if err := s.Fits(d.cfg.Lab); err != nil {
		return err
	}
	if err := d.wantHalted(ctx, "restore a snapshot", machine.StatusHalted, machine.StatusAbsent); err != nil {
		return err
	}
	if err := d.RoomToRestore(ctx, name); err != nil {
		return err
	}
	for _, n := range d.cfg.Lab.Nodes {
		// What an earlier life left outside the disk goes with that life.
		if err := d.sweep(ctx, n.Name); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	half := d.restored() + halfSuffix
	from := func(node string) disk { return disk{d.snapshots(name, node)} }
	if err := d.copyDisks(ctx, o, "restoring its disk", s.Nodes, from, half, placeMode); err != nil {
		return err
	}
	if err := os.Rename(half, d.restored()); err != nil {
		return err
	}
	if err := syncDir(d.storage()); err != nil {
		return err
	}
	return d.settleDisks() // a matter of renames: too late to be cut short
}

// DeleteSnapshot removes a snapshot; from the first step on it is not listed.
func (d *Driver) DeleteSnapshot(ctx context.Context, _ machine.Observer, name string) error {
	if err := d.beforeSnapshot(ctx, name); err != nil {
		return err
	}
	if _, err := d.snapshot(name); err != nil {
		return err
	}
	if err := os.Remove(d.snapshots(name + recordSuffix)); err != nil {
		return err
	}
	if err := removeDisk(d.snapshots(name)); err != nil {
		return err
	}
	_ = os.Remove(d.snapshots()) // the last one takes the folder with it
	return nil
}

// Snapshots lists the snapshots, the oldest first.
func (d *Driver) Snapshots(context.Context) ([]machine.Snapshot, error) {
	if err := d.trust(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.snapshots())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out := []machine.Snapshot{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok {
			continue
		}
		s, err := d.snapshot(name)
		if errors.Is(err, machine.ErrNoSnapshot) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b machine.Snapshot) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// snapshot reads the record of one.
func (d *Driver) snapshot(name string) (machine.Snapshot, error) {
	var s machine.Snapshot
	data, err := os.ReadFile(d.snapshots(name + recordSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%s: %w", name, machine.ErrNoSnapshot)
	}
	if err != nil {
		return s, err
	}
	if s, err = parseSnapshot(data, name); err != nil {
		return s, fmt.Errorf("%s: %w", d.snapshots(name+recordSuffix), err)
	}
	return s, nil
}

// parseSnapshot reads the record of the snapshot of this name.
func parseSnapshot(data []byte, name string) (machine.Snapshot, error) {
	var s machine.Snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return machine.Snapshot{}, err
	}
	if s.Name != name {
		return machine.Snapshot{}, fmt.Errorf("it is the record of snapshot %q", s.Name)
	}
	return s, nil
}

// writeSnapshot makes a snapshot one, in one step, once its files are on the
// disk for good.
func (d *Driver) writeSnapshot(s machine.Snapshot) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	final := d.snapshots(s.Name + recordSuffix)
	half := final + halfSuffix
	if err := os.WriteFile(half, append(data, '\n'), 0o644); err != nil {
		return err
	}
	if err := syncAll(d.snapshots()); err != nil {
		return err
	}
	if err := os.Rename(half, final); err != nil {
		return err
	}
	return syncDir(d.snapshots())
}

// beforeSnapshot is what all that changes snapshots begins with.
func (d *Driver) beforeSnapshot(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.needRoot(); err != nil {
		return err
	}
	if err := machine.CheckSnapshotName(name); err != nil {
		return err
	}
	if err := d.follow(); err != nil {
		return err
	}
	unix.Umask(0o022) // modes are meant as they are written
	return d.settleDisks()
}

// wantHalted refuses to go on when a node has another status than these.
func (d *Driver) wantHalted(ctx context.Context, what string, statuses ...machine.Status) error {
	have, err := d.Status(ctx)
	if err != nil {
		return err
	}
	for _, n := range d.cfg.Lab.Nodes {
		if status := have[n.Name]; !slices.Contains(statuses, status) {
			return &trouble.Error{
				ID: "snapshot-not-halted", Where: n.Name, What: what, Why: "this node is " + string(status) + ", not halted",
				Next: []string{"dcalab status"}, Exit: trouble.ExitRefused,
			}
		}
	}
	return nil
}

// settleDisks brings a restore that was decided to its end, and removes what
// a save, a restore or a deletion that was cut short left behind.
func (d *Driver) settleDisks() error {
	if err := removeDisk(d.restored() + halfSuffix); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.restored())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), oldSuffix) {
			continue
		}
		if err := d.moveIn(e.Name()); err != nil {
			return fmt.Errorf("restore %s: %w", e.Name(), err)
		}
	}
	if err == nil {
		if err := errors.Join(syncDir(d.storage()), removeDisk(d.restored())); err != nil {
			return err
		}
	}
	return d.dropHalves()
}

// moveIn gives a node its restored disk. It may be cut short anywhere, and be
// done again.
func (d *Driver) moveIn(node string) error {
	whole := disk{d.restored(node)}
	if key := hostKeyOn(whole); key != nil {
		if err := d.cfg.PinHostKey(d.cfg.Lab.Hostname(lab.Node{Name: node}), key); err != nil {
			return err
		}
	}
	final := d.disk(node)
	if _, err := os.Lstat(final.dir); err == nil {
		old := whole.dir + oldSuffix
		if err := removeDisk(old); err != nil {
			return err
		}
		if err := os.Rename(final.dir, old); err != nil {
			return err
		}
	}
	return os.Rename(whole.dir, final.dir)
}

// dropHalves removes what is below .snapshots and belongs to none.
func (d *Driver) dropHalves() error {
	entries, err := os.ReadDir(d.snapshots())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if _, err := os.Lstat(d.snapshots(name + recordSuffix)); err == nil || strings.HasSuffix(name, recordSuffix) {
			continue
		}
		if err := removeDisk(d.snapshots(name)); err != nil {
			return err
		}
	}
	return nil
}

// hostKeyOn gives the host key that a node with this disk shows, or nil where
// somebody in the node made something else of the file.
func hostKeyOn(dk disk) ssh.PublicKey {
	const path = "etc/ssh/ssh_host_ed25519_key.pub"
	t, err := plant(dk)
	if err != nil {
		return nil
	}
	defer t.root.Close()
	if fi, err := t.root.Lstat(path); err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	line, err := t.root.ReadFile(path)
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil
	}
	return key
}

// copyDisks copies the disks of nodes, each to a folder of its name below to,
// which is made anew, and sees to it that they are on the disk for good. What
// it leaves when it is cut short, settleDisks removes.
func (d *Driver) copyDisks(ctx context.Context, o machine.Observer, what string, nodes []string, from func(node string) disk, to string, mode os.FileMode) error {
	if err := removeDisk(to); err != nil {
		return err
	}
	if err := os.Mkdir(to, mode); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, node := range nodes {
		g.Go(func() error {
			step(o, node, what)
			if err := copyDisk(gctx, from(node), disk{filepath.Join(to, node)}); err != nil {
				return fmt.Errorf("%s: %w", node, err)
			}
			return nil
		})
	}
	err := g.Wait()
	if err == nil {
		err = syncAll(to)
	}
	if err != nil && ctx.Err() == nil {
		err = errors.Join(err, removeDisk(to)) // it may be a full disk
	}
	return err
}

// copyDisk makes a copy of a disk on which nothing runs. The overlay's work
// folder holds nothing of it and is made new.
//
// cp is GNU's: it keeps what an overlay lives on (whiteouts, trusted
// attributes) and what engines do (hard links, holes, owners, times), and
// fails where it cannot (that is what naming xattr beside -a is for). On a
// file system that can, files share their blocks.
func copyDisk(ctx context.Context, from, to disk) error {
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{{to.dir, diskMode}, {to.work(), 0o700}} {
		if err := os.Mkdir(dir.path, dir.mode); err != nil {
			return err
		}
	}
	// Pdeathsig is bound to the thread: a cp whose dcalab is killed must not
	// write on behind the back of the next one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "cp", "-a", "-x", "--preserve=xattr", "--reflink=auto", "--sparse=auto", "--",
		from.upper(), from.docker(), to.dir)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		last := strings.TrimSpace(string(out))
		return fmt.Errorf("copy its disk: %w: %s", err, last[strings.LastIndex(last, "\n")+1:])
	}
	return nil
}

// RoomToSave tells whether copies of all disks have room beside them. They may
// be at work meanwhile: it is about as much then.
func (d *Driver) RoomToSave(ctx context.Context) error {
	var dirs []string
	for _, n := range d.cfg.Lab.Nodes {
		if dk := d.disk(n.Name); dk.exists() {
			dirs = append(dirs, dk.upper(), dk.docker())
		}
	}
	return d.room(ctx, "save a snapshot", dirs)
}

// RoomToRestore tells whether a snapshot's disks have room beside those that
// they replace: until all are copied, these stay.
func (d *Driver) RoomToRestore(ctx context.Context, name string) error {
	return d.room(ctx, "restore snapshot "+name, []string{d.snapshots(name)})
}

// spare is what a copy may never take from its file system.
const spare = 64 << 20

func (d *Driver) room(ctx context.Context, what string, dirs []string) error {
	if err := d.trust(); err != nil {
		return err
	}
	if clones(d.storage()) {
		return nil // copies share their blocks
	}
	var need usage
	for _, dir := range dirs {
		if err := need.add(ctx, dir); err != nil {
			return err
		}
	}
	var at unix.Statfs_t
	if err := unix.Statfs(d.storage(), &at); err != nil {
		return err
	}
	free := int64(at.Bavail) * at.Bsize
	var why string
	switch {
	case need.bytes+spare > free:
		why = fmt.Sprintf("it takes %s, and %s of %s are free", size(need.bytes), size(free), d.storage())
	case at.Files > 0 && need.files > int64(at.Ffree):
		why = fmt.Sprintf("it takes %d files, and %s has room for %d", need.files, d.storage(), at.Ffree)
	default:
		return nil
	}
	return &trouble.Error{
		ID: "snapshot-no-room", What: what, Why: why,
		Next: []string{"delete a snapshot that is no longer needed: dcalab snapshot list", "or make room there"},
		Exit: trouble.ExitRequirement,
	}
}

func size(bytes int64) string {
	if bytes >= 10<<30 {
		return fmt.Sprintf("%d GiB", bytes>>30)
	}
	return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20)
}

// usage is what files take on the disk; several links to one count once.
type usage struct {
	bytes, files int64
	seen         map[uint64]bool
}

func (u *usage) add(ctx context.Context, dir string) error {
	if u.seen == nil {
		u.seen = map[uint64]bool{}
	}
	return filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		var fi fs.FileInfo
		if err == nil {
			fi, err = e.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a node that runs has removed it
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok || st.Nlink > 1 && !fi.IsDir() && u.seen[st.Ino] {
			return nil
		}
		u.seen[st.Ino] = u.seen[st.Ino] || st.Nlink > 1
		u.bytes += st.Blocks * 512 // whatever the block size is: stat(2)
		u.files++
		return nil
	})
}

// clones tells whether files on the file system of dir can share blocks.
func clones(dir string) bool {
	open := func() (int, error) { return unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600) }
	from, err := open()
	if err != nil {
		return false
	}
	defer unix.Close(from)
	to, err := open()
	if err != nil {
		return false
	}
	defer unix.Close(to)
	if _, err := unix.Write(from, make([]byte, 1<<16)); err != nil {
		return false
	}
	return unix.IoctlFileClone(to, from) == nil
}

// syncAll writes the whole file system of dir to its disk: cheaper than file
// by file for a tree of thousands.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// syncDir makes renames in a folder last.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// Snapshots lie beside the nodes' disks, below storage:
//
//	.snapshots/NAME/NODE/   a copy of the node's disk; NAME is for root alone,
//	                        since it holds the swarm's keys
//	.snapshots/NAME.json    its record; a folder without one is half a snapshot
//	.restore.new/NODE/      disks that a restore is still copying
//	.restore/NODE/          complete disks that the nodes are about to get
//
// One rename decides a restore, that of .restore.new to .restore: before it
// every node has the disk that it had, and after it the snapshot's, whatever
// happens, since whatever uses the disks next settles them first.
type snapshots struct {
	lab           *lab.Lab
	place         place
	disks         storage
	nodes         containers
	maker         maker
	pinHostKey    func(host string, key ssh.PublicKey) error
	authorizedKey func() (ssh.PublicKey, error)
}

const (
	oldSuffix    = ".old"
	recordSuffix = ".json"
)

// snapshotPath is the folder of the snapshots, or a path in it.
func (s snapshots) snapshotPath(elem ...string) string {
	return s.disks.path(append([]string{".snapshots"}, elem...)...)
}

// SaveSnapshot copies the disks of all nodes, which must be halted.
func (s snapshots) SaveSnapshot(ctx context.Context, o machine.Observer, name string) error {
	if err := s.begin(ctx, name); err != nil {
		return err
	}
	if _, err := s.read(name); !errors.Is(err, machine.ErrNoSnapshot) {
		if err == nil {
			err = fmt.Errorf("%s: %w", name, machine.ErrSnapshotExists)
		}
		return err
	}
	if err := s.requireHalted("save a snapshot", machine.StatusHalted); err != nil {
		return err
	}
	if err := s.RoomToSave(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(s.snapshotPath(), 0o755); err != nil {
		return err
	}
	nodes := s.lab.NodeNames()
	if err := copyDisks(ctx, o, "saving its disk", nodes, nil, s.disks.path(), s.snapshotPath(name), 0o700); err != nil {
		return err
	}
	return writeRecord(s.snapshotPath(name+recordSuffix), machine.Snapshot{Name: name, Time: time.Now().UTC().Truncate(time.Millisecond), Nodes: nodes})
}

// RestoreSnapshot gives all nodes, none of which may run, the disks of a
// snapshot. A node that was destroyed since is back with it.
func (s snapshots) RestoreSnapshot(ctx context.Context, o machine.Observer, name string) error {
	if err := s.begin(ctx, name); err != nil {
		return err
	}
	snapshot, err := s.read(name)
	if err != nil {
		return err
	}
	if err := snapshot.Fits(s.lab); err != nil {
		return err
	}
	if err := s.requireHalted("restore a snapshot", machine.StatusHalted, machine.StatusAbsent); err != nil {
		return err
	}
	if err := s.RoomToRestore(ctx, name); err != nil {
		return err
	}
	for _, n := range s.lab.Nodes {
		// What the node's last run left outside its disk does not belong to the new disk.
		if err := s.nodes.sweep(ctx, n.Name); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	half := s.disks.restored() + halfSuffix
	if err := copyDisks(ctx, o, "restoring its disk", snapshot.Nodes, s.sizes(), s.snapshotPath(name), half, placeMode); err != nil {
		return err
	}
	if err := os.Rename(half, s.disks.restored()); err != nil {
		return err
	}
	if err := syncDir(s.disks.path()); err != nil {
		return err
	}
	return s.settle() // only renames: not worth interrupting
}

// DeleteSnapshot removes a snapshot; from the first step on it is not listed.
func (s snapshots) DeleteSnapshot(ctx context.Context, _ machine.Observer, name string) error {
	if err := s.begin(ctx, name); err != nil {
		return err
	}
	if _, err := s.read(name); err != nil {
		return err
	}
	if err := os.Remove(s.snapshotPath(name + recordSuffix)); err != nil {
		return err
	}
	if err := removeTree(s.snapshotPath(name)); err != nil {
		return err
	}
	_ = os.Remove(s.snapshotPath()) // fails while there is another snapshot
	return nil
}

// Snapshots lists the snapshots, the oldest first.
func (s snapshots) Snapshots(context.Context) ([]machine.Snapshot, error) {
	if err := s.place.verify(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.snapshotPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out := []machine.Snapshot{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok {
			continue
		}
		snapshot, err := s.read(name)
		if errors.Is(err, machine.ErrNoSnapshot) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, snapshot)
	}
	slices.SortFunc(out, func(a, b machine.Snapshot) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// read reads the record of a snapshot.
func (s snapshots) read(name string) (machine.Snapshot, error) {
	path := s.snapshotPath(name + recordSuffix)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return machine.Snapshot{}, fmt.Errorf("%s: %w", name, machine.ErrNoSnapshot)
	}
	if err != nil {
		return machine.Snapshot{}, err
	}
	snapshot, err := parseSnapshot(data, name)
	if err != nil {
		return machine.Snapshot{}, fmt.Errorf("%s: %w", path, err)
	}
	return snapshot, nil
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

// begin is the first step of every change to snapshots.
func (s snapshots) begin(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := needRoot(); err != nil {
		return err
	}
	if err := machine.CheckSnapshotName(name); err != nil {
		return err
	}
	if err := s.place.update(); err != nil {
		return err
	}
	unix.Umask(0o022) // files get the modes that the code names
	return s.settle()
}

// requireHalted refuses to go on when a node has another status than these.
func (s snapshots) requireHalted(what string, statuses ...machine.Status) error {
	alive, err := running(s.place.mine.ID)
	if err != nil {
		return err
	}
	for _, n := range s.lab.Nodes {
		if status := s.disks.status(n.Name, alive[n.Name]); !slices.Contains(statuses, status) {
			return &trouble.Error{
				ID: "snapshot-not-halted", Where: n.Name, What: what, Why: "this node is " + string(status) + ", not halted",
				Next: []string{"dcalab status"}, Exit: trouble.ExitRefused,
			}
		}
	}
	return nil
}

// settle finishes a restore that was decided, and removes what an interrupted
// save, restore or deletion has left behind.
func (s snapshots) settle() error {
	restored := s.disks.restored()
	if err := removeTree(restored + halfSuffix); err != nil {
		return err
	}
	entries, err := os.ReadDir(restored)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), oldSuffix) {
			continue
		}
		if err := s.moveIn(e.Name()); err != nil {
			return fmt.Errorf("restore %s: %w", e.Name(), err)
		}
	}
	if err == nil {
		if err := errors.Join(syncDir(s.disks.path()), removeTree(restored)); err != nil {
			return err
		}
	}
	return s.removeHalves()
}

// moveIn gives a node its restored disk. It may be interrupted anywhere, and
// repeated.
func (s snapshots) moveIn(node string) error {
	whole := disk{s.disks.restored(node)}
	if key := hostKeyOn(whole); key != nil {
		if err := s.pinHostKey(s.lab.Hostname(lab.Node{Name: node}), key); err != nil {
			return err
		}
	}
	final := s.disks.disk(node)
	if _, err := os.Lstat(final.dir); err == nil {
		old := whole.dir + oldSuffix
		if err := removeTree(old); err != nil {
			return err
		}
		if err := os.Rename(final.dir, old); err != nil {
			return err
		}
	}
	return os.Rename(whole.dir, final.dir)
}

// removeHalves removes what is in .snapshots and belongs to no snapshot.
func (s snapshots) removeHalves() error {
	entries, err := os.ReadDir(s.snapshotPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if _, err := os.Lstat(s.snapshotPath(name + recordSuffix)); err == nil || strings.HasSuffix(name, recordSuffix) {
			continue
		}
		if err := removeTree(s.snapshotPath(name)); err != nil {
			return err
		}
	}
	return nil
}

// hostKeyOn gives the host key of a node with this disk, or nil where somebody in
// the node has put something else in its place.
func hostKeyOn(dk disk) ssh.PublicKey {
	const path = "etc/ssh/ssh_host_ed25519_key.pub"
	t, err := openTree(dk)
	if err != nil {
		return nil
	}
	defer t.root.Close()
	line, _, err := plainText(t.root, path)
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil
	}
	return key
}

// RoomToSave tells whether there is room for copies of all disks. Nodes may be
// running meanwhile, so that it is an estimate.
func (s snapshots) RoomToSave(ctx context.Context) error {
	var dirs []string
	sized := false
	for _, n := range s.lab.Nodes {
		if dk := s.disks.disk(n.Name); dk.exists() {
			dirs = append(dirs, dk.upper(), dk.docker())
			if dk.hasImage() {
				dirs, sized = append(dirs, dk.image()), true
			}
		}
	}
	return s.room(ctx, "save a snapshot", sized, dirs)
}

// RoomToRestore tells whether there is room for a snapshot's disks beside those
// that they replace, which are kept until all are copied.
func (s snapshots) RoomToRestore(ctx context.Context, name string) error {
	what := "restore snapshot " + name
	sizes := s.sizes()
	for node, mib := range sizes {
		var need usage
		err := need.add(ctx, disk{s.snapshotPath(name, node)}.docker())
		if err != nil {
			return err
		}
		if need.bytes+imageSpare > int64(mib)<<20 {
			return &trouble.Error{
				ID: "snapshot-no-room", Where: node, What: what, Exit: trouble.ExitRequirement,
				Why:  fmt.Sprintf("its engine has %s, and labs.yaml gives it a disk of %s", size(need.bytes), size(int64(mib)<<20)),
				Next: []string{"give it a larger disk in labs.yaml, or none"},
			}
		}
	}
	return s.room(ctx, what, len(sizes) > 0, []string{s.snapshotPath(name)})
}

// imageSpare is what a file system takes for itself, its journal first, in bytes.
const imageSpare = 48 << 20

// sizes are those of the disks that labs.yaml gives nodes, in MiB.
func (s snapshots) sizes() map[string]int {
	out := map[string]int{}
	for _, n := range s.lab.Nodes {
		if n.Disk > 0 {
			out[n.Name] = n.Disk
		}
	}
	return out
}

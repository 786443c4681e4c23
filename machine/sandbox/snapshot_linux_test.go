package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/machinetest"
	"github.com/dcalab/dcalab/trouble"
)

func TestSnapshotContract(t *testing.T) {
	f := newFixture(t, "master", "node01", "node02")
	machinetest.RunSnapshots(t, machinetest.Setup{
		Lab: f.Lab, Boot: time.Minute, Prompt: 10 * time.Second,
		New:     func(*testing.T) machine.Driver { return f.driver() },
		HostKey: f.hostKey,
	})
}

// disks makes a lab that has disks and no machines: a word on each, and a
// host key.
func disks(t *testing.T, nodes ...string) *fixture {
	t.Helper()
	f := newFixture(t, nodes...)
	f.makeDisks(t)
	return f
}

func (f *fixture) makeDisks(t *testing.T) {
	t.Helper()
	d := f.driver()
	if err := d.shared.prepare(); err != nil {
		t.Fatal(err)
	}
	for _, n := range f.Lab.Nodes {
		if err := d.maker.create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	f.word(t, "first")
}

func (f *fixture) word(t *testing.T, word string) {
	t.Helper()
	for _, n := range f.Lab.NodeNames() {
		if err := os.WriteFile(f.driver().disks.disk(n).upper()+"/etc/word", []byte(word), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// words gives what the nodes' disks tell of, each once.
func (f *fixture) words() []string {
	var out []string
	for _, n := range f.Lab.NodeNames() {
		out = append(out, readText(f.driver().disks.disk(n).upper()+"/etc/word"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (f *fixture) save1(t *testing.T, name string) {
	t.Helper()
	if err := f.driver().SaveSnapshot(t.Context(), machine.Observer{}, name); err != nil {
		t.Fatalf("save: %v", err)
	}
}

func (f *fixture) hostKeys(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, n := range f.Lab.Nodes {
		key, ok := f.hostKey(f.Lab.Hostname(n))
		if !ok {
			t.Fatalf("no host key of %s", n.Name)
		}
		b.Write(ssh.MarshalAuthorizedKey(key))
	}
	return b.String()
}

// inventory tells all of a tree that an overlay or an engine may care for.
func inventory(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	first := map[uint64]string{} // by inode
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		fmt.Fprintf(&b, "%q mode %o owner %d:%d device %d mtime %d.%09d", rel, st.Mode, st.Uid, st.Gid, st.Rdev, st.Mtim.Sec, st.Mtim.Nsec)
		if _, ok := first[st.Ino]; !ok {
			first[st.Ino] = rel
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " links %d with %q size %d holes %v sum %x", st.Nlink, first[st.Ino], st.Size, st.Blocks*512 < st.Size, sha256.Sum256(data))
		case unix.S_IFLNK:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " to %q", to)
		}
		names := make([]byte, 1<<12)
		n, err := unix.Llistxattr(path, names)
		if err != nil {
			return err
		}
		var attrs []string
		for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
			value := make([]byte, 1<<12)
			if n, err := unix.Lgetxattr(path, name, value); name != "" && err == nil {
				attrs = append(attrs, fmt.Sprintf("%s=%x", name, value[:n]))
			}
		}
		slices.Sort(attrs)
		fmt.Fprintf(&b, " %v\n", attrs)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// manifoldDisk makes a disk with all that an overlay and an engine's storage are
// made of.
func manifoldDisk(t *testing.T) disk {
	t.Helper()
	from := disk{t.TempDir() + "/from"}
	script := `set -eu
mkdir -p "$1/upper/etc" "$1/work/work" "$1/docker/overlay2/l" "$1/docker/overlay2/abc/diff/run"
cd "$1"
chmod 710 docker; chmod 1777 upper/etc
mknod upper/gone c 0 0
mknod docker/overlay2/abc/diff/gone c 0 0
ln -s ../abc/diff docker/overlay2/l/SHORT
ln -s /etc/shadow upper/absolute
echo data >upper/one; ln upper/one upper/two; ln upper/one upper/etc/three
echo suid >upper/su; chown 1:2 upper/su; chmod 6755 upper/su
echo ping >upper/ping
truncate -s 64M docker/hole; printf x | dd of=docker/hole bs=1 seek=33554432 conv=notrunc status=none
mkfifo upper/pipe
touch -d '2001-02-03 04:05:06.789' upper/one
printf 'a\nb' >"upper/odd
name"
touch -- "upper/-rf"
touch -d '1999-01-01' upper/etc
echo log >init.log`
	if out, err := exec.Command("sh", "-c", script, "sh", from.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, attr := range [][3]string{
		{"upper/etc", "trusted.overlay.opaque", "y"},
		{"upper/etc", "trusted.overlay.origin", "\x00\xfb\x21\x00\x01"},
		{"docker/overlay2/abc/diff/run", "trusted.overlay.opaque", "y"},
		{"docker/overlay2/abc", "user.note", "hello"},
		// vfs_cap_data, version 2 (linux/capability.h): cap_net_raw, effective
		{"upper/ping", "security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
	} {
		if err := unix.Setxattr(filepath.Join(from.dir, attr[0]), attr[1], []byte(attr[2]), 0); err != nil {
			t.Fatalf("%s of %s: %v", attr[1], attr[0], err)
		}
	}
	return from
}

// A copy keeps all that an overlay and an engine's storage are made of.
func TestACopyOfADiskIsTheSame(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	from, to := manifoldDisk(t), disk{t.TempDir() + "/to"}
	if err := copyDisk(t.Context(), from, to, 0); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"upper", "docker"} {
		want, got := inventory(t, filepath.Join(from.dir, part)), inventory(t, filepath.Join(to.dir, part))
		if want != got {
			t.Errorf("%s was\n%s\nand is\n%s", part, want, got)
		}
	}
	all := inventory(t, from.dir)
	for _, want := range []string{"trusted.overlay.opaque=79", "security.capability=", "holes true", `links 3 with "upper/etc/three"`} {
		if !strings.Contains(all, want) {
			t.Errorf("this test looks at too little: no %s in\n%s", want, all)
		}
	}
	if left, err := os.ReadDir(to.work()); err != nil || len(left) > 0 {
		t.Errorf("the work folder holds %v (%v)", left, err)
	}
	// And an overlay takes it.
	root := t.TempDir()
	if err := inMountNamespace(func() error { return mountOverlay(root, "/usr", to.upper(), to.work()) }); err != nil {
		t.Errorf("mount it: %v", err)
	}
	if err := copyDisk(t.Context(), disk{from.dir + "/nothing"}, disk{t.TempDir() + "/x"}, 0); err == nil {
		t.Error("a copy of nothing succeeded")
	}
}

func TestASnapshotIsForRootAlone(t *testing.T) {
	f := disks(t, "master")
	f.save1(t, "one")
	for path, want := range map[string]os.FileMode{
		"one": 0o700, "one.json": 0o644, "": 0o755, "one/master": 0o700, "one/master/docker": 0o710,
	} {
		fi, err := os.Stat(f.driver().snapshotPath(path))
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%q has mode %v (%v), want %v", path, fi.Mode().Perm(), err, want)
		}
	}
}

// Wherever a restore is cut short, the lab is the old one or the new one, in
// the eyes of status, and after the next command on the disk.
func TestARestoreIsAllOrNothing(t *testing.T) {
	nodes := []string{"m", "w1", "w2"}
	// stages are the states that a kill can leave, in order.
	type stage struct {
		name string
		make func(t *testing.T, d *Driver)
		want string
	}
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	copied := func(t *testing.T, d *Driver, to string) {
		t.Helper()
		if err := copyDisks(t.Context(), machine.Observer{}, "", nodes, nil, d.snapshotPath("one"), to, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	stages := []stage{
		{"one disk is copied", func(t *testing.T, d *Driver) {
			t.Helper()
			copied(t, d, d.disks.restored()+halfSuffix)
			if err := os.RemoveAll(d.disks.restored() + halfSuffix + "/w1"); err != nil {
				t.Fatal(err)
			}
		}, "second"},
		{"all are copied, and it is not decided", func(t *testing.T, d *Driver) {
			t.Helper()
			copied(t, d, d.disks.restored()+halfSuffix)
		}, "second"},
		{"it is decided", func(t *testing.T, d *Driver) {
			t.Helper()
			copied(t, d, d.disks.restored())
		}, "first"},
		{"one node's old disk is away", func(t *testing.T, d *Driver) {
			t.Helper()
			copied(t, d, d.disks.restored())
			rename(t, d.disks.disk("m").dir, d.disks.restored("m"+oldSuffix))
		}, "first"},
		{"one node has its disk", func(t *testing.T, d *Driver) {
			t.Helper()
			copied(t, d, d.disks.restored())
			rename(t, d.disks.disk("m").dir, d.disks.restored("m"+oldSuffix))
			rename(t, d.disks.restored("m"), d.disks.disk("m").dir)
		}, "first"},
		{"all nodes have theirs", func(t *testing.T, d *Driver) {
			t.Helper()
			copied(t, d, d.disks.restored())
			for _, n := range nodes {
				rename(t, d.disks.disk(n).dir, d.disks.restored(n+oldSuffix))
				rename(t, d.disks.restored(n), d.disks.disk(n).dir)
			}
		}, "first"},
	}
	type command struct {
		name string
		run  func(context.Context, *Driver) error
	}
	commands := []command{
		{"restore of another", func(ctx context.Context, d *Driver) error {
			return d.RestoreSnapshot(ctx, machine.Observer{}, "two")
		}},
		{"save", func(ctx context.Context, d *Driver) error { return d.SaveSnapshot(ctx, machine.Observer{}, "three") }},
		{"delete", func(ctx context.Context, d *Driver) error { return d.DeleteSnapshot(ctx, machine.Observer{}, "two") }},
		{"destroy", func(ctx context.Context, d *Driver) error { return d.Destroy(ctx, machine.Observer{}, "w2") }},
		{"start", func(ctx context.Context, d *Driver) error {
			// Booting is the contract's to test: it is cut short.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			err := d.Start(ctx, machine.Observer{Step: func(string, string) { cancel() }})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}},
	}
	for i, s := range stages {
		then := commands
		if testing.Short() { // each stage with two of them, and each of them at two stages at least
			then = []command{commands[i%len(commands)], commands[(i+2)%len(commands)]}
		}
		for _, command := range then {
			t.Run(s.name+", then "+command.name, func(t *testing.T) {
				f := disks(t, nodes...)
				d := f.driver()
				f.save1(t, "one")
				keys := f.hostKeys(t)
				f.word(t, "second")
				f.save1(t, "two")
				s.make(t, d)
				status, err := d.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range nodes {
					if status[n] != machine.StatusHalted {
						t.Errorf("%s is %s", n, status[n])
					}
				}
				if err := command.run(t.Context(), d); err != nil {
					t.Fatal(err)
				}
				want := []string{s.want}
				switch command.name {
				case "restore of another":
					want = []string{"second"}
				case "destroy":
					want = []string{"", s.want}
				}
				if got := f.words(); !slices.Equal(got, want) {
					t.Errorf("the disks tell of %q, want %q", got, want)
				}
				for _, left := range []string{d.disks.restored(), d.disks.restored() + halfSuffix} {
					if _, err := os.Lstat(left); err == nil {
						t.Errorf("left is %s", left)
					}
				}
				if command.name != "destroy" && f.hostKeys(t) != keys {
					t.Error("the host keys changed")
				}
			})
		}
	}
}

// A node that was destroyed and made anew has another host key; with its old
// disk it has its old key again, and that is the one that is pinned.
func TestARestoreBringsBackDestroyedNodes(t *testing.T) {
	f := disks(t, "master", "node01")
	d := f.driver()
	f.save1(t, "one")
	keys := f.hostKeys(t)
	for _, node := range []string{"node01", "master"} {
		if err := d.Destroy(t.Context(), machine.Observer{}, node); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := d.Snapshots(t.Context()); err != nil || len(list) != 1 {
		t.Fatalf("after the nodes were destroyed one by one, there are %v (%v)", list, err)
	}
	n, _ := f.Lab.Node("master")
	if err := d.maker.create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := d.RestoreSnapshot(t.Context(), machine.Observer{}, "one"); err != nil {
		t.Fatal(err)
	}
	if f.hostKeys(t) != keys {
		t.Error("the host keys are not those of the snapshot")
	}
	if got := f.words(); !slices.Equal(got, []string{"first"}) {
		t.Errorf("the disks tell of %q", got)
	}
	f.destroy(t)
	f.wantNothing(t)
	if list, err := d.Snapshots(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("after a destroy of all, there are %v (%v)", list, err)
	}
}

func TestASnapshotOfOtherNodesIsRefused(t *testing.T) {
	f := disks(t, "master", "node01")
	f.save1(t, "one")
	f.word(t, "second")
	f.Lab.Nodes = append(f.Lab.Nodes[:1], lab.Node{Name: "worker", IP: f.Lab.Nodes[1].IP, CPUs: 1, Memory: 1024})
	err := f.driver().RestoreSnapshot(t.Context(), machine.Observer{}, "one")
	if err == nil || !strings.Contains(err.Error(), "node01, which labs.yaml has not") || !strings.Contains(err.Error(), "no worker") {
		t.Errorf("it says %v", err)
	}
	if got := readText(f.driver().disks.disk("master").upper() + "/etc/word"); got != "second" {
		t.Errorf("the disk tells of %q", got)
	}
}

// A file in place of the host key that would hold a reader up, or lead it out
// of the disk, does neither.
func TestAHostKeyOnADiskIsReadWithCare(t *testing.T) {
	f := disks(t, "master")
	const path = "/etc/ssh/ssh_host_ed25519_key.pub"
	dk := f.driver().disks.disk("master")
	if hostKeyOn(dk) == nil {
		t.Fatal("no key on a disk that has one")
	}
	for name, plantIt := range map[string]func(string) error{
		"nothing": func(string) error { return nil },
		"a pipe":  func(p string) error { return unix.Mkfifo(p, 0o644) },
		"a link":  func(p string) error { return os.Symlink(f.path("id.pub"), p) },
		"no key":  func(p string) error { return os.WriteFile(p, []byte("ssh-ed25519 nonsense"), 0o644) },
	} {
		if err := os.RemoveAll(dk.upper() + path); err != nil {
			t.Fatal(err)
		}
		if err := plantIt(dk.upper() + path); err != nil {
			t.Fatal(err)
		}
		if key := hostKeyOn(dk); key != nil {
			t.Errorf("%s: key %v", name, key)
		}
	}
}

// What a kill leaves of a save or a deletion is not listed, and goes with the
// next command.
func TestHalvesOfSnapshotsAreSwept(t *testing.T) {
	f := disks(t, "master")
	d := f.driver()
	f.save1(t, "whole")
	f.save1(t, "half")
	if err := os.Rename(d.snapshotPath("half.json"), d.snapshotPath("half.json.new")); err != nil {
		t.Fatal(err)
	}
	list, err := d.Snapshots(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "whole" {
		t.Fatalf("the list is %v (%v)", list, err)
	}
	if err := d.RestoreSnapshot(t.Context(), machine.Observer{}, "half"); !errors.Is(err, machine.ErrNoSnapshot) {
		t.Errorf("restore of half a snapshot: %v", err)
	}
	entries, err := filepath.Glob(d.snapshotPath("*"))
	if err != nil || !slices.Equal(entries, []string{d.snapshotPath("whole"), d.snapshotPath("whole.json")}) {
		t.Errorf("left are %q (%v)", entries, err)
	}
	f.save1(t, "half")
}

// Where disks are in memory, so are snapshots.
func TestSnapshotsInMemory(t *testing.T) {
	f := newFixture(t, "master")
	on := f.path("overlay")
	for _, dir := range []string{"lower", "upper", "work", "overlay"} {
		if err := os.Mkdir(f.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("overlay", on, "overlay", 0, "lowerdir="+f.path("lower")+",upperdir="+f.path("upper")+",workdir="+f.path("work")); err != nil {
		t.Fatal(err)
	}
	f.Nodes = on + "/nodes"
	defer func() {
		f.destroy(t)
		f.Nodes = f.path("nodes")
		if err := unix.Unmount(on, 0); err != nil {
			t.Error(err)
		}
	}()
	f.makeDisks(t)
	if !f.driver().disks.inMemory() {
		t.Fatal("the disks are not in memory")
	}
	f.save1(t, "one")
	f.word(t, "second")
	if err := f.driver().RestoreSnapshot(t.Context(), machine.Observer{}, "one"); err != nil {
		t.Fatal(err)
	}
	if got := f.words(); !slices.Equal(got, []string{"first"}) {
		t.Errorf("the disk tells of %q", got)
	}
}

// Without room nothing is touched, and the numbers are said.
func TestRoomIsCheckedFirst(t *testing.T) {
	f := newFixture(t, "master")
	if err := os.MkdirAll(f.Nodes, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", f.Nodes, "tmpfs", 0, "size=160m,mode=711"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(f.Nodes, unix.MNT_DETACH) }) // where it failed
	f.claim(t)
	d := f.driver()
	if err := d.maker.create(t.Context(), f.Lab.Nodes[0]); err != nil {
		t.Fatal(err)
	}
	big := d.disks.disk("master").docker() + "/image"
	if err := os.WriteFile(big, bytes.Repeat([]byte("x"), 60<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	err := d.SaveSnapshot(t.Context(), machine.Observer{Step: func(string, string) { t.Error("it began") }}, "one")
	if trouble.ExitStatus(err) != trouble.ExitRequirement || !strings.Contains(fmt.Sprint(err), "it takes 61 MiB, and ") {
		t.Errorf("it says %v", err)
	}
	if _, err := os.Lstat(d.snapshotPath()); err == nil {
		t.Error("it left something")
	}
	// Links count once, and holes not at all.
	if err := errors.Join(os.Truncate(big, 45<<20), os.Link(big, big+"2"), os.Truncate(big, 1<<30)); err != nil {
		t.Fatal(err)
	}
	f.save1(t, "one")
	err = d.RestoreSnapshot(t.Context(), machine.Observer{Step: func(string, string) { t.Error("it began") }}, "one")
	if trouble.ExitStatus(err) != trouble.ExitRequirement || !strings.Contains(fmt.Sprint(err), "MiB of ") {
		t.Errorf("it says %v", err)
	}
	// A mount is in the way of the fixture's destroy, which goes by the disks.
	if err := d.Destroy(t.Context(), machine.Observer{}, "master"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(f.Nodes, 0); err != nil {
		t.Fatal(err)
	}
}

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// storage is where the disks of a lab's nodes are: in Config.Dir, unless its
// file system cannot hold the upper folder of an overlay (an overlay itself,
// NFS, some of FUSE); then in a tmpfs of the lab's own, below /run. Which of the
// two it is can be seen in the mounts, and is not recorded.
type storage struct {
	id, dir string
	nodes   int // that labs.yaml has
}

func (s storage) tmpfs() string { return runtimeDir(s.id, ".storage") }

// inMemory tells whether the disks are in the tmpfs.
func (s storage) inMemory() bool { return onOtherDevice(s.tmpfs(), runtimeDir(s.id)) }

func onOtherDevice(path, than string) bool {
	var a, b unix.Stat_t
	return unix.Stat(path, &a) == nil && unix.Stat(than, &b) == nil && a.Dev != b.Dev
}

// path is where the disks are, or a path in there.
func (s storage) path(elem ...string) string {
	base := s.dir
	if s.inMemory() {
		base = s.tmpfs()
	}
	return filepath.Join(append([]string{base}, elem...)...)
}

func (s storage) disk(node string) disk { return disk{s.path(node)} }

// restored is the folder of disks that a restore has decided to give to the
// nodes, or a path in there.
func (s storage) restored(elem ...string) string {
	return s.path(append([]string{".restore"}, elem...)...)
}

// programCopy is the copy of dcalab that is PID 1 of the nodes.
func (s storage) programCopy() string { return s.path(".init") }

// etcCopy is the copy of what nodes see of the host's /etc: a thousand small files and
// links, made anew when the lab's first node boots, and therefore kept in /run, in memory.
func (s storage) etcCopy() string { return runtimeDir(s.id, ".etc") }

// status of a node whose PID 1 is pid, 0 where it does not run.
func (s storage) status(node string, pid int) machine.Status {
	switch {
	case pid != 0:
		return machine.StatusRunning
	case s.disk(node).exists(), disk{s.restored(node)}.exists():
		return machine.StatusHalted
	}
	return machine.StatusAbsent
}

// tmpfsMiB is the size of the tmpfs: 1 GiB a node, at most half of the host's
// memory.
func (s storage) tmpfsMiB() int64 {
	size := int64(s.nodes) << 10
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		size = min(size, int64(info.Totalram)*int64(info.Unit)>>21)
	}
	return size
}

// memoryNote says what it means that the disks are in memory.
func (s storage) memoryNote() string {
	return fmt.Sprintf("the nodes' disks are in memory (%d MiB at most) and do not survive a reboot: %s cannot carry an overlay",
		s.tmpfsMiB(), filepath.Dir(s.dir))
}

// prepare mounts the tmpfs where Config.Dir, which exists, cannot hold disks.
func (s storage) prepare() error {
	if s.inMemory() {
		return nil
	}
	err := s.probe(s.dir)
	if err == nil {
		return nil
	}
	if disks, _ := filepath.Glob(filepath.Join(s.dir, "*", "upper")); len(disks) > 0 || !unsupported(err) {
		return fmt.Errorf("overlay over the host's root: %w", err)
	}
	if err := os.MkdirAll(s.tmpfs(), placeMode); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", s.tmpfs(), "tmpfs", 0, fmt.Sprintf("size=%dm,mode=755", s.tmpfsMiB())); err != nil {
		return fmt.Errorf("disks in memory: %w", err)
	}
	return nil
}

// release removes the tmpfs, and what killed probes have left behind.
func (s storage) release() error {
	if s.inMemory() {
		if err := unix.Unmount(s.tmpfs(), unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", s.tmpfs(), err)
		}
	}
	parent := filepath.Dir(s.dir)
	for _, dir := range []string{s.dir, parent, filepath.Dir(parent), machine.Nearest(s.dir), probeInMemory} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), s.probePrefix()) {
				if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// probeDir tries an overlay in the nearest existing folder to the future disks, or in
// memory where that one cannot hold an overlay; it gives the folder, and how that went.
func (s storage) probeDir() (dir string, err error) {
	dir = machine.Nearest(s.dir)
	if err = s.probe(dir); unsupported(err) {
		dir = probeInMemory
		err = s.probe(dir)
	}
	return dir, err
}

const probeInMemory = "/run"

func (s storage) probePrefix() string { return ".probe-" + s.id + "-" }

// probe mounts, for a moment and visible to nobody, the overlay of a node whose
// disk would be in dir.
func (s storage) probe(dir string) error {
	tmp, err := os.MkdirTemp(dir, s.probePrefix()+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	dk, target := disk{tmp}, filepath.Join(tmp, "root")
	for _, p := range []string{dk.upper(), dk.work(), target} {
		if err := os.Mkdir(p, 0o700); err != nil {
			return err
		}
	}
	if err := unix.Setxattr(dk.upper(), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return fmt.Errorf("%s: its file system keeps no trusted extended attributes: %w", dir, err)
	}
	if err := unix.Removexattr(dk.upper(), "trusted.overlay.opaque"); err != nil {
		return err
	}
	return inMountNamespace(func() error {
		if err := mountOverlay(target, "/usr", dk.upper(), dk.work()); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		return unix.Unmount(target, unix.MNT_DETACH)
	})
}

// unsupported tells a file system that cannot hold an overlay from one that is
// full, read-only or otherwise in trouble at the moment.
func unsupported(err error) bool {
	for _, e := range []unix.Errno{unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// noRoom explains the error of a disk that is full; any other is returned as it is.
func (s storage) noRoom(err error) error {
	var known *trouble.Error
	if errors.Is(err, unix.ENOSPC) && !errors.As(err, &known) {
		err = &trouble.Error{ID: "disk-full", What: "the nodes' disks have no room", Why: err.Error(), Next: []string{s.makeRoom()}, Err: err}
	}
	return err
}

func (s storage) makeRoom() string { return "make room there: df -h " + filepath.Dir(s.dir) }

// removeTree removes a folder of ours and everything in it, but follows no link
// and never enters anything that is mounted there. What root in a node made
// immutable (chattr +i, +a) is made mutable first.
func removeTree(dir string) error {
	mounted, err := lab.MountsBelow(dir)
	if err != nil {
		return err
	}
	if len(mounted) > 0 {
		return fmt.Errorf("%s is still mounted at %s", mounted[0], dir)
	}
	err = os.RemoveAll(dir)
	if errors.Is(err, unix.EPERM) {
		if err = makeMutable(dir); err == nil {
			err = os.RemoveAll(dir)
		}
	}
	return err
}

// makeMutable takes FS_IMMUTABLE_FL and FS_APPEND_FL (linux/fs.h), which keep
// root from removing a file, from everything below dir; only folders and plain
// files can have them.
func makeMutable(dir string) error {
	const protected = 0x10 | 0x20
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() && !e.Type().IsRegular() {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if err != nil || flags&protected == 0 {
			return nil // also on a file system without such attributes
		}
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^protected)); err != nil {
			return fmt.Errorf("make %s mutable: %w", path, err)
		}
		return nil
	})
}

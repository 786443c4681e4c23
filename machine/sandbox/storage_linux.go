package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Nodes' disks are in Config.Dir, unless its file system cannot carry the
// upper folder of an overlay (an overlay itself, NFS, some of FUSE): then
// they are in a tmpfs of the lab's own, below /run. Which of the two it is
// can be read off the mounts, and is not recorded.

func (d *Driver) tmpfs() string { return d.runtime(".storage") }

// onTmpfs tells whether the disks are in memory.
func (d *Driver) onTmpfs() bool { return separateFrom(d.tmpfs(), d.runtime()) }

// storage is where the disks are.
func (d *Driver) storage() string {
	if d.onTmpfs() {
		return d.tmpfs()
	}
	return d.cfg.Dir
}

// tmpfsMiB is the size of the disks in memory: 1 GiB a node, at most half of
// the host's memory.
func (d *Driver) tmpfsMiB() int64 {
	size := int64(len(d.cfg.Lab.Nodes)) << 10
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		size = min(size, int64(info.Totalram)*int64(info.Unit)>>21)
	}
	return size
}

// prepareStorage finds the place of the disks, which claim has made, or makes
// one in memory if it must be.
func (d *Driver) prepareStorage() error {
	if d.onTmpfs() {
		return nil
	}
	err := d.probeOverlay(d.cfg.Dir)
	if err == nil {
		return nil
	}
	if disks, _ := filepath.Glob(filepath.Join(d.cfg.Dir, "*", "upper")); len(disks) > 0 || !unsupported(err) {
		return fmt.Errorf("overlay over the host's root: %w", err)
	}
	if err := os.MkdirAll(d.tmpfs(), placeMode); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", d.tmpfs(), "tmpfs", 0, fmt.Sprintf("size=%dm,mode=755", d.tmpfsMiB())); err != nil {
		return fmt.Errorf("disks in memory: %w", err)
	}
	return nil
}

// unsupported tells a file system that cannot carry an overlay from one that
// is full, read-only or otherwise in trouble at the moment.
func unsupported(err error) bool {
	for _, e := range []unix.Errno{unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// releaseStorage removes the disks that are in memory.
func (d *Driver) releaseStorage() error {
	if !d.onTmpfs() {
		return nil
	}
	if err := unix.Unmount(d.tmpfs(), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", d.tmpfs(), err)
	}
	return nil
}

// probeDir is where Preflight tries an overlay: the nearest folder to the
// disks-to-be that exists, or memory where that one cannot carry it.
func (d *Driver) probeDir() string {
	dir := d.nearestDir()
	if err := d.probeOverlay(dir); err == nil || !unsupported(err) {
		return dir
	}
	return probeInMemory
}

const probeInMemory = "/run"

// nearestDir is Config.Dir, or the nearest folder above it that exists.
func (d *Driver) nearestDir() string {
	dir := d.cfg.Dir
	for {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// dropProbes removes what a probe leaves behind when it is killed.
func (d *Driver) dropProbes() error {
	ground := filepath.Dir(d.cfg.Dir)
	for _, dir := range []string{d.cfg.Dir, ground, filepath.Dir(ground), d.nearestDir(), probeInMemory} {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), d.probePrefix()) {
				if err := removeDisk(filepath.Join(dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *Driver) probePrefix() string { return ".probe-" + d.cfg.ID + "-" }

func separateFrom(path, parent string) bool {
	var a, b unix.Stat_t
	return unix.Stat(path, &a) == nil && unix.Stat(parent, &b) == nil && a.Dev != b.Dev
}

// removeDisk removes a folder of ours and all below it, but never reaches
// into anything mounted there, and follows no link. What root in a node made
// immutable (chattr +i, +a) is made mutable first.
func removeDisk(dir string) error {
	mounted, err := mountsBelow(dir)
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

// The attributes that keep root from removing a file, FS_IMMUTABLE_FL and
// FS_APPEND_FL of linux/fs.h.
const stuck = 0x10 | 0x20

// makeMutable takes such attributes from all below dir; folders and plain
// files alone can have them.
func makeMutable(dir string) error {
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
		if err != nil || flags&stuck == 0 {
			return nil // also on a file system without such attributes
		}
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^stuck)); err != nil {
			return fmt.Errorf("make %s mutable: %w", path, err)
		}
		return nil
	})
}

// mountsBelow lists the mount points at and below dir that this process sees.
func mountsBelow(dir string) ([]string, error) {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved // as the kernel names it
	}
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range mounts(string(info)) {
		if m.point == dir || strings.HasPrefix(m.point, dir+"/") {
			out = append(out, m.point)
		}
	}
	return out, nil
}

// mount is one line of a mountinfo file: where, and the type of file system.
type mount struct{ point, kind string }

// mounts reads the text of a mountinfo file (proc(5)). A line that is none is
// passed over.
func mounts(info string) []mount {
	// seq_path() of the kernel escapes these four.
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var out []mount
	for line := range strings.Lines(info) {
		before, after, ok := strings.Cut(line, " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if ok && len(where) > 4 && len(what) > 0 {
			out = append(out, mount{unescape.Replace(where[4]), what[0]})
		}
	}
	return out
}

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// copyDisks copies the disks of nodes from one folder to another, which is made
// anew, durably. The copies of those with a size, in MiB, have images; the others are plain
// folders. What it leaves when it is interrupted, settle removes.
func copyDisks(ctx context.Context, o machine.Observer, what string, nodes []string, sizes map[string]int, from, to string, mode os.FileMode) error {
	if err := removeTree(to); err != nil {
		return err
	}
	if err := os.Mkdir(to, mode); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, node := range nodes {
		g.Go(func() error {
			o.Begin(node, what)
			if err := copyDisk(gctx, disk{filepath.Join(from, node)}, disk{filepath.Join(to, node)}, sizes[node]); err != nil {
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
		err = errors.Join(err, removeTree(to)) // it may be a full disk
	}
	return err
}

// copyDisk copies the disk of a node that does not run. The overlay's work folder
// holds nothing of it and is made new.
//
// GNU cp keeps what an overlay depends on (whiteouts, trusted attributes) and
// what engines depend on (hard links, holes, owners, times), and fails where it
// cannot (therefore xattr is named beside -a). Where the file system supports
// it, copies share their blocks. What is in an image is copied, and not the image: a
// snapshot is the same with and without.
func copyDisk(ctx context.Context, from, to disk, mib int) error {
	if err := makeFolders(folder{to.dir, diskMode}, folder{to.work(), 0o700}); err != nil {
		return err
	}
	if mib > 0 {
		if err := os.Mkdir(to.docker(), dockerMode); err != nil {
			return err
		}
		if err := to.giveImage(ctx, mib); err != nil {
			return err
		}
	}
	err := withImages(ctx, from, to, func() error {
		return tool(ctx, "cp", "-a", "-x", "--preserve=xattr", "--reflink=auto", "--sparse=auto", "--",
			from.upper(), from.docker(), to.dir)
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("copy its disk: %w", err)
	}
	return err
}

// spare is what a copy leaves free on its file system, in bytes.
const spare = 64 << 20

// room refuses where there is none for copies of folders. sized: not all of them share
// their blocks with what they are copied from.
func (s snapshots) room(ctx context.Context, what string, sized bool, dirs []string) error {
	if err := s.place.verify(); err != nil {
		return err
	}
	if !sized && clones(s.disks.path()) {
		return nil // copies share their blocks
	}
	var need usage
	for _, dir := range dirs {
		if err := need.add(ctx, dir); err != nil {
			return err
		}
	}
	return s.roomFor(what, need)
}

// roomFor refuses what there is no room for beside the disks.
func (s snapshots) roomFor(what string, need usage) error {
	at := s.disks.path()
	var system unix.Statfs_t
	if err := unix.Statfs(at, &system); err != nil {
		return err
	}
	free := int64(system.Bavail) * system.Bsize
	var why string
	switch {
	case need.bytes+spare > free:
		why = fmt.Sprintf("it takes %s, and %s of %s are free", size(need.bytes), size(free), at)
	case system.Files > 0 && need.files > int64(system.Ffree):
		why = fmt.Sprintf("it takes %d files, and %s has room for %d", need.files, at, system.Ffree)
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

// usage is what files take on the disk; hard links count once.
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
			return nil // removed by a running node
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

// syncAll writes the whole file system of dir to its disk, which for thousands of
// files is cheaper than one by one.
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

// syncDir makes renames in a folder durable.
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

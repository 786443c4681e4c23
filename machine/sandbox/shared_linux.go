package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/trouble"
)

// shared is what the nodes of a lab share, and what is left of the lab without them.
type shared struct {
	cfg   Config
	place place
	disks storage
	net   network
}

// prepare makes the folders that all nodes share.
func (s shared) prepare() error {
	if err := s.place.claim(); err != nil {
		return err
	}
	return s.disks.prepare()
}

// copy makes what nodes run from: the copy of the host's /etc, and the copy of this
// program that is their PID 1 (a copy, so that rebuilding dcalab does not affect running
// nodes; not below /run, which is mounted noexec on many hosts).
func (s shared) copy(inUse bool) error {
	self, err := os.Stat(s.cfg.Executable)
	if err != nil {
		return err
	}
	var g errgroup.Group
	to := s.disks.programCopy()
	if old, err := os.Lstat(to); err != nil || !old.Mode().IsRegular() || old.Size() != self.Size() || !old.ModTime().Equal(self.ModTime()) {
		g.Go(func() error { return replaceProgram(to, s.cfg.Executable, self.ModTime()) })
	}
	g.Go(func() error {
		err := copyEtc(s.disks.etcCopy(), inUse)
		if errors.Is(err, unix.ENOSPC) {
			err = &trouble.Error{ID: "disk-full", What: "there is no room in /run", Why: err.Error(), Next: []string{"make room there: df -h /run"}, Err: err}
		}
		return err
	})
	return g.Wait()
}

// remove removes what the nodes shared.
func (s shared) remove(ctx context.Context) error {
	if err := reapCgroup(ctx, filepath.Join("/dcalab", s.cfg.ID)); err != nil {
		return err
	}
	if err := dropCgroups(s.cfg.ID); err != nil {
		return err
	}
	if err := s.net.tearDown(); err != nil {
		return err
	}
	if err := s.disks.release(); err != nil {
		return err
	}
	if err := os.RemoveAll(runtimeDir(s.cfg.ID)); err != nil {
		return err
	}
	if err := s.place.remove(); err != nil {
		return err
	}
	return removeSharedByLabs(filepath.Dir(s.cfg.Dir))
}

// replaceProgram copies a program to a path; others see the old or the new one.
func replaceProgram(to, from string, mtime time.Time) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".init-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // renamed already when all went well
	err = copyContent(out, in)
	if err := errors.Join(err, out.Chmod(0o755), out.Close()); err != nil {
		return err
	}
	if err := os.Chtimes(out.Name(), mtime, mtime); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

// copyContent copies what is in a file: as a clone where the file system can, else in the
// kernel, which io.Copy lets do it only within one file system.
func copyContent(to, from *os.File) error {
	in, out := int(from.Fd()), int(to.Fd())
	if unix.IoctlFileClone(out, in) == nil {
		return nil
	}
	for {
		switch n, err := unix.Sendfile(out, in, nil, 1<<30); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EINVAL): // not from this file system
			_, err := io.Copy(to, from)
			return err
		case err != nil || n == 0:
			return err
		}
	}
}

// makeShared makes a lab's folder in one that labs share. The last lab to be
// destroyed removes the shared one, perhaps at this very moment.
func makeShared(path string, mode uint32) error {
	for {
		shared := filepath.Dir(path)
		if err := os.MkdirAll(shared, 0o755); err != nil {
			return err
		}
		dir, err := lockedDir(shared, unix.LOCK_SH)
		if err == nil {
			err = unix.Mkdirat(int(dir.Fd()), filepath.Base(path), mode)
			dir.Close()
		}
		switch {
		case err == nil, errors.Is(err, unix.EEXIST):
			return nil
		case errors.Is(err, unix.ENOENT):
		default:
			return fmt.Errorf("make %s: %w", path, err)
		}
	}
}

// removeSharedByLabs removes what all labs share, when there is no other lab.
// ground is the folder that holds the labs' own.
func removeSharedByLabs(ground string) error {
	if err := unix.Rmdir(ground); err != nil && !inUseOrGone(err) {
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

// inUseOrGone tells whether a folder that labs share was not removed because it
// is in use, or does not exist.
func inUseOrGone(err error) bool {
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

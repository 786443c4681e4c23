package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

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

package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// createHere makes a file that has no name before it is closed (open(2),
// O_TMPFILE), so that nothing is left of it when dcalab is killed. Not every
// file system can: there it has its name from the beginning.
func createHere(path string) (io.WriteCloser, error) {
	if _, err := os.Stat("/proc/self/fd"); err == nil {
		f, err := os.OpenFile(filepath.Dir(path), os.O_WRONLY|unix.O_TMPFILE, 0o600)
		if err == nil {
			return &unnamed{File: f, path: path}, nil
		}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

type unnamed struct {
	*os.File
	path string
}

// Close gives the file its name.
func (u *unnamed) Close() error {
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", u.Fd()), unix.AT_FDCWD, u.path, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		err = &os.PathError{Op: "link", Path: u.path, Err: err}
	}
	return errors.Join(err, u.File.Close())
}

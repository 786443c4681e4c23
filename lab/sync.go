package lab

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Rename is os.Rename within one folder that also a power failure does not undo:
// the name is on the disk when it returns.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(os.Open, filepath.Dir(to), (*os.File).Sync)
}

// syncFolder brings the names in a folder to the disk. A rename is in the
// folder, not in the file (fsync(2)). Windows has no such call, and does it by
// itself; file systems that cannot (some of FUSE) are left to it.
func syncFolder(open func(string) (*os.File, error), name string, sync func(*os.File) error) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := open(name)
	if err != nil {
		return err
	}
	err = sync(f)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

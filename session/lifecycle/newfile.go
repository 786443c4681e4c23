package lifecycle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// newFile is a file that a person asked for: it replaces none, and has its name
// only when it is whole. Only the lab's owner can read it.
type newFile struct {
	owner lab.Owner
	path  string
}

// free refuses a path that is taken, or in no folder.
func (n newFile) free() error {
	_, err := os.Lstat(n.path)
	switch {
	case err == nil:
		return n.taken(fs.ErrExist)
	case errors.Is(err, fs.ErrNotExist):
		_, err = os.Stat(filepath.Dir(n.path))
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return n.noPlace(err)
	}
	return err
}

func (n newFile) taken(err error) error {
	return &trouble.Error{
		ID: "file-exists", What: "write " + n.path, Why: "it exists already, and is not overwritten",
		Next: []string{"name another file, or remove this one"}, Exit: trouble.ExitRefused, Err: err,
	}
}

func (n newFile) noPlace(err error) error {
	why := "nothing can be written there"
	if errors.Is(err, syscall.ENOSPC) {
		why = "there is no room for it"
	}
	return &trouble.Error{
		ID: "file-place", What: "write " + n.path, Why: why,
		Next: []string{"name a file in a folder that exists, that you may write to, and that has room"}, Err: err,
	}
}

// secret says what it means that a swarm is in the file.
func (n newFile) secret() string {
	return n.path + " holds the swarm's secrets (CA key, join tokens, secrets of services): whoever has it has the swarm, so only its owner can read it"
}

// write has fill write the file, gives it its name, and tells its size in bytes.
func (n newFile) write(fill func(*os.File) error) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(n.path), "."+filepath.Base(n.path)+".*.new") // mode 0600
	if err != nil {
		return 0, n.noPlace(err)
	}
	defer func() {
		f.Close()
		os.Remove(f.Name())
		if errors.Is(err, syscall.ENOSPC) {
			err = n.noPlace(err)
		}
	}()
	if o := n.owner; o != (lab.Owner{}) {
		if err := f.Chown(o.UID, o.GID); err != nil {
			return 0, err
		}
	}
	if err := fill(f); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return 0, err
	}
	// A second name replaces nothing. Some file systems know no second names.
	err = os.Link(f.Name(), n.path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if _, err = os.Lstat(n.path); errors.Is(err, fs.ErrNotExist) {
			return info.Size(), os.Rename(f.Name(), n.path)
		}
		err = errors.Join(err, fs.ErrExist)
	}
	if errors.Is(err, fs.ErrExist) {
		err = n.taken(err)
	}
	return info.Size(), err
}

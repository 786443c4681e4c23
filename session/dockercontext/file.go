package dockercontext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// configPath is the file that ssh reads: in the home of the user's entry in the
// system's list, whatever HOME says. Where it is a link, the file that the link
// leads to is written: people keep such files elsewhere.
func configPath(given string) (string, error) {
	path := given
	if path == "" {
		u, err := user.Current()
		if err != nil {
			return "", fmt.Errorf("find ~/.ssh/config: %w", err)
		}
		path = filepath.Join(u.HomeDir, ".ssh", "config")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find ~/.ssh/config: %w", err)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target, nil
	}
	return path, nil
}

// maxSSHConfig is the largest configuration that is read, in bytes; far above any
// real one.
const maxSSHConfig = 16 << 20

func (c Contexts) read(path string) (string, error) {
	// A file that was read in part would be written back in part.
	data, _, err := lab.ReadInput(path, maxSSHConfig, c.Owner)
	if errors.Is(err, lab.ErrUnfit) {
		return "", &trouble.Error{
			ID: "ssh-config-unfit", What: "ssh's configuration is left as it is", Err: err,
			Next: []string{"name the file that ssh reads: dcalab context create --ssh-config FILE"}, Exit: trouble.ExitRefused,
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read ssh's configuration: %w", err)
	}
	return string(data), nil
}

// edit changes a file as it is at this moment: while the user was asked, or a
// node looked for, somebody may have edited it.
func (c Contexts) edit(path string, change func(string) string) (before, after string, err error) {
	if before, err = c.read(path); err != nil {
		return "", "", err
	}
	if after = change(before); after != before {
		err = write(path, after)
	}
	return before, after, err
}

// write replaces a file in one step, keeping its mode; a new one is readable by
// its owner alone. An empty file is not removed: perhaps it was there before.
func write(path, text string) error {
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	err := func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".dcalab-*")
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
		if err == nil {
			err = lab.Rename(f.Name(), path)
		}
		if err != nil {
			// Where only the folder could not be brought to the disk, it has
			// its new name already.
			if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
		return err
	}()
	if err != nil {
		return fmt.Errorf("write ssh's configuration: %w", err)
	}
	return nil
}

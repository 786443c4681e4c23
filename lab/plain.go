package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dcalab/dcalab/trouble"
)

// stateMax bounds what is read of a file of the state folder, in bytes. Those
// of a lab of thirty nodes are a hundredth of it.
const stateMax = 1 << 20

// ErrNotTrusted is behind the errors of files and folders that are not used,
// because somebody else may have made or changed them.
var ErrNotTrusted = errors.New("not dcalab's own")

// notTrusted is the error of a file or folder that is not one of dcalab's own.
func notTrusted(full, why string) error {
	return &trouble.Error{
		ID:   "state-not-trusted",
		What: full + " is not used",
		Why:  why,
		Next: []string{"ls -ld " + full + "    # whose is it, and what for?", "move it away, or run dcalab as the user who owns it"},
		Exit: trouble.ExitRefused,
		Err:  ErrNotTrusted,
	}
}

// openPlain opens a file that is there, and that is a plain file: not a link, a
// pipe that would be waited for, or a device. It looks before it opens, and
// again at what was opened. Another dcalab may have replaced the file in
// between, as all of them are written; then it looks again.
func openPlain(dir *os.Root, name string, flag int) (*os.File, error) {
	full := filepath.Join(dir.Name(), name)
	for range replaced {
		info, err := dir.Lstat(name)
		if err != nil {
			return nil, err
		}
		if why := unplain(info); why != "" {
			return nil, notTrusted(full, why)
		}
		f, err := dir.OpenFile(name, flag|nonblock, 0)
		if err != nil {
			return nil, err
		}
		opened, err := f.Stat()
		if err == nil && os.SameFile(info, opened) {
			return f, nil
		}
		_ = f.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, notTrusted(full, "it changes each time that it is opened")
}

// replaced is how often a file may be replaced while it is opened.
const replaced = 100

// unplain says what a file is that is no plain one; empty for a plain one.
func unplain(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return ""
	case mode&fs.ModeSymlink != 0:
		return "it is a symbolic link"
	case mode.IsDir():
		return "it is a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "it is a pipe"
	case mode&fs.ModeDevice != 0:
		return "it is a device"
	default:
		return "it is not a plain file"
	}
}

// readPlain reads a file of the state folder.
func readPlain(dir *os.Root, name string) ([]byte, error) {
	f, err := openPlain(dir, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, stateMax+1))
	if err != nil {
		return nil, err
	}
	if len(data) > stateMax {
		return nil, notTrusted(filepath.Join(dir.Name(), name), fmt.Sprintf("it is larger than %d bytes, which none of dcalab's is", stateMax))
	}
	return data, nil
}

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// tree writes below the upper folder of an overlay, as if at the node's root;
// it follows no link out of there. The first error stops it.
type tree struct {
	root *os.Root
	err  error
}

// openTree opens the tree of a node's disk. The caller closes its root.
func openTree(d disk) (*tree, error) {
	root, err := os.OpenRoot(d.upper())
	return &tree{root: root}, err
}

func (t *tree) fail(err error) {
	if t.err == nil && err != nil {
		t.err = err
	}
}

// try runs steps up to the first error.
func (t *tree) try(steps ...func() error) {
	for _, step := range steps {
		if t.err == nil {
			t.fail(step())
		}
	}
}

func inside(path string) string { return strings.TrimPrefix(path, "/") }

// mkdir makes path as a folder, and those above it, with the owner and mode that
// they have on the host: in an overlay those of the upper folder count.
func (t *tree) mkdir(path string) {
	if t.err != nil || path == "/" {
		return
	}
	if _, err := t.root.Lstat(inside(path)); err == nil {
		return
	}
	t.mkdir(filepath.Dir(path))
	uid, gid, mode := 0, 0, os.FileMode(0o755)
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		mode = fi.Mode()
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(st.Uid), int(st.Gid)
		}
	}
	t.try(
		func() error { return t.root.Mkdir(inside(path), 0o700) },
		func() error { return t.root.Chown(inside(path), uid, gid) },
		func() error { return t.root.Chmod(inside(path), mode) },
	)
}

// own makes path a folder of the user with that id, and of the group.
func (t *tree) own(path string, mode os.FileMode, id int) {
	t.mkdir(path)
	t.chown(path, id)
	t.try(func() error { return t.root.Chmod(inside(path), mode) })
}

// hide makes path an empty folder of root's, whatever the host has there.
func (t *tree) hide(path string, mode os.FileMode) {
	t.own(path, mode, 0)
	t.try(func() error {
		f, err := t.root.Open(inside(path))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Fsetxattr(int(f.Fd()), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
			return fmt.Errorf("%s: this file system keeps no trusted extended attributes: %w", path, err)
		}
		return nil
	})
}

func (t *tree) chown(path string, id int) {
	t.try(func() error { return t.root.Chown(inside(path), id, id) })
}

func (t *tree) write(path string, mode os.FileMode, text string) {
	t.mkdir(filepath.Dir(path))
	t.try(func() error {
		// A link that somebody in the node made is replaced, not followed.
		if err := t.root.Remove(inside(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		f, err := t.root.OpenFile(inside(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Chmod(mode), f.Close())
	})
}

func (t *tree) json(path string, mode os.FileMode, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	t.fail(err)
	t.write(path, mode, string(text)+"\n")
}

// readText gives a file's text, or nothing where it cannot be read.
func readText(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// link makes a link to where it is, unless something is there.
func (t *tree) link(path, to string) {
	if _, err := t.root.Lstat(inside(path)); err == nil {
		return
	}
	t.mkdir(filepath.Dir(path))
	t.try(func() error { return t.root.Symlink(to, inside(path)) })
}

// hideOthers hides what the host has in a folder and names does not list.
func (t *tree) hideOthers(dir string, names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // not there: nothing to hide
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			t.whiteout(filepath.Join(dir, e.Name()))
		}
	}
}

// hideSecrets hides what is below a folder of the host's and not everybody may
// read there.
func (t *tree) hideSecrets(dir string) {
	if !isFolder(dir) {
		return
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return gone(err)
		}
		fi, err := e.Info()
		if err != nil {
			return gone(err)
		}
		if fi.Mode()&fs.ModeSymlink != 0 || forOthers(fi) {
			return nil
		}
		t.whiteout(path)
		if fi.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	t.fail(err)
}

// whiteout hides what an overlay's lower folder has at path, unless the node
// has something of its own there.
func (t *tree) whiteout(path string) {
	if _, err := t.root.Lstat(inside(path)); err == nil {
		return
	}
	t.mkdir(filepath.Dir(path))
	t.try(func() error {
		dir, err := t.root.Open(inside(filepath.Dir(path)))
		if err != nil {
			return err
		}
		defer dir.Close()
		// A character device 0/0 (overlayfs.rst of the kernel).
		return unix.Mknodat(int(dir.Fd()), filepath.Base(path), unix.S_IFCHR, 0)
	})
}

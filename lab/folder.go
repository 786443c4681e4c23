package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// folder is a folder of one lab, and how its files are read, replaced and locked.
//
// Root may well write here for a user, in a folder where that user can plant
// links. So folders are opened one below the other (os.Root), neither .dcalab
// nor the lab's folder may be a link or somebody else's, and files are
// replaced by renaming, never written through.
type folder struct {
	writer
	root string
	lab  string
}

// Dir is the lab's folder. Like all its paths it is absolute and may not exist
// yet.
func (d *folder) Dir() string { return filepath.Join(d.root, StateFolder, d.lab) }

func (d *folder) path(elem ...string) string {
	return filepath.Join(append([]string{d.Dir()}, elem...)...)
}

// Create makes the lab's folder where it is missing.
func (d *folder) Create() error {
	dir, err := d.open(true)
	if err != nil {
		return err
	}
	return dir.Close()
}

// WriteFile puts a file into the lab's folder, all of it or nothing, and gives
// it to the owner. name is relative to the folder, with slashes; folders on
// the way are made.
func (d *folder) WriteFile(name string, data []byte, perm fs.FileMode) error {
	dir, err := d.open(true)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := d.write(dir, name, data, perm); err != nil {
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	return nil
}

// ReadFile reads a file of the lab's folder; one that is absent is
// fs.ErrNotExist.
func (d *folder) ReadFile(name string) ([]byte, error) {
	dir, err := d.open(false)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	data, err := readPlain(dir, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.path(name), err)
	}
	return data, nil
}

// remove removes a file, where it is there.
func (d *folder) remove(name string) error {
	dir, err := d.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", d.path(name), err)
	}
	return nil
}

// openToAppend opens a file of the lab's folder, which is made where it is absent.
func (d *folder) openToAppend(dir *os.Root, name string) (*os.File, error) {
	f, err := openPlain(dir, name, os.O_WRONLY|os.O_APPEND)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		if errors.Is(err, fs.ErrExist) { // another process has just made it
			f, err = openPlain(dir, name, os.O_WRONLY|os.O_APPEND)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", d.path(name), err)
	}
	if err := d.give(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open opens the lab's folder and, if asked, makes it. Absence is
// fs.ErrNotExist.
func (d *folder) open(create bool) (*os.Root, error) {
	base, err := os.OpenRoot(d.root)
	if err != nil {
		return nil, fmt.Errorf("open the state of lab %s: %w", d.lab, err)
	}
	defer base.Close()
	all, err := d.step(base, StateFolder, create)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if create {
		// Keys and tokens of labs are not for anybody's repository.
		if _, err := all.Lstat(".gitignore"); errors.Is(err, fs.ErrNotExist) {
			if err := d.write(all, ".gitignore", []byte("*\n"), 0o600); err != nil {
				return nil, fmt.Errorf("write %s: %w", filepath.Join(d.root, StateFolder, ".gitignore"), err)
			}
		}
	}
	return d.step(all, d.lab, create)
}

// step opens a folder in a folder, after a look at what it is, and looks
// again at what was opened: between the two it can have been swapped.
func (d *folder) step(in *os.Root, name string, create bool) (*os.Root, error) {
	full := filepath.Join(in.Name(), name)
	info, err := in.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) && create {
		switch err := in.Mkdir(name, 0o700); {
		case err == nil:
			if err := d.giveNew(in, name); err != nil {
				return nil, fmt.Errorf("give %s to its user: %w", full, err)
			}
			if err := d.syncFolder(in, name); err != nil {
				return nil, fmt.Errorf("make the state folder: %w", err)
			}
		case !errors.Is(err, fs.ErrExist):
			return nil, fmt.Errorf("make the state folder: %w", err)
		}
		info, err = in.Lstat(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open the state of lab %s: %w", d.lab, err)
	}
	refuse := func(why string) error { return notTrusted(full, why) }
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, refuse("it is a symbolic link")
	}
	if !info.IsDir() {
		return nil, refuse("it is not a folder")
	}
	if why := distrust(info, d.owner); why != "" {
		return nil, refuse(why)
	}
	dir, err := in.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open the state of lab %s: %w", d.lab, err)
	}
	opened, err := dir.Stat(".")
	if err == nil && !os.SameFile(info, opened) {
		err = refuse("it changed while it was opened")
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// Edit changes a file of the lab's folder: change gets what is in it, nothing
// where it is absent, and gives what is to be. Nobody else's Edit of any file
// comes between the two, in no other process either: commands that only look
// (status --watch) learn things too, while another holds the Lock. What changes
// nothing writes nothing.
func (d *folder) Edit(name string, change func(old []byte) ([]byte, error)) (err error) {
	edit := func() (fresh []byte, same bool, err error) {
		old, err := d.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, false, err
		}
		fresh, err = change(old)
		return fresh, bytes.Equal(fresh, old), err
	}
	if _, same, err := edit(); same || err != nil {
		return err
	}
	l, err := d.lockOn(editFile)
	if err != nil {
		return fmt.Errorf("change %s: %w", d.path(name), err)
	}
	if err := l.Lock(); err != nil {
		return fmt.Errorf("change %s: %w", d.path(name), errors.Join(err, l.Close()))
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	fresh, same, err := edit() // again, now that nobody else can
	if same || err != nil {
		return err
	}
	return d.WriteFile(name, fresh, 0o600)
}

// lockOn makes a file that is locked, where it is missing. It stays for good: a
// lock on a file that was removed excludes no other process.
func (d *folder) lockOn(name string) (*flock.Flock, error) {
	dir, err := d.open(true)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = errors.Join(d.give(f), f.Close())
	} else if errors.Is(err, fs.ErrExist) {
		var info fs.FileInfo
		if info, err = dir.Lstat(name); err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a plain file", d.path(name))
		}
	}
	return flock.New(d.path(name), flock.SetFlag(os.O_RDWR)), err // not O_CREATE: a link is not followed
}

// claim locks a file for as long as this process is what it is to the lab.
func (d *folder) claim(ctx context.Context, name string, other error) (end func() error, err error) {
	l, err := d.lockOn(name)
	if err != nil {
		return nil, err
	}
	// Who asks whether there is one holds the lock for a moment.
	patience, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := l.TryLockContext(patience, 20*time.Millisecond); err != nil {
		if patience.Err() != nil && ctx.Err() == nil {
			err = other
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", d.path(name), err), l.Close())
	}
	return l.Close, nil
}

// claimed tells whether some process has made a claim.
func (d *folder) claimed(name string) bool {
	if _, err := os.Lstat(d.path(name)); err != nil {
		return false // nobody ever did
	}
	l, err := d.lockOn(name)
	if err != nil {
		return false
	}
	defer l.Close()
	free, err := l.TryRLock() // others may ask at the same time
	return !free && err == nil
}

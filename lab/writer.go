package lab

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// writer puts files into open folders, brings them to the disk and gives them to
// their owner.
type writer struct {
	owner Owner
	// sync, if not nil, is how files are brought to the disk: for tests.
	sync func(*os.File) error
}

// write puts a file into a folder, all of it or nothing; folders on the way are
// made. One that is already so is left as it is: to bring a file to the disk takes
// longer than all else that most commands do.
func (w writer) write(dir *os.Root, name string, data []byte, perm fs.FileMode) error {
	if w.holds(dir, name, data, perm) {
		return nil
	}
	if parent := path.Dir(name); parent != "." {
		if err := w.mkdirAll(dir, parent); err != nil {
			return err
		}
	}
	temporary, err := w.temporary(dir, name, data, perm)
	if err != nil {
		return err
	}
	return w.rename(dir, temporary, name)
}

// holds tells whether name is a file of the owner's with this content and mode.
func (w writer) holds(dir *os.Root, name string, data []byte, perm fs.FileMode) bool {
	fi, err := dir.Lstat(name)
	if err != nil || fi.Mode() != perm || fi.Size() != int64(len(data)) || w.owner != (Owner{}) && !belongs(fi, w.owner) {
		return false
	}
	old, err := dir.ReadFile(name)
	return err == nil && bytes.Equal(old, data)
}

// temporary writes data beside name, under a name that cannot be guessed.
func (w writer) temporary(dir *os.Root, name string, data []byte, perm fs.FileMode) (string, error) {
	temporary := name + ".new-" + randomHex(6)
	f, err := dir.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil && perm != 0o600 {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = w.give(f)
	}
	if err == nil {
		err = w.syncFile(f) // or a crash after the rename leaves an empty file
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, dir.Remove(temporary))
	}
	return temporary, nil
}

func (w writer) mkdirAll(dir *os.Root, name string) error {
	at := ""
	for elem := range strings.SplitSeq(name, "/") {
		at = path.Join(at, elem)
		err := dir.Mkdir(at, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := w.giveNew(dir, at); err != nil {
			return err
		}
		if err := w.syncFolder(dir, at); err != nil {
			return err
		}
	}
	return nil
}

// give hands an open file to the owner.
func (w writer) give(f *os.File) error {
	if w.owner == (Owner{}) {
		return nil
	}
	return f.Chown(w.owner.UID, w.owner.GID)
}

// giveNew hands a folder that was just made to the owner.
func (w writer) giveNew(dir *os.Root, name string) error {
	if w.owner == (Owner{}) {
		return nil
	}
	return dir.Lchown(name, w.owner.UID, w.owner.GID)
}

// rename is Rename in a folder.
func (w writer) rename(dir *os.Root, from, to string) error {
	if err := dir.Rename(from, to); err != nil {
		return errors.Join(err, dir.Remove(from))
	}
	return w.syncFolder(dir, to)
}

// syncFolder brings the folder that name is in to the disk.
func (w writer) syncFolder(dir *os.Root, name string) error {
	return syncFolder(dir.Open, filepath.Dir(name), w.syncFile)
}

// syncFile brings a file to the disk.
func (w writer) syncFile(f *os.File) error {
	if w.sync != nil {
		return w.sync(f)
	}
	return f.Sync()
}

// randomHex gives n random bytes as hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, as of Go 1.24
	return hex.EncodeToString(b)
}

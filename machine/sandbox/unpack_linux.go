package sandbox

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// unpacker makes files below a folder, and follows no link there.
type unpacker struct {
	root *os.File
	// dir is the folder named at, which was needed last.
	dir *os.File
	at  string
	// folders get their owners, modes and times when all is in them.
	folders []*tar.Header
}

func (u *unpacker) close() {
	if u.dir != nil {
		u.dir.Close()
		u.dir = nil
	}
}

// in opens the folder that a path is in, to look up names in it, and gives the
// path's last part. The folder stays open until the next call.
func (u *unpacker) in(name string) (fd int, base string, err error) {
	dir, base := path.Split(strings.TrimSuffix(name, "/"))
	if dir == u.at && u.dir != nil {
		return int(u.dir.Fd()), base, nil
	}
	u.close()
	fd, err = unix.Openat(int(u.root.Fd()), ".", folderFlags, 0)
	for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		if err != nil {
			break
		}
		above := fd
		fd, err = unix.Openat(above, part, folderFlags, 0)
		unix.Close(above)
	}
	if err != nil {
		return 0, "", err
	}
	u.dir, u.at = os.NewFile(uintptr(fd), dir), dir
	return fd, base, nil
}

const folderFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// make makes what an entry is. A plain file is given open, for its content; finish
// ends that one.
func (u *unpacker) make(h *tar.Header) (*os.File, error) {
	if h.Typeflag == tar.TypeLink {
		return nil, u.link(h)
	}
	fd, base, err := u.in(h.Name)
	if err != nil {
		return nil, err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
		file, err := unix.Openat(fd, base, flags, 0o600)
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(file), h.Name), nil
	case tar.TypeDir:
		u.folders = append(u.folders, h)
		return nil, unix.Mkdirat(fd, base, 0o700)
	case tar.TypeSymlink:
		err = unix.Symlinkat(h.Linkname, fd, base)
	case tar.TypeFifo:
		err = unix.Mknodat(fd, base, unix.S_IFIFO|0o600, 0)
	case tar.TypeChar:
		err = unix.Mknodat(fd, base, unix.S_IFCHR|0o600, 0)
	default:
		err = unix.EINVAL
	}
	if err == nil {
		err = u.dress(h)
	}
	return nil, err
}

func (u *unpacker) link(h *tar.Header) error {
	from, first, err := u.in(h.Linkname)
	if err != nil {
		return err
	}
	if from, err = unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return err
	}
	defer unix.Close(from)
	fd, base, err := u.in(h.Name)
	if err != nil {
		return err
	}
	return unix.Linkat(from, first, fd, base, 0)
}

// finish ends a plain file.
func (u *unpacker) finish(f *os.File, h *tar.Header) error {
	if err := errors.Join(f.Truncate(h.Size), f.Close()); err != nil {
		return err
	}
	return u.dress(h)
}

// settle dresses the folders, the deepest first.
func (u *unpacker) settle() error {
	for _, h := range slices.Backward(u.folders) {
		if err := u.dress(h); err != nil {
			return err
		}
	}
	return nil
}

// dress gives a file its owner, mode, attributes and time, in an order in which
// none takes away what another has given.
func (u *unpacker) dress(h *tar.Header) error {
	fd, base, err := u.in(h.Name)
	if err != nil {
		return err
	}
	if err := unix.Fchownat(fd, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Fchmodat(fd, base, uint32(h.Mode), 0); err != nil { //nolint:gosec // admit has bounded it
			return err
		}
	}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, attribute); ok {
			// There is no lsetxattrat before Linux 6.13.
			if err := unix.Lsetxattr(fmt.Sprintf("/proc/self/fd/%d/%s", fd, base), name, []byte(value), 0); err != nil {
				return fmt.Errorf("set its attribute %s: %w", name, err)
			}
		}
	}
	changed, err := unix.TimeToTimespec(h.ModTime)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(fd, base, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, changed}, unix.AT_SYMLINK_NOFOLLOW)
}

package sandbox

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox/pid1"
)

// An exported snapshot is a tar archive (pax) of NODE/upper and NODE/docker of
// every node, in the order of the lab. GNU tar reads it; extended attributes are
// named as there (SCHILY.xattr). Holes of files are zeros in it, and holes again
// when it is read.

var _ machine.SnapshotExporter = (*Driver)(nil)

// diskParts are the folders of a disk that hold something of the node's.
func diskParts() []string { return []string{"upper", "docker"} }

const (
	attribute = "SCHILY.xattr."
	blockSize = 4096 // what files take room in, and holes are made of
)

// SnapshotOrigin has the version of the host's dockerd, which all nodes run.
func (snapshots) SnapshotOrigin(ctx context.Context) (machine.SnapshotOrigin, error) {
	return machine.SnapshotOrigin{Driver: Name, Platform: "linux/" + runtime.GOARCH, Engine: engineVersion(ctx)}, nil
}

func engineVersion(ctx context.Context) string {
	path, err := find(pid1.SearchPath, "dockerd")
	if err != nil {
		return ""
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	version, _, ok := strings.Cut(strings.TrimPrefix(string(out), "Docker version "), ",")
	if err != nil || !ok {
		return ""
	}
	return version
}

// quotaDevice is the engine's own name of the disk that it is on, which it makes
// anew when it starts.
var quotaDevice = regexp.MustCompile(`^[^/]+/docker/.*/backingFsBlockDev$`)

// ExportSnapshot writes the disks of a snapshot. What is made anew when the engine
// starts is left out: sockets, and the device for quotas.
func (s snapshots) ExportSnapshot(ctx context.Context, o machine.Observer, name string, w io.Writer) (machine.DiskSpace, error) {
	if err := s.begin(ctx, name); err != nil {
		return machine.DiskSpace{}, err
	}
	one, err := s.read(name)
	if err != nil {
		return machine.DiskSpace{}, err
	}
	p := packer{ctx: ctx, root: s.snapshotPath(name), w: tar.NewWriter(w), check: newEntryCheck(one.Nodes)}
	for _, node := range one.Nodes {
		o.Begin(node, "exporting its disk")
		p.first = map[uint64]string{}
		for _, part := range diskParts() {
			if err := filepath.WalkDir(filepath.Join(p.root, node, part), p.add); err != nil {
				return machine.DiskSpace{}, err
			}
		}
	}
	return p.check.space, p.w.Close()
}

// packer writes files into an archive.
type packer struct {
	ctx   context.Context //nolint:containedctx // a fs.WalkDirFunc takes none
	root  string
	w     *tar.Writer
	check *entryCheck
	first map[uint64]string // the first name of a file that has several, by inode
}

// add is a fs.WalkDirFunc.
func (p *packer) add(path string, _ fs.DirEntry, err error) error {
	if err := errors.Join(err, p.ctx.Err()); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	name, err := filepath.Rel(p.root, path)
	if err != nil || kind == unix.S_IFSOCK || kind == unix.S_IFBLK && quotaDevice.MatchString(name) {
		return err
	}
	h := &tar.Header{
		Format: tar.FormatPAX, Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()),
	}
	if first, ok := p.first[st.Ino]; ok {
		h.Typeflag, h.Linkname = tar.TypeLink, first
	} else {
		if st.Nlink > 1 && kind != unix.S_IFDIR {
			p.first[st.Ino] = name
		}
		if err := describe(h, path, &st); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	// What would be refused where it is read is not written.
	if err := p.check.admit(h); err != nil {
		return err
	}
	if err := p.w.WriteHeader(h); err != nil || h.Size == 0 {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return p.check.count(p.ctx, io.TeeReader(f, p.w), h.Size, nil)
}

// describe tells the kind of a file, and what goes with that.
func describe(h *tar.Header, path string, st *unix.Stat_t) (err error) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		h.Linkname, err = os.Readlink(path)
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	default:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
	}
	if err != nil {
		return err
	}
	names, err := readAttribute(func(to []byte) (int, error) { return unix.Llistxattr(path, to) })
	if err != nil {
		return fmt.Errorf("its extended attributes: %w", err)
	}
	for name := range strings.SplitSeq(names, "\x00") {
		if !carried(name) {
			continue
		}
		value, err := readAttribute(func(to []byte) (int, error) { return unix.Lgetxattr(path, name, to) })
		if err != nil {
			return fmt.Errorf("its attribute %s: %w", name, err)
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[attribute+name] = value
	}
	return nil
}

// carried tells whether an extended attribute means something on another
// machine. Labels of SELinux, for example, are of this one.
func carried(name string) bool {
	return slices.Contains([]string{"security.capability", "system.posix_acl_access", "system.posix_acl_default"}, name) ||
		strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.")
}

func readAttribute(get func([]byte) (int, error)) (string, error) {
	size, err := get(nil)
	if size <= 0 || err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			err = nil
		}
		return "", err
	}
	buf := make([]byte, size)
	size, err = get(buf)
	return string(buf[:max(size, 0)]), err
}

// readBlocks reads size bytes, and gives the runs of blocks among them that are
// not all zeros, and what these take in bytes. each may be nil.
func readBlocks(ctx context.Context, r io.Reader, size int64, each func(at int64, data []byte) error) (taken int64, err error) {
	buf, zeros := make([]byte, 64*blockSize), make([]byte, blockSize)
	for at := int64(0); at < size; at += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return taken, err
		}
		data := buf[:min(int64(len(buf)), size-at)]
		if _, err := io.ReadFull(r, data); err != nil {
			return taken, err
		}
		begin := -1 // of the run
		for i := 0; i <= len(data); i += blockSize {
			block := data[i:min(i+blockSize, len(data))]
			if len(block) > 0 && !bytes.Equal(block, zeros[:len(block)]) {
				taken += blockSize
				if begin < 0 {
					begin = i
				}
				continue
			}
			if begin >= 0 && each != nil {
				if err := each(at+int64(begin), data[begin:i]); err != nil {
					return taken, err
				}
			}
			begin = -1
		}
		if begin >= 0 && each != nil { // the last block is a short one
			if err := each(at+int64(begin), data[begin:]); err != nil {
				return taken, err
			}
		}
	}
	return taken, nil
}

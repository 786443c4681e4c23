package sandbox

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/machine"
)

// What is in an archive of disks was written by somebody else, and is unpacked by
// root. So each entry is checked whenever it is read: where nothing is written
// (CheckImport), and before it is made in a folder that only root can look into
// and that is no snapshot before all has been read. There no link is followed:
// each folder on the way is opened by its descriptor.

// entryCheck knows what may come next in an archive of disks.
type entryCheck struct {
	nodes []string
	kinds map[string]byte // of what came, by path: a tar type
	space machine.DiskSpace
}

func newEntryCheck(nodes []string) *entryCheck {
	c := &entryCheck{nodes: nodes, kinds: map[string]byte{}}
	for _, n := range nodes {
		c.kinds[n] = tar.TypeDir
	}
	return c
}

// whiteoutPlaces are where overlays have their upper folders: the node's own, and
// those of the engine's storage drivers.
var whiteoutPlaces = regexp.MustCompile(`^[^/]+/(upper|docker/([^/]+/)?(overlay2|fuse-overlayfs)/[^/]+/diff|` +
	`docker/containerd/daemon/io\.containerd\.snapshotter\.v1\.overlayfs/snapshots/[^/]+/fs)/.`)

// admit refuses what is no part of a disk, and counts the rest.
func (c *entryCheck) admit(h *tar.Header) error {
	name := h.Name
	if h.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
	}
	no := func(format string, args ...any) error {
		return &machine.EntryError{Path: fmt.Sprintf("%.200q", name), Why: fmt.Sprintf(format, args...)}
	}
	part := strings.SplitN(name, "/", 3)
	switch {
	case path.Clean(name) != name || path.IsAbs(name) || !slices.Contains(c.nodes, part[0]) || len(part) < 2 || !slices.Contains(diskParts(), part[1]):
		return no("this is no path on the disk of a node of the lab")
	case c.kinds[name] != 0:
		return no("this is in the archive twice")
	case c.kinds[path.Dir(name)] != tar.TypeDir:
		return no("the folder that it is in is not in the archive before it, or is no folder")
	case len(part) == 2 && h.Typeflag != tar.TypeDir:
		return no("this has to be a folder")
	case !isID(h.Uid) || !isID(h.Gid) || h.Mode != h.Mode&0o7777:
		return no("owner %d:%d and mode %#o are not those of a file", h.Uid, h.Gid, h.Mode)
	}
	for key := range h.PAXRecords {
		if attr, ok := strings.CutPrefix(key, attribute); ok && !carried(attr) || strings.HasPrefix(key, "GNU.sparse") {
			return no("a file of a disk has no %q", key)
		}
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeSymlink, tar.TypeFifo:
		c.space.Files++
	case tar.TypeDir:
		c.space.Files++
		c.space.Bytes += blockSize
	case tar.TypeLink:
		target, _, _ := strings.Cut(h.Linkname, "/")
		if kind := c.kinds[h.Linkname]; target != part[0] || kind == 0 || kind == tar.TypeDir {
			return no("it is a second name of %.200q, which is no file before it on the same disk", h.Linkname)
		}
	case tar.TypeChar, tar.TypeBlock:
		if h.Typeflag == tar.TypeBlock || h.Devmajor != 0 || h.Devminor != 0 {
			return no("this is a device (%d:%d)", h.Devmajor, h.Devminor)
		}
		if !whiteoutPlaces.MatchString(name) {
			return no("this marks something as removed (a whiteout) where there is no overlay")
		}
		c.space.Files++
	default:
		return no("this is neither a file nor a folder nor a link (type %q)", h.Typeflag)
	}
	if h.Typeflag != tar.TypeReg && h.Size != 0 {
		return no("only a plain file has a content")
	}
	c.kinds[name] = h.Typeflag
	return nil
}

// isID tells whether a number can be the id of a user or a group; the last one
// means none.
func isID(n int) bool { return n >= 0 && int64(n) < math.MaxUint32 }

// count reads a file of size bytes, and counts what it takes.
func (c *entryCheck) count(ctx context.Context, r io.Reader, size int64, each func(at int64, data []byte) error) error {
	taken, err := readBlocks(ctx, r, size, each)
	c.space.Bytes += taken
	return err
}

// whole refuses an archive that has ended without all disks.
func (c *entryCheck) whole() error {
	for _, n := range c.nodes {
		for _, part := range diskParts() {
			if c.kinds[n+"/"+part] == 0 {
				return &machine.EntryError{Path: n + "/" + part, Why: "this is missing"}
			}
		}
	}
	return nil
}

// readDisks reads an archive to its end, and checks all of it. Where into is not
// nil, it unpacks it there.
func readDisks(ctx context.Context, o machine.Observer, nodes []string, space machine.DiskSpace, r io.Reader, into *unpacker) error {
	check, archive, before, what := newEntryCheck(nodes), tar.NewReader(r), "", "checking its disk"
	if into != nil {
		what = "importing its disk"
	}
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if err := check.admit(h); err != nil {
			return err
		}
		if node, _, _ := strings.Cut(h.Name, "/"); node != before {
			before = node
			o.Begin(node, what)
		}
		var file *os.File
		var each func(int64, []byte) error
		if into != nil {
			if file, err = into.make(h); err != nil {
				return fmt.Errorf("%s: %w", h.Name, err)
			}
		}
		if file != nil {
			each = func(at int64, data []byte) error {
				_, err := file.WriteAt(data, at)
				return err
			}
		}
		err = check.count(ctx, archive, h.Size, each)
		if err == nil && (check.space.Bytes > space.Bytes || check.space.Files > space.Files) {
			err = &machine.EntryError{Path: h.Name, Why: "the files take more than the manifest says"}
		}
		if file != nil {
			err = errors.Join(err, into.finish(file, h))
		}
		if err != nil {
			return err
		}
	}
	if err := check.whole(); err != nil {
		return err
	}
	if check.space != space {
		return &machine.EntryError{Path: "manifest", Why: fmt.Sprintf("it says %+v, and the disks take %+v", space, check.space)}
	}
	if n, err := io.Copy(io.Discard, r); n > 0 || err != nil {
		return errors.Join(err, errors.New("something comes after the disks"))
	}
	if into != nil {
		return into.settle()
	}
	return nil
}

// CheckImport reads an archive of disks.
func (s snapshots) CheckImport(ctx context.Context, o machine.Observer, space machine.DiskSpace, r io.Reader) error {
	if err := s.place.verify(); err != nil {
		return err
	}
	if err := s.roomFor("import a snapshot", usage{bytes: space.Bytes, files: space.Files}); err != nil {
		return err
	}
	return readDisks(ctx, o, s.lab.NodeNames(), space, r, nil)
}

// ImportSnapshot makes a snapshot of an archive of disks. The lab's own key opens
// its nodes, and no key that was in the archive.
func (s snapshots) ImportSnapshot(ctx context.Context, o machine.Observer, one machine.Snapshot, space machine.DiskSpace, r io.Reader) error {
	if err := s.begin(ctx, one.Name); err != nil {
		return err
	}
	if _, err := s.read(one.Name); !errors.Is(err, machine.ErrNoSnapshot) {
		if err == nil {
			err = fmt.Errorf("%s: %w", one.Name, machine.ErrSnapshotExists)
		}
		return err
	}
	key, err := s.authorizedKey()
	if err != nil {
		return err
	}
	to := s.snapshotPath(one.Name)
	for _, ready := range []func() error{
		func() error { return one.Fits(s.lab) },
		s.place.claim,
		s.disks.prepare,
		func() error {
			return s.roomFor("import snapshot "+one.Name, usage{bytes: space.Bytes, files: space.Files})
		},
		func() error { return os.MkdirAll(s.snapshotPath(), 0o755) },
		func() error { return os.Mkdir(to, 0o700) },
	} {
		if err := ready(); err != nil {
			return err
		}
	}
	err = unpackDisks(ctx, o, to, one.Nodes, space, r)
	if err == nil {
		err = s.maker.adopt(to, one.Nodes, key)
	}
	if err == nil {
		err = syncAll(to)
	}
	if err != nil {
		if ctx.Err() == nil { // else whoever touches the disks next removes it
			err = errors.Join(err, removeTree(to))
			_ = os.Remove(s.snapshotPath()) // where there is no other
		}
		return err
	}
	return writeRecord(s.snapshotPath(one.Name+recordSuffix), one)
}

// unpackDisks makes the disks of nodes in an empty folder.
func unpackDisks(ctx context.Context, o machine.Observer, to string, nodes []string, space machine.DiskSpace, r io.Reader) error {
	root, err := openOwned(to)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, n := range nodes {
		dk := disk{filepath.Join(to, n)}
		if err := errors.Join(os.Mkdir(dk.dir, diskMode), os.Mkdir(dk.work(), 0o700)); err != nil {
			return err
		}
	}
	into := &unpacker{root: root}
	defer into.close()
	return readDisks(ctx, o, nodes, space, r, into)
}

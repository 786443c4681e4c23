package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/trouble"
)

// place is the folders in which root keeps a lab: Config.Dir, and the lab's own
// below /run/dcalab. What root reads, mounts, writes or removes for the lab is in
// there, where only root can put it. Every method of the Driver verifies this
// before it does anything: each folder on the way is opened without following a
// link, is root's, and nobody else may write to it. So nothing below can be
// swapped, and paths may be used from there on.
type place struct {
	dir  string
	mine Place // the record as it should be, apart from Created
}

func newPlace(cfg Config) place {
	return place{cfg.Dir, Place{
		Format: placeFormat, ID: cfg.ID, Lab: cfg.Lab.Name, UID: cfg.UID, Root: cfg.Root, Config: cfg.Config, Subnet: cfg.Lab.Subnet.String(),
	}}
}

// runtimeDir is the folder below /run/dcalab of the lab with that id, or a path in it.
func runtimeDir(id string, elem ...string) string {
	return filepath.Join(append([]string{runtimeRoot, id}, elem...)...)
}

const (
	runtimeRoot = "/run/dcalab"
	placeRecord = "lab.json"
	placeFormat = 1
	// placeMode lets others see which nodes there are, and no more.
	placeMode = 0o755
	// recordMax bounds what is read of a record, in bytes.
	recordMax = 1 << 16
)

// openOwned opens a folder of root's in one of root's, only to look up names in
// it. Absence is ENOENT.
func openOwned(path string) (*os.File, error) {
	parent, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := owned(parent); err != nil {
		return nil, err
	}
	fd, err := unix.Openat(int(parent.Fd()), filepath.Base(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	if err := owned(dir); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// owned refuses a file or folder that anybody other than root may change.
func owned(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	switch {
	case st.Uid != 0 && !unmapped(st.Uid):
		return fmt.Errorf("%s belongs to another user than root (uid %d)", f.Name(), st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("other users than root may write to %s (mode %04o)", f.Name(), st.Mode&0o7777)
	}
	return nil
}

// unmapped tells whether a uid is what an ordinary user in a user namespace is
// shown for all users who have no uid there: the host's root is one of them
// (user_namespaces(7)).
func unmapped(uid uint32) bool {
	return os.Geteuid() != 0 && strings.TrimSpace(readText("/proc/sys/kernel/overflowuid")) == strconv.Itoa(int(uid)) &&
		strings.Join(strings.Fields(readText("/proc/self/uid_map")), " ") != "0 0 4294967295"
}

// verify checks that the lab's folders belong to root, and the lab to the user
// that dcalab runs for. Folders that do not exist are no error.
func (p place) verify() error {
	at := runtimeDir(p.mine.ID)
	run, err := openOwned(at)
	if err == nil {
		err = run.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return distrusted(at, err)
	}
	found, err := readPlace(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return p.unrecorded()
	}
	if err != nil {
		return distrusted(p.dir, err)
	}
	// A user who has no uid in a user namespace has no rights there either.
	if (found.UID == p.mine.UID || unmapped(uint32(p.mine.UID))) && found.Lab == p.mine.Lab {
		return nil
	}
	return &trouble.Error{
		ID: "place-not-yours", What: "lab " + p.mine.Lab + " is not touched",
		Why:  fmt.Sprintf("its id, %s, is that of lab %s of the user with uid %d, in %s", p.mine.ID, found.Lab, found.UID, found.Root),
		Next: []string{"if this folder is a copy, or came from somebody else, move its .dcalab away and make a lab of your own: dcalab up"},
		Exit: trouble.ExitRefused,
	}
}

// unrecorded accepts a folder without a record, if nothing else is in it: Up or
// Destroy was interrupted.
func (p place) unrecorded() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return distrusted(p.dir, err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return distrusted(p.dir, errors.New("it has no "+placeRecord+", and "+e.Name()+" is in it"))
		}
	}
	return nil
}

func distrusted(path string, err error) error {
	return &trouble.Error{
		ID: "place-not-trusted", What: path + " is not used", Why: err.Error(), Err: err,
		Next: []string{"see whose it is, and what for: ls -la " + path, "what somebody else put there has to go: only root may write there"},
		Exit: trouble.ExitRefused,
	}
}

// readPlace reads the record in a lab's folder of root's. Absence, of the
// folder or of the record, is fs.ErrNotExist.
func readPlace(dir string) (Place, error) {
	at, err := openOwned(dir)
	if err != nil {
		return Place{}, err
	}
	defer at.Close()
	// O_NONBLOCK: a pipe is refused below, not waited for.
	fd, err := unix.Openat(int(at.Fd()), placeRecord, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return Place{}, &fs.PathError{Op: "open", Path: filepath.Join(dir, placeRecord), Err: err}
	}
	f := os.NewFile(uintptr(fd), filepath.Join(dir, placeRecord))
	defer f.Close()
	if err := owned(f); err != nil {
		return Place{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return Place{}, err
	}
	if !info.Mode().IsRegular() {
		return Place{}, fmt.Errorf("%s is not a plain file", f.Name())
	}
	data, err := io.ReadAll(io.LimitReader(f, recordMax))
	if err != nil {
		return Place{}, err
	}
	p, err := parsePlace(data)
	if err != nil {
		return Place{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return p, nil
}

// parsePlace reads the record in a lab's folder of root's.
func parsePlace(data []byte) (Place, error) {
	var p Place
	if err := json.Unmarshal(data, &p); err != nil {
		return Place{}, err
	}
	if p.Format < 1 || p.Format > placeFormat {
		return Place{}, fmt.Errorf("it has format %d, and this dcalab knows %d", p.Format, placeFormat)
	}
	return p, nil
}

// claim makes the lab's folders, with the record of whose they are. As long as
// the one below /run exists, no other lab's destroy removes what labs share.
func (p place) claim() error {
	if err := p.verify(); err != nil {
		return err
	}
	if err := makeShared(runtimeDir(p.mine.ID), 0o711); err != nil {
		return err
	}
	if err := makeShared(p.dir, placeMode); err != nil {
		return err
	}
	if err := p.verify(); err != nil { // again, what exists now
		return err
	}
	return p.record()
}

// update is verify for what changes the lab: the record gets the lab's present
// location, if the lab was moved.
func (p place) update() error {
	if err := p.verify(); err != nil {
		return err
	}
	if _, err := readPlace(p.dir); err != nil || os.Geteuid() != 0 {
		return nil //nolint:nilerr // nothing of the lab exists; verify has looked
	}
	return p.record()
}

// record writes down whose the lab is and where, if that has changed.
func (p place) record() error {
	now := p.mine
	old, err := readPlace(p.dir)
	switch {
	case err == nil:
		if now.Created = old.Created; now == old {
			return nil
		}
	case errors.Is(err, fs.ErrNotExist):
		now.Created = time.Now().UTC().Truncate(time.Second)
	default:
		return err
	}
	return writeRecord(filepath.Join(p.dir, placeRecord), now)
}

// writeRecord replaces a file with v as JSON, in one step and durably.
func writeRecord(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // renamed already when all went well
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// remove removes Config.Dir, its record last: what an interruption leaves is
// still known to be the lab's.
func (p place) remove() error {
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != placeRecord {
			if err := removeTree(filepath.Join(p.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return removeTree(p.dir)
}

// Places lists, by id, the labs of all users of which root keeps anything on this
// machine. Those whose record cannot be read are left out.
func Places() map[string]Place { return placesIn(Ground) }

func placesIn(ground string) map[string]Place {
	out := map[string]Place{}
	entries, _ := os.ReadDir(ground) // none without such a folder
	for _, e := range entries {
		if p, err := readPlace(filepath.Join(ground, e.Name())); err == nil && p.ID == e.Name() {
			out[p.ID] = p
		}
	}
	return out
}

// Leftovers lists, by id, labs that run and of which root has no record: an
// earlier dcalab made them, or the records were lost. Their owner is that of the
// folder of a node's socket (for root only), their location in the bridge's alias.
func Leftovers(recorded map[string]Place) map[string]Place {
	out := map[string]Place{}
	entries, _ := os.ReadDir(runtimeRoot)
	for _, e := range entries {
		id := e.Name()
		if _, ok := recorded[id]; ok || !e.IsDir() || len(id) != 12 || strings.Trim(id, "0123456789abcdef") != "" {
			continue
		}
		p := Place{ID: id, Lab: "of id " + id, UID: -1}
		sockets, _ := filepath.Glob(filepath.Join(runtimeRoot, id, "*", "run"))
		for _, at := range sockets {
			var st unix.Stat_t
			if unix.Lstat(at, &st) == nil {
				p.UID = int(st.Uid)
			}
		}
		if link, err := netlink.LinkByName((network{id: id}).bridge()); err == nil {
			if name, root, ok := parseAlias(link.Attrs().Alias); ok {
				p.Lab, p.Root = name, root
			}
		}
		if filepath.IsAbs(p.Root) { // else its folder cannot be found
			out[id] = p
		}
	}
	return out
}

// parseAlias reads the alias of a lab's bridge: the lab's name and the folder
// that it was made in. An alias that the kernel cut has neither.
func parseAlias(alias string) (name, root string, ok bool) {
	rest, ours := strings.CutPrefix(alias, aliasPrefix)
	name, at, ok := strings.Cut(rest, " in ")
	if !ours || !ok || name == "" || len(alias) >= aliasMax {
		return "", "", false
	}
	return name, strings.TrimSuffix(at, "/.dcalab/"+name), true
}

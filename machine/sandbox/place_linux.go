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

// What root reads, mounts, writes or removes for a lab lies in Config.Dir and
// below /run/dcalab, where only root can put it. Every method makes sure of it
// (trust) before it does anything: each folder on the way is opened without
// following a link, is root's, and nobody else may write to it. So nothing of
// what is below can be swapped, and paths may be used from there on.

const (
	placeRecord = "lab.json"
	placeFormat = 1
	// placeMode lets others see which nodes there are, and no more.
	placeMode = 0o755
	// recordMax bounds what is read of a record, in bytes.
	recordMax = 1 << 16
)

// openOwned opens a folder of root's below one of root's, for looking up names
// in it only. Absence is ENOENT.
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

// owned refuses a file or folder that anybody but root may change.
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
	return os.Geteuid() != 0 && strings.TrimSpace(readFirst("/proc/sys/kernel/overflowuid")) == strconv.Itoa(int(uid)) &&
		strings.Join(strings.Fields(readFirst("/proc/self/uid_map")), " ") != "0 0 4294967295"
}

// trust makes sure that the lab's folders of root's are root's, and the lab's
// of the user that dcalab runs for. Folders that are not there are no error.
func (d *Driver) trust() error {
	run, err := openOwned(d.runtime())
	switch {
	case err == nil:
		err = run.Close()
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return distrusted(d.runtime(), err)
	}
	p, err := readPlace(d.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return d.unrecorded()
	}
	if err != nil {
		return distrusted(d.cfg.Dir, err)
	}
	// Who has no uid in a user namespace has no right there either.
	if (p.UID == d.cfg.UID || unmapped(uint32(d.cfg.UID))) && p.Lab == d.cfg.Lab.Name {
		return nil
	}
	return &trouble.Error{
		ID: "place-not-yours", What: "lab " + d.cfg.Lab.Name + " is not touched",
		Why:  fmt.Sprintf("its id, %s, is that of lab %s of the user with uid %d, in %s", d.cfg.ID, p.Lab, p.UID, p.Root),
		Next: []string{"if this folder is a copy, or came from somebody else, move its .dcalab away and make a lab of your own: dcalab up"},
		Exit: trouble.ExitRefused,
	}
}

// unrecorded lets pass a folder that has no record, where nothing else is in
// it: Up or Destroy was cut short.
func (d *Driver) unrecorded() error {
	entries, err := os.ReadDir(d.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return distrusted(d.cfg.Dir, err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return distrusted(d.cfg.Dir, errors.New("it has no "+placeRecord+", and "+e.Name()+" is in it"))
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
	// O_NONBLOCK: a pipe is not waited for, it is refused below.
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

// claim makes the lab's folders of root's, with the record of whose they are.
// As long as the one below /run is there, no other lab's destroy takes away
// what all labs share.
func (d *Driver) claim() error {
	if err := d.trust(); err != nil {
		return err
	}
	for _, dir := range []struct {
		path string
		mode uint32
	}{{d.runtime(), 0o711}, {d.cfg.Dir, placeMode}} {
		if err := makeShared(dir.path, dir.mode); err != nil {
			return err
		}
	}
	if err := d.trust(); err != nil { // again, of what is there now
		return err
	}
	return d.record()
}

// makeShared makes a lab's folder in one that labs share. The last lab to go
// removes that one, perhaps in this very moment.
func makeShared(path string, mode uint32) error {
	for {
		shared := filepath.Dir(path)
		if err := os.MkdirAll(shared, 0o755); err != nil {
			return err
		}
		dir, err := lockedDir(shared, unix.LOCK_SH)
		if err == nil {
			err = unix.Mkdirat(int(dir.Fd()), filepath.Base(path), mode)
			dir.Close()
		}
		switch {
		case err == nil, errors.Is(err, unix.EEXIST):
			return nil
		case errors.Is(err, unix.ENOENT):
		default:
			return fmt.Errorf("make %s: %w", path, err)
		}
	}
}

// follow is trust for what changes the lab: root learns where it is now, if it
// was moved.
func (d *Driver) follow() error {
	if err := d.trust(); err != nil {
		return err
	}
	if _, err := readPlace(d.cfg.Dir); err != nil || os.Geteuid() != 0 {
		return nil //nolint:nilerr // there is nothing of the lab's; trust has looked
	}
	return d.record()
}

// record writes down whose the lab is and where, if that is news.
func (d *Driver) record() error {
	p := Place{
		Format: placeFormat, ID: d.cfg.ID, Lab: d.cfg.Lab.Name, UID: d.cfg.UID, Root: d.cfg.Root, Config: d.cfg.Config,
		Subnet: d.cfg.Lab.Subnet.String(), Created: time.Now().UTC().Truncate(time.Second),
	}
	old, err := readPlace(d.cfg.Dir)
	if err == nil {
		if p.Created = old.Created; p == old {
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(d.cfg.Dir, "."+placeRecord+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(d.cfg.Dir, placeRecord)); err != nil {
		return err
	}
	return syncDir(d.cfg.Dir)
}

// unclaim removes the lab's folder of root's: the record after everything else,
// so that what is left after an interruption is still known to be the lab's.
func (d *Driver) unclaim() error {
	entries, err := os.ReadDir(d.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != placeRecord {
			if err := removeDisk(filepath.Join(d.cfg.Dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return removeDisk(d.cfg.Dir)
}

// Places lists the labs of every user of this machine that root keeps anything
// of, by id. What it cannot read it leaves out.
func Places() map[string]Place { return placesIn(Ground) }

func placesIn(ground string) map[string]Place {
	out := map[string]Place{}
	entries, _ := os.ReadDir(ground) // none where there is no such folder
	for _, e := range entries {
		if p, err := readPlace(filepath.Join(ground, e.Name())); err == nil && p.ID == e.Name() {
			out[p.ID] = p
		}
	}
	return out
}

// Leftovers lists, by id, labs that run and of which root has no record: an
// earlier dcalab made them, or the records were lost. Whose they are tells the
// folder of a node's socket, to root; where they were made, the bridge's alias.
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
		if link, err := netlink.LinkByName((&Driver{cfg: Config{ID: id}}).bridge()); err == nil {
			if name, root, ok := parseAlias(link.Attrs().Alias); ok {
				p.Lab, p.Root = name, root
			}
		}
		if filepath.IsAbs(p.Root) { // else nobody knows where to look for its folder
			out[id] = p
		}
	}
	return out
}

// parseAlias reads what the alias of a lab's bridge tells: the lab's name and
// the folder that it was made in. One that was too long for the kernel ends
// anywhere, and tells neither.
func parseAlias(alias string) (name, root string, ok bool) {
	rest, ours := strings.CutPrefix(alias, aliasPrefix)
	name, at, ok := strings.Cut(rest, " in ")
	if !ours || !ok || name == "" || len(alias) >= aliasMax {
		return "", "", false
	}
	return name, strings.TrimSuffix(at, "/.dcalab/"+name), true
}

package lab

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// indexFormat is the version of the files of the index.
const indexFormat = 2

// Place is where a lab is kept.
type Place struct {
	Format int `json:"format"`
	// Root is the folder whose .dcalab holds the lab's state, absolute.
	Root string `json:"root"`
	Lab  string `json:"lab"`
	// Config is the labs.yaml that the lab was made from, absolute; empty for
	// the built-in one.
	Config string `json:"config,omitempty"`
	// ID of the lab; empty in an entry of the first format.
	ID string `json:"id,omitempty"`
}

// Index remembers in which folders this user made labs, and with which ids: a
// state folder whose id it does not know was not made here (State.Vouch). The
// truth about a lab is in its own folder. An entry without a record there is
// not listed; with an id it is kept, since the folder may have been moved.
//
// It is a folder with a file for each lab, written by renaming. So two dcalab
// that write at the same time need no lock and lose nothing, and a file that is
// broken costs one entry.
type Index struct {
	// base exists, or is made; only below it may root write for a user, and no
	// link leads out of it (os.Root). below is the index's folder in it.
	base, below string
	owner       Owner
}

// OpenIndex gives the index of the user that dcalab runs for, in their folder
// for state: $XDG_STATE_HOME/dcalab or ~/.local/state/dcalab; on macOS
// ~/Library/Application Support/dcalab; on Windows %LOCALAPPDATA%\dcalab. It
// creates nothing.
func OpenIndex(getenv func(string) string, owner Owner) (*Index, error) {
	home, err := os.UserHomeDir()
	if owner != (Owner{}) {
		var u *user.User
		if u, err = user.LookupId(strconv.Itoa(owner.UID)); err == nil {
			home = u.HomeDir
		}
	}
	if err != nil {
		return nil, fmt.Errorf("find the index of labs: %w", err)
	}
	const labs = "labs"
	x := &Index{owner: owner}
	switch xdg := getenv("XDG_STATE_HOME"); {
	case filepath.IsAbs(xdg):
		x.base, x.below = xdg, "dcalab/"+labs
	case runtime.GOOS == "darwin":
		x.base, x.below = home, "Library/Application Support/dcalab/"+labs
	case runtime.GOOS == "windows" && getenv("LOCALAPPDATA") != "":
		x.base, x.below = getenv("LOCALAPPDATA"), "dcalab/"+labs
	default:
		x.base, x.below = home, ".local/state/dcalab/"+labs
	}
	return x, nil
}

// Dir is the folder of the index. It may not exist yet.
func (x *Index) Dir() string { return filepath.Join(x.base, filepath.FromSlash(x.below)) }

// Real is the place by the real path of its folder, which tells labs apart: one
// whose folder is reached through links too is one lab. The entries of the
// index are real. A path that cannot be followed stays as it is.
func (p Place) Real() Place {
	root, err := filepath.EvalSymlinks(p.Root)
	if err != nil {
		return p
	}
	// labs.yaml may itself be a link: its folder is that of the state all the same.
	if p.Config != "" && filepath.Dir(p.Config) == p.Root {
		p.Config = filepath.Join(root, filepath.Base(p.Config))
	}
	p.Root = root
	return p
}

// name of the file of a lab: by its folder, so that a lab has one entry
// whatever becomes of its file's content.
func (p Place) name() string {
	sum := sha256.Sum256([]byte(filepath.Join(p.Root, StateFolder, p.Lab)))
	return hex.EncodeToString(sum[:8]) + ".json"
}

// Add puts a lab into the index, in place of what was known of it.
func (x *Index) Add(p Place) error {
	p = p.Real()
	p.Format = indexFormat
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("add lab %s to the index of labs: %w", p.Lab, err)
	}
	dir, err := x.open(true)
	if err != nil {
		return fmt.Errorf("add lab %s to the index of labs: %w", p.Lab, err)
	}
	defer dir.Close()
	if err := (writer{owner: x.owner}).write(dir, p.name(), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("add lab %s to the index of labs: %w", p.Lab, err)
	}
	return nil
}

// Remove takes a lab out of the index; one that is not there is no error.
func (x *Index) Remove(p Place) error {
	p = p.Real()
	dir, err := x.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take lab %s out of the index of labs: %w", p.Lab, err)
	}
	defer dir.Close()
	if err := dir.Remove(p.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take lab %s out of the index of labs: %w", p.Lab, err)
	}
	return nil
}

// Places gives the labs of the index, ordered by folder and name, and repairs it
// on the way: what is no entry, and entries of labs that exist no more, are
// removed, and those that an earlier dcalab made under a path with links in it
// are moved to the real one. Notes say what was broken; the rest is nothing to
// tell.
func (x *Index) Places() (places []Place, notes []string, err error) {
	dir, err := x.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the index of labs: %w", err)
	}
	defer dir.Close()
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return nil, nil, fmt.Errorf("read the index of labs: %w", err)
	}
	var aliases []Place
	for _, e := range entries {
		// One that is being written has another ending.
		if path.Ext(e.Name()) != ".json" {
			continue
		}
		p, verdict := x.entry(dir, e.Name())
		switch verdict {
		case entryGood:
			if p.Real().name() != e.Name() {
				aliases = append(aliases, p)
			} else {
				places = append(places, p)
			}
		case entryGone:
			if p.ID == "" {
				_ = dir.Remove(e.Name()) // another dcalab may have done so
			}
		case entryBroken:
			notes = append(notes, fmt.Sprintf("%s was no entry of the index of labs, and is removed; its lab comes back into the list with dcalab list or dcalab up in its folder",
				filepath.Join(x.Dir(), e.Name())))
			_ = dir.RemoveAll(e.Name())
		case entryNewer:
			notes = append(notes, filepath.Join(x.Dir(), e.Name())+" was written by a newer dcalab, and is left out")
		}
	}
	for _, p := range aliases {
		r := p.Real()
		if !slices.ContainsFunc(places, func(known Place) bool { return known.name() == r.name() }) {
			places = append(places, r)
			if x.Add(r) != nil {
				continue // it is still known by the other name
			}
		}
		_ = dir.Remove(p.name())
	}
	slices.SortFunc(places, func(a, b Place) int {
		return cmp.Or(strings.Compare(a.Root, b.Root), strings.Compare(a.Lab, b.Lab))
	})
	return places, notes, nil
}

// Known gives the places at which the index remembers a lab with that id. A
// lab that is at its place in an entry of the first format, which has no ids,
// is taken for the one that was meant.
func (x *Index) Known(id string, at Place) ([]Place, error) {
	at = at.Real()
	dir, err := x.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the index of labs: %w", err)
	}
	defer dir.Close()
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("read the index of labs: %w", err)
	}
	var known []Place
	for _, e := range entries {
		if path.Ext(e.Name()) != ".json" {
			continue
		}
		data, err := readPlain(dir, e.Name())
		if err != nil {
			continue // Places tells of it
		}
		p, verdict := parsePlace(data)
		if verdict != entryGood {
			continue
		}
		there := p.Real()
		if p.ID == id || p.ID == "" && there.Root == at.Root && there.Lab == at.Lab {
			known = append(known, p)
		}
	}
	return known, nil
}

// entryVerdict is what an entry of the index is worth.
type entryVerdict int

const (
	entryGood entryVerdict = iota
	entryGone
	entryBroken
	entryNewer
)

func (x *Index) entry(dir *os.Root, name string) (Place, entryVerdict) {
	data, err := readPlain(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return Place{}, entryGone
	}
	if err != nil {
		return Place{}, entryBroken
	}
	p, verdict := parsePlace(data)
	if verdict != entryGood {
		return p, verdict
	}
	if p.name() != name {
		return p, entryBroken
	}
	state, err := OpenState(p.Root, p.Lab, x.owner)
	if err == nil {
		// A record that cannot be read is one all the same: list tells of it.
		if _, err = state.ReadFile(recordFile); err == nil {
			return p, entryGood
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return p, entryGone
	}
	return p, entryGood
}

// parsePlace reads one entry.
func parsePlace(data []byte) (Place, entryVerdict) {
	var p Place
	switch err := json.Unmarshal(data, &p); {
	case err != nil:
		return Place{}, entryBroken
	case p.Format > indexFormat:
		return p, entryNewer
	case p.Format < 1 || p.Lab == "" || p.Lab == "." || !filepath.IsLocal(p.Lab) || strings.ContainsAny(p.Lab, `/\`) ||
		!filepath.IsAbs(p.Root) || p.Config != "" && !filepath.IsAbs(p.Config):
		return Place{}, entryBroken
	}
	return p, entryGood
}

// open opens the index's folder and, if asked, makes it, and the ones above.
// Absence is fs.ErrNotExist.
func (x *Index) open(create bool) (*os.Root, error) {
	if create && x.owner == (Owner{}) {
		if err := os.MkdirAll(x.base, 0o700); err != nil {
			return nil, err
		}
	}
	base, err := os.OpenRoot(x.base)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	if x.owner != (Owner{}) {
		// A variable of the environment says where root is to write.
		info, err := base.Stat(".")
		if err != nil {
			return nil, err
		}
		if !belongs(info, x.owner) {
			return nil, fmt.Errorf("%s is not the folder of the user that dcalab runs for", x.base)
		}
	}
	at := ""
	for elem := range strings.SplitSeq(x.below, "/") {
		at = path.Join(at, elem)
		if !create {
			continue
		}
		err := base.Mkdir(at, 0o700)
		if err == nil && x.owner != (Owner{}) {
			err = base.Lchown(at, x.owner.UID, x.owner.GID)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return base.OpenRoot(x.below)
}

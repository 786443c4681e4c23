package session

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/drivers"
	"github.com/dcalab/dcalab/trouble"
)

// OrphanedLabs are the labs of this user, or for root of all users, that no
// folder holds any more: their .dcalab was removed while machines existed.
// Drivers tell that keep a record of their own.
func (set Settings) OrphanedLabs() []drivers.Remembered {
	me := uid(set.User)
	index, err := lab.OpenIndex(set.getenv, set.User)
	if err != nil {
		index = nil
	}
	var out []drivers.Remembered
	for _, r := range drivers.AllRemembered() {
		if r.UID != me && me != 0 {
			continue
		}
		o := set.User
		if me == 0 && r.UID != 0 {
			o = lab.Owner{UID: r.UID, GID: r.UID} // it is only read
		}
		at := lab.Place{Root: r.Root, Lab: r.Lab}
		candidates := []lab.Place{at}
		if index != nil {
			known, _ := index.Known(r.ID, at)
			for _, k := range known {
				r.Root, r.Config = k.Root, k.Config // the driver has not met a moved one yet
			}
			candidates = append(candidates, known...)
		}
		if !slices.ContainsFunc(candidates, func(c lab.Place) bool { return holds(c, r.ID, o) }) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(x, y drivers.Remembered) int {
		return cmp.Or(strings.Compare(x.Root, y.Root), strings.Compare(x.Lab, y.Lab), strings.Compare(x.ID, y.ID))
	})
	return out
}

// OpenOrphaned opens a lab that no folder holds: it has a driver, and no state.
func (set Settings) OpenOrphaned(r drivers.Remembered) (*Session, error) {
	l := &lab.Lab{Name: r.Lab}
	if subnet, err := netip.ParsePrefix(r.Subnet); err == nil {
		l.Subnet = subnet
	}
	p := Parts{File: &lab.File{Default: r.Lab}, Lab: l, Owner: lab.Owner{UID: r.UID}, Created: true}
	var err error
	p.Driver, err = drivers.Find(r.Driver).New(drivers.Config{Lab: l, ID: r.ID, Place: r.Place, Owner: p.Owner, UID: r.UID, Getenv: set.getenv})
	if err != nil {
		return nil, err
	}
	return Of(set, p), nil
}

// ForgetOrphaned takes one out of the index of labs, which is a convenience.
func (set Settings) ForgetOrphaned(r drivers.Remembered) {
	index, err := lab.OpenIndex(set.getenv, set.User)
	if err != nil {
		return
	}
	known, _ := index.Known(r.ID, lab.Place{Root: r.Root, Lab: r.Lab})
	for _, k := range known {
		_ = index.Remove(k)
	}
}

// OrphanedHere is an orphaned lab that was made in the folder of the session's
// lab, under its name.
func (s *OnDisk) OrphanedHere() (drivers.Remembered, bool) {
	here := s.Place().Real()
	for _, r := range s.settings.OrphanedLabs() {
		if r.Root == here.Root && r.Lab == here.Lab && r.UID == uid(s.owner) {
			return r, true
		}
	}
	return drivers.Remembered{}, false
}

// NotOrphaned refuses to make a lab beside the machines of one whose state was
// removed here.
func (s *OnDisk) NotOrphaned() error {
	if s.created {
		return nil
	}
	r, ok := s.OrphanedHere()
	if !ok {
		return nil
	}
	since := ""
	if !r.Created.IsZero() {
		since = "; they were made on " + r.Created.Local().Format("2006-01-02")
	}
	return &trouble.Error{
		ID: "lab-orphaned", What: "lab " + s.lab.Name, Exit: trouble.ExitRefused,
		Why:  "its machines still exist, but its state folder, " + s.state.Dir() + ", was removed" + since,
		Next: []string{"remove them, with all that is on them: dcalab prune", "or put that folder back, from a backup, and go on"},
	}
}

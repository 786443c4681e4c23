package session

import (
	"os"
	"path/filepath"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/drivers"
)

// Hold opens the state of a lab below root, as far as it may be trusted, and
// reads its record. Neither a driver is chosen, nor need anything of w be known
// yet. A lab whose folder is root's is root's, also for those who
// come through sudo. With an error it gives the session too, where there is a
// state to speak of.
func (set Settings) Hold(w Wanted, root, name string) (_ *Session, err error) {
	s := &Session{OnDisk: OnDisk{settings: set, owner: set.User, file: w.File, lab: w.Lab, overrides: w.Overrides}}
	if s.state, err = lab.OpenState(root, name, s.owner); err != nil {
		return nil, err
	}
	if s.owner != (lab.Owner{}) && s.state.RootOwned() {
		s.owner = lab.Owner{}
		if s.state, err = lab.OpenState(root, name, s.owner); err != nil {
			return nil, err
		}
	}
	if err := s.state.Check(); err != nil {
		return s, err
	}
	record, created, err := s.state.ReadRecord()
	if err == nil && created {
		err = s.vouch(record)
	}
	if err != nil {
		return s, err
	}
	s.record, s.created = record, created
	return s, nil
}

// vouch refuses a lab that this machine did not make. What was moved is
// followed.
func (s *OnDisk) vouch(r lab.Record) error {
	here := s.Place()
	here.ID = r.ID
	// Without an index, the driver's own record is left, where it has one.
	index, err := lab.OpenIndex(s.settings.getenv, s.owner)
	var known []lab.Place
	if err == nil {
		known, _ = index.Known(r.ID, here)
	}
	remembered := known
	if knows := drivers.Find(r.Driver).Knows; knows != nil {
		if p, ok := knows(r.ID, r.Lab, uid(s.owner)); ok {
			known = append(known, p)
		}
	}
	moved, err := s.state.Vouch(r, known)
	if err != nil || index == nil || s.settings.ReadOnly {
		return err
	}
	// The index is repaired on the way; where that fails, up reports it.
	if moved || len(remembered) == 0 || remembered[0].ID == "" {
		if index.Add(here) == nil && moved {
			for _, p := range remembered {
				_ = index.Remove(p)
			}
		}
	}
	return nil
}

// holds tells whether the lab with that id is still in the folder of a place.
// What cannot be looked into may hold it.
func holds(p lab.Place, id string, o lab.Owner) bool {
	state, err := lab.OpenState(p.Root, p.Lab, o)
	if err != nil {
		return !gone(p.Root)
	}
	r, created, err := state.ReadRecord()
	if err != nil {
		return !gone(filepath.Join(p.Root, lab.StateFolder, p.Lab))
	}
	return created && r.ID == id
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}

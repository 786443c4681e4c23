package cmd

import (
	"os"
	"path/filepath"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/sandbox"
)

// hold opens the lab's state, as far as it may be trusted, and reads its
// record. A lab whose folder is root's is root's, also for those who come
// through sudo.
func (s *session) hold(root, name string) (err error) {
	if s.state, err = lab.OpenState(root, name, s.owner); err != nil {
		return err
	}
	if s.owner != (lab.Owner{}) && s.state.RootOwned() {
		s.owner = lab.Owner{}
		if s.state, err = lab.OpenState(root, name, s.owner); err != nil {
			return err
		}
	}
	if err := s.state.Check(); err != nil {
		return err
	}
	record, created, err := s.state.ReadRecord()
	if err == nil && created {
		err = s.vouch(record)
	}
	if err != nil {
		return err
	}
	s.record, s.created = record, created
	return nil
}

// vouch refuses a lab that this machine did not make. What was moved is
// followed.
func (s *session) vouch(r lab.Record) error {
	here := s.place()
	here.ID = r.ID
	// Without an index, root's record is left: it knows the sandbox's labs.
	index, err := lab.OpenIndex(os.Getenv, s.owner)
	var known []lab.Place
	if err == nil {
		known, _ = index.Known(r.ID, here)
	}
	remembered := known
	if r.Driver == lab.DriverSandbox {
		if p, ok := sandbox.Places()[r.ID]; ok && p.UID == s.uid() && p.Lab == r.Lab {
			known = append(known, lab.Place{Root: p.Root, Lab: p.Lab, Config: p.Config, ID: p.ID})
		}
	}
	moved, err := s.state.Vouch(r, known)
	if err != nil || index == nil || s.app.dryRun() {
		return err
	}
	// The index is mended on the way; where that fails, up tells of it.
	if moved || len(remembered) == 0 || remembered[0].ID == "" {
		if index.Add(here) == nil && moved {
			for _, p := range remembered {
				_ = index.Remove(p)
			}
		}
	}
	return nil
}

// uid is that of the user whom labs belong to.
func (s *session) uid() int {
	if s.owner != (lab.Owner{}) {
		return s.owner.UID
	}
	return os.Geteuid()
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

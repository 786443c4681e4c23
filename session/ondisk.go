package session

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/drivers"
	"github.com/dcalab/dcalab/trouble"
)

// OnDisk is what files tell of a lab: labs.yaml with what the settings override
// in it, the state folder, the record and the index of labs. Neither a driver
// nor a node is asked for it.
type OnDisk struct {
	settings  Settings
	file      *lab.File
	lab       *lab.Lab
	state     *lab.State
	owner     lab.Owner
	overrides map[string]string
	record    lab.Record
	created   bool
}

// Lab is the lab as it is to be: labs.yaml, and what the settings override.
func (s *OnDisk) Lab() *lab.Lab { return s.lab }

// File is the labs.yaml that it is in.
func (s *OnDisk) File() *lab.File { return s.file }

// State is its folder.
func (s *OnDisk) State() *lab.State { return s.state }

// Owner is who its state belongs to: under sudo, the user behind it.
func (s *OnDisk) Owner() lab.Owner { return s.owner }

// Record is what is on record of the lab; of one that does not exist, what would
// be. Created tells the two apart.
func (s *OnDisk) Record() lab.Record { return s.record }

// Created tells whether the lab has a record, so that something of it may exist.
func (s *OnDisk) Created() bool { return s.created }

// Overridden tells what a setting of labs.yaml ("driver", "provider") was
// overridden by; ok is false where labs.yaml is in force.
func (s *OnDisk) Overridden(setting string) (origin string, ok bool) {
	origin, ok = s.overrides[setting]
	return origin, ok
}

// uid is that of the user whom a lab belongs to.
func uid(o lab.Owner) int {
	if o != (lab.Owner{}) {
		return o.UID
	}
	return os.Geteuid()
}

// Place is where the lab is kept.
func (s *OnDisk) Place() lab.Place {
	p := lab.Place{Root: filepath.Dir(filepath.Dir(s.state.Dir())), Lab: filepath.Base(s.state.Dir()), ID: s.record.ID}
	if s.file != nil {
		p.Config = s.file.Path
	}
	return p
}

// MadeBy names the driver of the lab, with its provider where it has one.
func (s *OnDisk) MadeBy() string {
	if s.record.Provider != "" {
		return s.record.Driver + ", provider " + s.record.Provider
	}
	return s.record.Driver
}

// MustExist refuses what makes no sense for a lab that was never made.
func (s *OnDisk) MustExist() error {
	if s.created {
		return nil
	}
	e := &trouble.Error{
		ID: "lab-absent", What: "lab " + s.lab.Name, Why: "it has not been created here (" + filepath.Dir(filepath.Dir(s.state.Dir())) + ")",
		Next: []string{"bring it up: dcalab up"},
	}
	e.Next = append(e.Next, s.Neighbours()...)
	return e
}

// SameSubnet refuses to go on with machines that were made for another subnet
// than labs.yaml now gives the lab.
func (s *OnDisk) SameSubnet() error {
	if !s.created || s.record.Subnet == s.lab.Subnet.String() {
		return nil
	}
	return &trouble.Error{
		ID: "subnet-changed", What: "lab " + s.lab.Name,
		Why:  fmt.Sprintf("it was made in the subnet %s, and labs.yaml now says %s", s.record.Subnet, s.lab.Subnet),
		Next: []string{"put the subnet back in labs.yaml, or make the lab anew: dcalab destroy, dcalab up"}, Exit: trouble.ExitRefused,
	}
}

// Enter puts a lab that is about to be made on record. The caller holds the
// lock. The id is known before the folder has it: a record whose id is not
// known is not trusted, unless the driver knows its labs as well.
func (s *OnDisk) Enter() error {
	if err := s.Remember(); err != nil && drivers.Find(s.record.Driver).Knows == nil {
		return err
	}
	if err := s.state.WriteRecord(s.record); err != nil {
		return err
	}
	s.created = true
	return nil
}

// Dissolved puts the ids of swarms on record that the lab is to know again when
// a node comes back into one. The caller holds the lock.
func (s *OnDisk) Dissolved(ids ...string) error {
	s.record.Dissolve(ids...)
	return s.state.WriteRecord(s.record)
}

// Remember puts the lab into the index of labs, and Forget takes it out. The
// index is a convenience: what is wrong with it need only be told.
func (s *OnDisk) Remember() error { return s.inIndex((*lab.Index).Add) }

// Forget takes the lab out of the index of labs.
func (s *OnDisk) Forget() error { return s.inIndex((*lab.Index).Remove) }

func (s *OnDisk) inIndex(change func(*lab.Index, lab.Place) error) error {
	index, err := lab.OpenIndex(s.settings.getenv, s.owner)
	if err != nil {
		return err
	}
	return change(index, s.Place())
}

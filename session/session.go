// Package session is one opened lab: its settings, its state folder and
// record, its lock and log, its driver, the connections to its nodes and the
// engines there. Whoever holds a Session (the command line today) needs nothing
// else to work on a lab.
//
// It neither prints nor asks: what there is to tell is returned, or given to a
// function of the caller's. What a command does with a lab (bring it up, take a
// snapshot) is decided above it, and what a swarm is, below.
package session

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/drivers"
	"github.com/dcalab/dcalab/trouble"
)

// Session is one opened lab. Its methods may be called from several goroutines
// at once, but for Lock, Enter and what else writes the record.
type Session struct {
	settings  Settings
	file      *lab.File
	lab       *lab.Lab
	state     *lab.State
	owner     lab.Owner
	overrides map[string]string
	record    lab.Record
	created   bool
	driver    machine.Driver

	log  io.Writer // of the lock's holder; nil before Lock
	late sync.Mutex
	read io.Writer // of who only reads; nil before there is something to say

	once sync.Once
	pool *Pool // that of Conn and Each
}

// Open opens the lab that the settings mean. It reads the disk and nothing
// else: no node is asked, and no program started. Nothing is changed, but for
// the index of labs, which follows a lab that was moved.
func Open(set Settings) (*Session, error) {
	s, err := Describe(set)
	if err != nil {
		return s, err
	}
	return s, s.UseDriver()
}

// Describe is Open without a driver, for what touches no machine. Where it
// fails after it has found the lab's state, it gives the session as well, whose
// State and Place then tell where that is.
func Describe(set Settings) (*Session, error) {
	w, err := set.Wanted()
	if err != nil {
		return nil, err
	}
	root, err := set.Root(w.File)
	if err != nil {
		return nil, err
	}
	s, err := set.Hold(w, root, w.Lab.Name)
	if err != nil {
		return nil, err
	}
	driver, err := s.ChooseDriver()
	if err != nil {
		return s, err
	}
	if !s.created {
		s.record = s.newRecord(driver)
	}
	return s, nil
}

// Parts are what a session can be made of without opening a lab: one of which
// only root's record is left, or whose parts a test has made.
type Parts struct {
	File    *lab.File
	Lab     *lab.Lab
	State   *lab.State
	Owner   lab.Owner
	Record  lab.Record
	Created bool
	Driver  machine.Driver
}

// Of makes a session of parts. Whatever is needed of a part that is missing
// panics.
func Of(set Settings, p Parts) *Session {
	return &Session{
		settings: set, file: p.File, lab: p.Lab, state: p.State, owner: p.Owner,
		record: p.Record, created: p.Created, driver: p.Driver, overrides: map[string]string{},
	}
}

// Parts gives what the session is made of.
func (s *Session) Parts() Parts {
	return Parts{s.file, s.lab, s.state, s.owner, s.record, s.created, s.driver}
}

// Lab is the lab as it is to be: labs.yaml, and what the settings override.
func (s *Session) Lab() *lab.Lab { return s.lab }

// File is the labs.yaml that it is in.
func (s *Session) File() *lab.File { return s.file }

// State is its folder.
func (s *Session) State() *lab.State { return s.state }

// Driver runs its machines. Lock may put another in its place.
func (s *Session) Driver() machine.Driver { return s.driver }

// Owner is who its state belongs to: under sudo, the user behind it.
func (s *Session) Owner() lab.Owner { return s.owner }

// Record is what is on record of the lab; of one that does not exist, what would
// be. Created tells the two apart.
func (s *Session) Record() lab.Record { return s.record }

// Created tells whether the lab has a record, so that something of it may exist.
func (s *Session) Created() bool { return s.created }

// Overridden tells what a setting of labs.yaml ("driver", "provider") was
// overridden by; ok is false where labs.yaml is in force.
func (s *Session) Overridden(setting string) (origin string, ok bool) {
	origin, ok = s.overrides[setting]
	return origin, ok
}

// UID is that of the user whom the lab belongs to.
func (s *Session) UID() int { return uid(s.owner) }

func uid(o lab.Owner) int {
	if o != (lab.Owner{}) {
		return o.UID
	}
	return os.Geteuid()
}

// Place is where the lab is kept.
func (s *Session) Place() lab.Place {
	p := lab.Place{Root: filepath.Dir(filepath.Dir(s.state.Dir())), Lab: filepath.Base(s.state.Dir()), ID: s.record.ID}
	if s.file != nil {
		p.Config = s.file.Path
	}
	return p
}

// MadeBy names the driver of the lab, with its provider where it has one.
func (s *Session) MadeBy() string {
	if s.record.Provider != "" {
		return s.record.Driver + ", provider " + s.record.Provider
	}
	return s.record.Driver
}

// MustExist refuses what makes no sense for a lab that was never made.
func (s *Session) MustExist() error {
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
func (s *Session) SameSubnet() error {
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
// lock. The id is known before the folder has it: a record whose id nobody
// knows is not trusted, unless the driver knows its labs as well.
func (s *Session) Enter() error {
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
func (s *Session) Dissolved(ids ...string) error {
	s.record.Dissolve(ids...)
	return s.state.WriteRecord(s.record)
}

// Remember puts the lab into the index of labs, and Forget takes it out. The
// index is a convenience: what is wrong with it need only be told.
func (s *Session) Remember() error { return s.index((*lab.Index).Add) }

// Forget takes the lab out of the index of labs.
func (s *Session) Forget() error { return s.index((*lab.Index).Remove) }

func (s *Session) index(do func(*lab.Index, lab.Place) error) error {
	x, err := lab.OpenIndex(s.settings.getenv, s.owner)
	if err != nil {
		return err
	}
	return do(x, s.Place())
}

// Close ends the connections of Conn and Each, and the log of what only read.
func (s *Session) Close() error {
	var errs []error
	if s.pool != nil {
		errs = append(errs, s.pool.Close())
	}
	s.late.Lock()
	defer s.late.Unlock()
	if f, ok := s.read.(io.Closer); ok {
		errs = append(errs, f.Close())
	}
	s.read = nil
	return errors.Join(errs...)
}

func (s *Session) newRecord(k drivers.Kind) lab.Record {
	provider := ""
	if k.Provider != nil {
		provider = k.Provider(s.settings.getenv, s.lab)
	}
	return lab.NewRecord(s.lab, k.Name, provider, time.Now())
}

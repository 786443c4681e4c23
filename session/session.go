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
	"io"
	"sync"
	"sync/atomic"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// Session is one opened lab. Its methods may be called from several goroutines
// at once, but for Lock, Enter and what else writes the record.
type Session struct {
	OnDisk
	driver machine.Driver

	log  atomic.Pointer[io.Writer] // of the lock's holder; nil before Lock
	late sync.Mutex
	read io.Writer // of who only reads; nil before there is something to say

	once sync.Once
	pool *Pool // that of Conn and Select
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
	return s, s.settle()
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
	return &Session{driver: p.Driver, OnDisk: OnDisk{
		settings: set, file: p.File, lab: p.Lab, state: p.State, owner: p.Owner,
		record: p.Record, created: p.Created, overrides: map[string]string{},
	}}
}

// Parts gives what the session is made of.
func (s *Session) Parts() Parts {
	return Parts{s.file, s.lab, s.state, s.owner, s.record, s.created, s.driver}
}

// Driver runs its machines. Lock may put another in its place.
func (s *Session) Driver() machine.Driver { return s.driver }

// Close ends the connections of Conn and Select, and the log of what only read.
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

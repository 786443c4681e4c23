package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// Entry is a lab of the inventory.
type Entry struct {
	// Place is where it is kept.
	lab.Place
	// Driver that made the lab; of one that does not exist, what labs.yaml says.
	Driver, Provider string
	State            LabState
	// Nodes of the lab, and how many run; -1 where that is not known.
	Nodes, Running int
	// Created is zero for a lab that does not exist.
	Created time.Time
	// Here: it is in the labs.yaml that is in force; Default and Current: a
	// command means it there when it names none, and with these settings.
	Here, Default, Current bool
	// Note says what is wrong with it; empty when nothing is.
	Note string
}

// LabState is that of a lab as a whole.
type LabState string

// The states of a lab.
const (
	LabUp     LabState = "up"     // every node runs
	LabPartly LabState = "partly" // some nodes run, or some were never made
	LabHalted LabState = "halted" // nodes exist, none runs
	LabAbsent LabState = "absent" // not created, or destroyed
	// LabOrphaned: machines are there, and no folder holds the lab any more.
	LabOrphaned LabState = "orphaned"
	LabUnknown  LabState = "unknown" // not asked, or it could not be told
)

// Inventory gives the labs of the labs.yaml that is in force, in its order, then
// those of other places, and the orphaned ones; notes are sentences on what was
// repaired or could not be read. Nothing is asked of the nodes; a driver that
// takes its time is asked with refresh only.
func Inventory(ctx context.Context, set Settings, refresh bool) (labs []Entry, notes []string, err error) {
	note := func(err error) {
		if err != nil {
			notes = append(notes, trouble.OneLine(err))
		}
	}
	index, err := lab.OpenIndex(set.getenv, set.User)
	note(err)
	var places []lab.Place
	if index != nil {
		var repaired []string
		places, repaired, err = index.Places()
		note(err)
		notes = append(notes, repaired...)
	}

	var sessions []*Session
	add := func(s *Session, e Entry) { sessions, labs = append(sessions, s), append(labs, e) }
	file, err := set.Load()
	note(err) // labs of other folders are listed all the same
	if file != nil {
		root, err := set.Root(file)
		if err != nil {
			return nil, nil, err
		}
		current := file.Default
		if set.Lab != "" {
			if _, err := file.Lab(set.Lab); err != nil { // all labs are listed all the same
				notes = append(notes, err.Error())
			}
			current = set.Lab
		}
		for _, one := range file.Labs {
			s, e := set.glance(lab.Place{Root: root, Lab: one.Name, Config: file.Path}, file)
			e.Here, e.Default, e.Current = true, one.Name == file.Default, one.Name == current
			add(s, e)
			if s == nil { // not ours to open, as the entry says
				continue
			}
			here := s.Place().Real()
			if i := slices.IndexFunc(places, func(p lab.Place) bool { return p.Root == here.Root && p.Lab == here.Lab }); i >= 0 {
				places = slices.Delete(places, i, i+1)
			} else if s.created && index != nil {
				note(index.Add(here))
			}
		}
	}
	for _, p := range places {
		add(set.glance(p, nil))
	}
	for _, r := range set.OrphanedLabs() {
		e := Entry{
			Place: r.Place, Driver: r.Driver, State: LabOrphaned, Nodes: -1, Running: -1, Created: r.Created,
			Note: "its folder is gone, and its machines still exist: dcalab prune",
		}
		if one, err := set.OpenOrphaned(r); err == nil {
			if left, err := one.Orphans(ctx); err == nil {
				_, e.Running = sumUp(left)
				e.Nodes = len(left)
			}
		}
		add(nil, e) // there is nothing of it to open
	}

	var all sync.WaitGroup
	for i, s := range sessions {
		if s != nil && s.created && s.lab != nil {
			all.Go(func() { s.tellState(ctx, &labs[i], refresh) })
		}
	}
	all.Wait()
	return labs, notes, ctx.Err()
}

// glance opens a lab that may be another folder's as far as the disk tells; nil
// where there is nothing that may be opened. file is its labs.yaml where that is
// known already.
func (set Settings) glance(p lab.Place, file *lab.File) (*Session, Entry) {
	e := Entry{Place: p, State: LabUnknown, Nodes: -1, Running: -1}
	owner := set.User
	s, err := set.Hold(Wanted{File: file}, p.Root, p.Lab)
	if err != nil {
		e.Note = trouble.OneLine(err)
	}
	if s != nil {
		owner = s.owner
	}
	if s != nil && s.created {
		e.Driver, e.Provider, e.Created = s.record.Driver, s.record.Provider, s.record.Created
	}
	switch {
	case file != nil:
	case p.Config != "":
		file, err = lab.Load(p.Config, owner)
	default:
		file, err = set.builtin()
	}
	var l *lab.Lab
	switch {
	case err != nil:
	case s == nil:
		l, err = file.Lab(p.Lab)
	default:
		var kept bool
		if kept, err = s.assume(file); kept {
			e.Note = FileName(file) + " no longer has it: shown with its settings from the last dcalab up"
		}
		l = s.lab
	}
	switch {
	case err != nil && e.Note == "":
		e.Note = "its labs.yaml: " + trouble.OneLine(err)
	case l != nil:
		e.Nodes = len(l.Nodes)
		if e.Note == "" && !s.created {
			e.Driver, e.State, e.Running = l.Driver, LabAbsent, 0
		}
	}
	return s, e
}

// tellState asks the driver which nodes run, where that costs nothing.
func (s *Session) tellState(ctx context.Context, e *Entry, refresh bool) {
	driver, err := s.newDriver()
	if err == nil && driver.Traits().SlowStatus && !refresh {
		return
	}
	var machines map[string]machine.Status
	if err == nil {
		machines, err = driver.Status(ctx)
	}
	if err != nil {
		e.Note = trouble.OneLine(err)
		return
	}
	e.State, e.Running = sumUp(machines)
}

// sumUp makes one state of those of all machines.
func sumUp(machines map[string]machine.Status) (state LabState, running int) {
	count := map[machine.Status]int{}
	for _, status := range machines {
		count[status]++
	}
	running = count[machine.StatusRunning]
	switch {
	case count[machine.StatusUnknown] > 0:
		return LabUnknown, running
	case running == len(machines):
		return LabUp, running
	case running > 0:
		return LabPartly, running
	case count[machine.StatusHalted] > 0:
		return LabHalted, 0
	default:
		return LabAbsent, 0
	}
}

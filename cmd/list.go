package cmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
	"github.com/dcalab/dcalab/machine"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/ui"
)

// labList is what `dcalab list -o json` prints. Its keys are a promise.
type labList struct {
	Labs []labEntry `json:"labs" yaml:"labs"`
	// Notes are sentences on what was mended or could not be read.
	Notes []string `json:"notes" yaml:"notes"`
}

type labEntry struct {
	Lab string `json:"lab" yaml:"lab"`
	// Driver that made the lab; of one that does not exist, what labs.yaml says.
	Driver   string `json:"driver" yaml:"driver"`
	Provider string `json:"provider" yaml:"provider"`
	// State is up, halted, partly, absent, orphaned, or unknown.
	State string `json:"state" yaml:"state"`
	// Nodes of the lab, and how many run; -1 where nobody was asked, or could
	// tell.
	Nodes   int `json:"nodes" yaml:"nodes"`
	Running int `json:"running" yaml:"running"`
	// Place is the folder that holds .dcalab; Config the labs.yaml, empty for
	// the built-in one.
	Place  string `json:"place" yaml:"place"`
	Config string `json:"config" yaml:"config"`
	// Created is empty for a lab that does not exist.
	Created string `json:"created" yaml:"created"`
	// Current: the lab that a command means here when it names none.
	Current bool `json:"current" yaml:"current"`
	// Command reaches the lab from here; a subcommand follows. Empty where
	// nothing does but prune.
	Command string `json:"command" yaml:"command"`
	// Note says what is wrong with the entry; empty when nothing is.
	Note string `json:"note" yaml:"note"`
}

// The states of a lab in the list.
const (
	labUp     = "up"     // every node runs
	labPartly = "partly" // some nodes run, or some were never made
	labHalted = "halted" // nodes exist, none runs
	labAbsent = "absent" // not created, or destroyed
	// labOrphaned: machines are there, and no folder holds the lab any more.
	labOrphaned = "orphaned"
	labUnknown  = "unknown" // not asked, or it could not be told
)

func (a *app) list() *cobra.Command {
	var output string
	var refresh bool
	c := &cobra.Command{
		Use:   "list",
		Short: "Show every lab: driver, state, nodes, place; also those of other folders",
		Long: `Show the labs of labs.yaml, and every lab that you made in other folders, with
the command that reaches each from here.

Nothing is asked of the nodes, and Vagrant is not started, so a list takes no
time; the state of a lab of Vagrant's is therefore not told. --refresh asks.

Where labs are is remembered in your state folder (~/.local/state/dcalab/labs,
$XDG_STATE_HOME, or the system's own such place): up writes an entry, destroy of
the whole lab removes it. Entries of labs that are gone vanish by themselves,
and a lab that is met here comes back into it.`,
		Example: "  dcalab list\n  dcalab list --refresh -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkFormat(output); err != nil {
				return err
			}
			typed := lesson.Lesson{
				{Text: lesson.Line("ls", a.statesHere()), Why: "the labs of this folder"},
				{Text: "vagrant global-status", Why: "every machine that Vagrant has made, in whatever folder"},
			}
			if stop, err := (&session{app: a}).announce(typed); stop || err != nil {
				return err
			}
			l, err := a.listLabs(c.Context(), refresh)
			if err != nil {
				return err
			}
			return a.writeList(l, output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml (default: a table)")
	c.Flags().BoolVar(&refresh, "refresh", false, "ask Vagrant too")
	return explained(c)
}

// statesHere is the folder of the states of labs.yaml's labs.
func (a *app) statesHere() string {
	dir, err := os.Getwd()
	if err != nil {
		return lab.StateFolder
	}
	if file, err := a.load(); err == nil {
		if root, err := a.lab().Root(file); err == nil {
			dir = root
		}
	}
	return filepath.Join(dir, lab.StateFolder)
}

// listLabs gives the labs of the labs.yaml that is in force, in its order, then
// those of other places.
func (a *app) listLabs(ctx context.Context, refresh bool) (*labList, error) {
	l := &labList{Labs: []labEntry{}, Notes: []string{}}
	o := owner()
	note := func(err error) {
		if err != nil {
			l.Notes = append(l.Notes, oneLine(err))
		}
	}
	index, err := lab.OpenIndex(os.Getenv, o)
	note(err)
	var places []lab.Place
	if index != nil {
		var notes []string
		places, notes, err = index.Places()
		note(err)
		l.Notes = append(l.Notes, notes...)
	}

	var sessions []*session
	file, err := a.load()
	note(err) // labs of other folders are listed all the same
	if file != nil {
		root, err := a.lab().Root(file)
		if err != nil {
			return nil, err
		}
		current := file.Default
		if name := a.settings.GetString("lab"); name != "" {
			_, err := file.Lab(name)
			if err != nil { // all labs are listed all the same
				l.Notes = append(l.Notes, err.Error())
			}
			current = name
		}
		for _, one := range file.Labs {
			s, e := a.glance(lab.Place{Root: root, Lab: one.Name, Config: file.Path}, file)
			e.Current = one.Name == current
			e.Command = lesson.Line(a.calledAs())
			if one.Name != file.Default {
				e.Command += " --lab " + one.Name
			}
			if path := a.settings.GetString("config"); path != "" {
				e.Command = lesson.Line(a.calledAs(), "--config", path) + strings.TrimPrefix(e.Command, lesson.Line(a.calledAs()))
			}
			if s.Session == nil { // not ours to open, as the entry says
				sessions, l.Labs = append(sessions, s), append(l.Labs, e)
				continue
			}
			here := s.Place().Real()
			if i := slices.IndexFunc(places, func(p lab.Place) bool { return p.Root == here.Root && p.Lab == here.Lab }); i >= 0 {
				places = slices.Delete(places, i, i+1)
			} else if s.Created() && index != nil {
				note(index.Add(here))
			}
			sessions, l.Labs = append(sessions, s), append(l.Labs, e)
		}
	}
	for _, p := range places {
		s, e := a.glance(p, nil)
		e.Command = strings.TrimSuffix(a.hint(labsession.CommandFor(p)+" status"), " status")
		sessions, l.Labs = append(sessions, s), append(l.Labs, e)
	}

	for _, p := range a.orphans() {
		e := labEntry{
			Lab: p.Lab, Driver: lab.DriverSandbox, State: labOrphaned, Nodes: -1, Running: -1, Place: p.Root, Config: p.Config,
			Note: "no folder holds it any more, and its machines are still there: dcalab prune",
		}
		s := &session{app: a} // there is nothing of it to open
		if one, err := a.orphan(p); err == nil {
			if left, err := one.Orphans(ctx); err == nil {
				_, e.Running = sumUp(left)
				e.Nodes = len(left)
			}
		}
		if !p.Created.IsZero() {
			e.Created = p.Created.UTC().Format(time.RFC3339)
		}
		sessions, l.Labs = append(sessions, s), append(l.Labs, e)
	}

	var wg sync.WaitGroup
	for i, s := range sessions {
		wg.Go(func() { s.tellState(ctx, &l.Labs[i], refresh) })
	}
	wg.Wait()
	for i, n := range l.Notes {
		l.Notes[i] = a.hint(n)
	}
	return l, ctx.Err()
}

// glance opens a lab that may be another folder's as far as the disk tells.
// file is its labs.yaml where that is known already.
func (a *app) glance(p lab.Place, file *lab.File) (*session, labEntry) {
	e := labEntry{Lab: p.Lab, State: labUnknown, Nodes: -1, Running: -1, Place: p.Root, Config: p.Config}
	o := owner()
	opened, err := a.lab().Hold(labsession.Wanted{File: file}, p.Root, p.Lab)
	s := &session{app: a, Session: opened}
	if err != nil {
		e.Note = oneLine(err)
	}
	if opened != nil {
		o = s.Owner()
	}
	if opened != nil && s.Created() {
		e.Driver, e.Provider, e.Created = s.Record().Driver, s.Record().Provider, s.Record().Created.UTC().Format(time.RFC3339)
	}
	switch {
	case file != nil:
	case p.Config != "":
		file, err = lab.Load(p.Config, o)
	default:
		file, err = lab.Parse("labs.yaml (built in)", a.embedded.Labs)
	}
	var l *lab.Lab
	switch {
	case err != nil:
	case opened == nil:
		l, err = file.Lab(p.Lab)
	default:
		var kept bool
		if kept, err = s.Assume(file); kept {
			e.Note = labsession.FileName(file) + " no longer has it: it is shown as it was when it was last brought up"
		}
		l = s.Lab()
	}
	switch {
	case err != nil && e.Note == "":
		e.Note = "its labs.yaml: " + oneLine(err)
	case l != nil:
		e.Nodes = len(l.Nodes)
		if e.Note == "" && !s.Created() {
			e.Driver, e.State, e.Running = l.Driver, labAbsent, 0
		}
	}
	return s, e
}

// tellState asks the driver which nodes run, where that costs nothing.
func (s *session) tellState(ctx context.Context, e *labEntry, refresh bool) {
	if s.Session == nil || !s.Created() || s.Lab() == nil {
		return
	}
	driver, err := s.NewDriver()
	if err == nil && driver.Traits().SlowStatus && !refresh {
		return
	}
	var machines map[string]machine.Status
	if err == nil {
		machines, err = driver.Status(ctx)
	}
	if err != nil {
		e.Note = oneLine(err)
		return
	}
	e.State, e.Running = sumUp(machines)
}

// sumUp makes one state of those of all machines.
func sumUp(machines map[string]machine.Status) (state string, running int) {
	count := map[machine.Status]int{}
	for _, status := range machines {
		count[status]++
	}
	running = count[machine.StatusRunning]
	switch {
	case count[machine.StatusUnknown] > 0:
		return labUnknown, running
	case running == len(machines):
		return labUp, running
	case running > 0:
		return labPartly, running
	case count[machine.StatusHalted] > 0:
		return labHalted, 0
	default:
		return labAbsent, 0
	}
}

// remember puts the lab into the index of labs, and forget takes it out. The
// index is a convenience: what is wrong with it is only told.
func (s *session) remember() { s.warnOf(s.Remember()) }
func (s *session) forget()   { s.warnOf(s.Forget()) }

func (s *session) warnOf(err error) {
	if err != nil {
		s.warn(err.Error())
	}
}

func (a *app) writeList(l *labList, format string) error {
	var text []byte
	var err error
	switch format {
	case "json", "yaml":
		text, err = encode(format, l)
	default:
		s := &session{app: a}
		s.warn(l.Notes...)
		text, err = l.table(a.streams.OutColor(a.settings.GetBool("no-color")))
	}
	if err != nil {
		return err
	}
	_, err = a.streams.Out.Write(text)
	return err
}

// table is a line for each lab, and below it how those of other folders are
// reached.
func (l *labList) table(color bool) ([]byte, error) {
	var b bytes.Buffer
	var rows [][]string
	var below []string
	for _, e := range l.Labs {
		name := e.Lab
		if e.Current {
			name += " *"
		}
		state := e.State
		if state == labUnknown {
			state = "?"
			if e.Note == "" {
				state = "not asked"
			}
		}
		nodes := "?"
		switch {
		case e.Nodes >= 0 && e.State == labPartly:
			nodes = fmt.Sprintf("%d of %d", e.Running, e.Nodes)
		case e.Nodes >= 0:
			nodes = strconv.Itoa(e.Nodes)
		}
		driver := e.Driver
		switch {
		case e.Provider != "":
			driver += " (" + e.Provider + ")"
		case driver == "":
			driver = "?"
		}
		place := e.Config
		if place == "" {
			place = e.Place + " (built in)"
		}
		rows = append(rows, []string{name, driver, state, nodes, place})
		if e.Note != "" {
			below = append(below, e.Lab+": "+e.Note)
		}
		if strings.HasPrefix(e.Command, "cd ") || e.Command != "" && e.Config != "" && strings.Contains(e.Command, e.Config) {
			below = append(below, e.Command+" status")
		}
	}
	if err := ui.Table(&b, []string{"LAB", "DRIVER", "STATE", "NODES", "PLACE"}, rows, color); err != nil {
		return nil, err
	}
	if len(below) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(below, "\n"))
	}
	return b.Bytes(), nil
}

package report

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/session"
)

// Labs is what `dcalab list -o json` prints.
type Labs struct {
	Labs []Lab `json:"labs" yaml:"labs"`
	// Notes are sentences on what was corrected or could not be read.
	Notes []string `json:"notes" yaml:"notes"`
}

// Lab is an entry of Labs.
type Lab struct {
	Lab string `json:"lab" yaml:"lab"`
	// Driver that made the lab; of one that does not exist, what labs.yaml says.
	Driver   string `json:"driver" yaml:"driver"`
	Provider string `json:"provider" yaml:"provider"`
	// State is up, halted, partly, absent, orphaned, or unknown.
	State string `json:"state" yaml:"state"`
	// Nodes of the lab, and how many run; -1 where the driver was not asked, or could
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

// List gives the inventory of labs; see session.Inventory. reach gives the
// command that reaches a lab. Where ctx ends, it gives what is known.
func List(ctx context.Context, set session.Settings, refresh bool, reach func(session.Entry) string) (*Labs, error) {
	labs, notes, err := session.Inventory(ctx, set, refresh)
	if labs == nil && err != nil {
		return nil, err
	}
	l := &Labs{Labs: []Lab{}, Notes: append([]string{}, notes...)}
	for _, e := range labs {
		entry := Lab{
			Lab: e.Lab, Driver: e.Driver, Provider: e.Provider, State: string(e.State), Nodes: e.Nodes, Running: e.Running,
			Place: e.Root, Config: e.Config, Current: e.Current, Note: e.Note,
		}
		if !e.Created.IsZero() {
			entry.Created = e.Created.UTC().Format(time.RFC3339)
		}
		if e.State != session.LabOrphaned { // no command reaches it but prune
			entry.Command = reach(e)
		}
		l.Labs = append(l.Labs, entry)
	}
	return l, err
}

// Cells are what a table shows of a lab: name, driver, state, nodes, place.
func (e Lab) Cells() []string {
	name := e.Lab
	if e.Current {
		name += " *"
	}
	state := e.State
	if state == string(session.LabUnknown) {
		state = "?"
		if e.Note == "" {
			state = "not asked"
		}
	}
	nodes := "?"
	switch {
	case e.Nodes >= 0 && e.State == string(session.LabPartly):
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
	return []string{name, driver, state, nodes, place}
}

// MoreCells are those of a wide table: when it was made, and how it is reached.
func (e Lab) MoreCells() []string { return []string{dash(e.Created), dash(e.Command)} }

// Below are the lines that follow the table: what is wrong with labs, and how
// those of other folders are reached.
func (l *Labs) Below() []string {
	var out []string
	for _, e := range l.Labs {
		if e.Note != "" {
			out = append(out, e.Lab+": "+e.Note)
		}
		if strings.HasPrefix(e.Command, "cd ") || e.Command != "" && e.Config != "" && strings.Contains(e.Command, e.Config) {
			out = append(out, e.Command+" status")
		}
	}
	return out
}

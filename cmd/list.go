package cmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
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
			typed := runbook.Runbook{
				{Text: runbook.Line("ls", a.statesHere()), Why: "the labs of this folder"},
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

// listLabs gives the inventory as it is printed, with the command that reaches
// each lab.
func (a *app) listLabs(ctx context.Context, refresh bool) (*labList, error) {
	labs, notes, err := labsession.Inventory(ctx, a.lab(), refresh)
	if labs == nil && err != nil {
		return nil, err
	}
	l := &labList{Labs: []labEntry{}, Notes: []string{}}
	for _, e := range labs {
		entry := labEntry{
			Lab: e.Lab, Driver: e.Driver, Provider: e.Provider, State: string(e.State), Nodes: e.Nodes, Running: e.Running,
			Place: e.Root, Config: e.Config, Current: e.Current, Note: e.Note,
		}
		if !e.Created.IsZero() {
			entry.Created = e.Created.UTC().Format(time.RFC3339)
		}
		switch {
		case e.State == labsession.LabOrphaned: // no command reaches it but prune
		case e.Here:
			entry.Command = runbook.Line(a.calledAs())
			if path := a.settings.GetString("config"); path != "" {
				entry.Command = runbook.Line(a.calledAs(), "--config", path)
			}
			if !e.Default {
				entry.Command += " --lab " + e.Lab
			}
		default:
			entry.Command = strings.TrimSuffix(a.hint(labsession.CommandFor(e.Place)+" status"), " status")
		}
		l.Labs = append(l.Labs, entry)
	}
	for _, n := range notes {
		l.Notes = append(l.Notes, a.hint(n))
	}
	return l, err
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
		if state == string(labsession.LabUnknown) {
			state = "?"
			if e.Note == "" {
				state = "not asked"
			}
		}
		nodes := "?"
		switch {
		case e.Nodes >= 0 && e.State == string(labsession.LabPartly):
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

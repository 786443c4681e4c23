package cmd

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func TestMistakesWithSnapshotsAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		status int
		story  string
	}{
		"a bad name":                 {[]string{"snapshot", "save", "../x"}, trouble.ExitUsage, "cannot be the name of a snapshot"},
		"no name":                    {[]string{"snapshot", "save"}, trouble.ExitUsage, "see dcalab snapshot save --help"},
		"unknown subcommand":         {[]string{"snapshot", "lsit"}, trouble.ExitUsage, "did you mean: dcalab snapshot list"},
		"unknown output":             {[]string{"snapshot", "list", "-o", "xml"}, trouble.ExitUsage, "the formats are table, wide, json, yaml, name"},
		"save before up":             {[]string{"snapshot", "save", "a"}, trouble.ExitFailure, "bring it up: dcalab up"},
		"restore before up":          {[]string{"snapshot", "restore", "a", "--yes"}, trouble.ExitFailure, "bring it up: dcalab up"},
		"reset before up":            {[]string{"reset", "--yes"}, trouble.ExitFailure, "bring it up: dcalab up"},
		"reset of some of the nodes": {[]string{"reset", "node01"}, trouble.ExitUsage, "see dcalab reset --help"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, story := run(t, c.args...)
			if status != c.status || out != "" || !strings.Contains(story, c.story) {
				t.Errorf("exit status %d, %q, %s; want %d and %q", status, out, story, c.status, c.story)
			}
		})
	}
}

func TestALabThatWasNeverMadeHasNoSnapshots(t *testing.T) {
	if status, out, story := run(t, "snapshot", "list"); status != 0 || out != "" || !strings.Contains(story, "has no snapshots") {
		t.Errorf("exit status %d, %q, %s", status, out, story)
	}
	if status, out, _ := run(t, "snapshot", "list", "-o", "json"); status != 0 || !strings.Contains(out, `"snapshots": []`) {
		t.Errorf("exit status %d, %s", status, out)
	}
}

// The second machine would not halt: the first must not stay off because of it.
func TestARestoreThatCannotHaltStartsWhatItHalted(t *testing.T) {
	s := contextSession(t, "dca")
	s.app = &app{streams: ui.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, settings: viper.New()}
	s.Lab().Nodes = []lab.Node{{Name: "master", Role: lab.RoleManager}, {Name: "node01", Role: lab.RoleWorker}}
	parts := s.Parts()
	parts.Record, _, _ = s.State().ReadRecord()
	parts.Record.Subnet = s.Lab().Subnet.String()
	s.Session = labsession.Of(labsession.Settings{}, parts)
	stuck, weak := errors.New("node01 does not halt"), errors.New("it is started")
	var started []string
	s.drive(standIn{
		Snapshotter: album{{Name: "clean", Nodes: []string{"master", "node01"}}},
		status:      map[string]machine.Status{"master": machine.StatusRunning, "node01": machine.StatusRunning},
		halt:        func([]string) error { return stuck },
		start:       func(nodes []string) error { started = nodes; return weak },
	})
	err := s.restore(t.Context(), "clean", true)
	if !errors.Is(err, stuck) || !slices.Equal(started, []string{"master", "node01"}) {
		t.Errorf("started %q: %v", started, err)
	}
}

// What the runbook of a restore unlocks managers with has to come from somewhere.
func TestTheRunbookOfARestoreTellsOfTheKey(t *testing.T) {
	const origin = "# <unlock-key> is what docker swarm unlock-key showed before snapshot clean was taken: dcalab keeps it nowhere\n"
	for name, c := range map[string]struct {
		autolock bool
		holder   string
		begins   string
		origin   bool
	}{
		"a manager shows it":                    {true, "master", "# on master: cd ", true},
		"a manager shows it, past labs.yaml":    {false, "master", "# on master: cd ", true},
		"nobody does":                           {true, "", "# on this machine\n" + origin, true},
		"neither labs.yaml nor the swarm wants": {false, "", "# on master: cd ", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := contextSession(t, "dca")
			s.Lab().Nodes = []lab.Node{{Name: "master", Role: lab.RoleManager}, {Name: "node01", Role: lab.RoleWorker}}
			s.Lab().Swarm.Autolock = c.autolock
			s.drive(standIn{})
			var b strings.Builder
			if err := s.restoring([]string{"master"}, "clean", c.holder).Write(&b, s.login); err != nil {
				t.Fatal(err)
			}
			out := b.String()
			gives, asks := strings.Index(out, "; prints <unlock-key>\n"), strings.Index(out, "; asks for <unlock-key>\n")
			if !strings.HasPrefix(out, c.begins) || strings.Contains(out, origin) != c.origin || (asks >= 0) != c.origin || (gives >= 0) != (c.holder != "") || gives > asks {
				t.Error(out)
			}
		})
	}
}

// The same for managers that up --swarm boots: they come up locked.
func TestTheRunbookOfBootedManagersTellsOfTheKey(t *testing.T) {
	for name, c := range map[string]struct {
		autolock bool
		booted   machine.Status
		asks     int
	}{
		"two were halted":                   {true, machine.StatusHalted, 2},
		"they are new: nothing to unlock":   {true, machine.StatusAbsent, 0},
		"labs.yaml does not have them lock": {false, machine.StatusHalted, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := contextSession(t, "dca")
			s.Lab().Nodes = []lab.Node{{Name: "m1", Role: lab.RoleManager}, {Name: "m2", Role: lab.RoleManager}, {Name: "m3", Role: lab.RoleManager}}
			s.Lab().Swarm.Autolock = c.autolock
			s.drive(standIn{})
			var b strings.Builder
			machines := map[string]machine.Status{"m1": machine.StatusRunning, "m2": c.booted, "m3": c.booted}
			if err := s.returning(s.Lab().Nodes, machines).Write(&b, s.login); err != nil {
				t.Fatal(err)
			}
			origin := strings.Index(b.String(), "# <unlock-key> is what docker swarm unlock-key shows on a manager that is not locked, or showed before: dcalab keeps it nowhere\n")
			if asks := strings.Count(b.String(), "asks for <unlock-key>"); asks != c.asks || (origin >= 0) != (c.asks > 0) || origin > strings.Index(b.String(), "asks for") {
				t.Error(b.String())
			}
		})
	}
}

// album lists snapshots.
type album []machine.Snapshot

func (a album) Snapshots(context.Context) ([]machine.Snapshot, error) { return a, nil }

func (album) SaveSnapshot(context.Context, machine.Observer, string) error    { return nil }
func (album) RestoreSnapshot(context.Context, machine.Observer, string) error { return nil }
func (album) DeleteSnapshot(context.Context, machine.Observer, string) error  { return nil }

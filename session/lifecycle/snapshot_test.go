package lifecycle

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// The second machine would not halt: the first must not stay off because of it.
func TestARestoreThatCannotHaltStartsWhatItHalted(t *testing.T) {
	stuck, weak := errors.New("node01 does not halt"), errors.New("it is started")
	var started []string
	o := operator(t, driver{
		snapshots: []machine.Snapshot{{Name: "clean", Nodes: []string{"master", "node01"}}},
		status:    machines(machine.StatusRunning, machine.StatusRunning),
		halt:      func([]string) error { return stuck },
		start:     func(nodes []string) error { started = nodes; return weak },
	})
	o.Explain = false
	_, err := o.Snapshots().Restore("clean").Run(t.Context(), &story{})
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
			o := operator(t, driver{})
			o.Lab().Swarm.Autolock = c.autolock
			var b strings.Builder
			if err := (restore{starter{o}, "clean"}).typed([]string{"master"}, c.holder).Write(&b, o.Driver().Traits().Login); err != nil {
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
			o := operator(t, driver{})
			o.Lab().Nodes = []lab.Node{{Name: "m1", Role: lab.RoleManager}, {Name: "m2", Role: lab.RoleManager}, {Name: "m3", Role: lab.RoleManager}}
			o.Lab().Swarm.Autolock = c.autolock
			var b strings.Builder
			machines := map[string]machine.Status{"m1": machine.StatusRunning, "m2": c.booted, "m3": c.booted}
			if err := returning(o.Lab(), o.Lab().Nodes, machines).Write(&b, o.Driver().Traits().Login); err != nil {
				t.Fatal(err)
			}
			origin := strings.Index(b.String(), "# <unlock-key> is what docker swarm unlock-key shows on a manager that is not locked, or showed before: dcalab keeps it nowhere\n")
			if asks := strings.Count(b.String(), "asks for <unlock-key>"); asks != c.asks || (origin >= 0) != (c.asks > 0) || origin > strings.Index(b.String(), "asks for") {
				t.Error(b.String())
			}
		})
	}
}

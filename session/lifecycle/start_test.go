package lifecycle

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// "Start the machines that are halted: dcalab start" is advised also where
// another node was never created.
func TestStartLeavesOutWhatWasNeverCreated(t *testing.T) {
	nodes := []lab.Node{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	start := func(absent ...string) (started []string, said string, err error) {
		var s story
		err = ofThoseMade(&s, nodes, func(nodes []lab.Node) error {
			for _, n := range nodes {
				if slices.Contains(absent, n.Name) {
					return machine.NotCreated(n.Name)
				}
			}
			started = lab.Names(nodes)
			return nil
		})
		return started, s.text.String(), err
	}
	started, said, err := start("b", "d")
	if err != nil || !slices.Equal(started, []string{"a", "c"}) || !strings.Contains(said, "dcalab up b d") {
		t.Errorf("it starts %v: %v, %s", started, err, said)
	}
	if started, said, err = start(); err != nil || len(started) != 4 || said != "" {
		t.Errorf("it starts %v: %v, %s", started, err, said)
	}
	var tr *trouble.Error
	if _, _, err = start("a", "b", "c", "d"); !errors.As(err, &tr) || tr.ID != "node-absent" || tr.Where != "a" {
		t.Errorf("nothing was created: %v", err)
	}
}

// A dry run leaves out the same, and refuses what is named.
func TestThePlanOfAStartLeavesOutTheSame(t *testing.T) {
	o := operator(t, driver{status: machines(machine.StatusHalted, machine.StatusAbsent)})
	var s story
	plan, err := o.Start(o.Lab().Nodes, false).Plan(t.Context(), &s)
	if err != nil || !slices.Equal(plan.Lines, []string{"master: boot it", "master: make sure that its engine is ready"}) || !strings.Contains(s.text.String(), "not created, and so not started: node01") {
		t.Errorf("%q: %v\n%s", plan.Lines, err, s.text.String())
	}
	var tr *trouble.Error
	if _, err := o.Start(o.Lab().Nodes, true).Plan(t.Context(), &s); !errors.As(err, &tr) || tr.ID != "node-absent" || tr.Where != "node01" {
		t.Errorf("node01 is named: %v", err)
	}
}

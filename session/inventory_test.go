package session

import (
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

func TestSumUp(t *testing.T) {
	const run, halt, gone, what = machine.StatusRunning, machine.StatusHalted, machine.StatusAbsent, machine.StatusUnknown
	for name, c := range map[string]struct {
		machines []machine.Status
		state    LabState
		running  int
	}{
		"all run":               {[]machine.Status{run, run}, LabUp, 2},
		"one runs":              {[]machine.Status{run, halt, gone}, LabPartly, 1},
		"none runs":             {[]machine.Status{halt, halt}, LabHalted, 0},
		"some were never made":  {[]machine.Status{halt, gone}, LabHalted, 0},
		"none was made":         {[]machine.Status{gone, gone}, LabAbsent, 0},
		"one cannot be told of": {[]machine.Status{run, what}, LabUnknown, 1},
	} {
		t.Run(name, func(t *testing.T) {
			machines := map[string]machine.Status{}
			for i, m := range c.machines {
				machines[string(rune('a'+i))] = m
			}
			if state, running := sumUp(machines); state != c.state || running != c.running {
				t.Errorf("%s, %d; want %s, %d", state, running, c.state, c.running)
			}
		})
	}
}

func TestTheCommandForAnotherFolderCanBePasted(t *testing.T) {
	for _, c := range []struct {
		place lab.Place
		want  string
	}{
		{lab.Place{Root: "/home/u/my labs", Lab: "ha", Config: "/home/u/my labs/labs.yaml"}, "dcalab --config '/home/u/my labs/labs.yaml' --lab ha"},
		{lab.Place{Root: "/home/u/my labs", Lab: "dca"}, "cd '/home/u/my labs' && dcalab --lab dca"},
	} {
		if got := CommandFor(c.place); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

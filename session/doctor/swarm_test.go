package doctor

import (
	"context"
	"errors"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session"
)

// halted is a driver whose machines are halted, or cannot be asked.
type halted struct {
	machine.Driver
	err error
}

func (d halted) Status(context.Context) (map[string]machine.Status, error) {
	return map[string]machine.Status{"m1": machine.StatusHalted}, d.err
}

func TestASwarmThatCannotBeAsked(t *testing.T) {
	l := &lab.Lab{Name: "small", Nodes: []lab.Node{{Name: "m1", Role: lab.RoleManager}}}
	s := session.Of(session.Settings{}, session.Parts{Lab: l, Created: true, Driver: halted{}})
	if checks := checkSwarm(t.Context(), s); len(checks) > 0 {
		t.Errorf("nothing runs, and %+v", checks)
	}
	s = session.Of(session.Settings{}, session.Parts{Lab: l, Created: true, Driver: halted{err: errors.New("no answer")}})
	if checks := checkSwarm(t.Context(), s); len(checks) != 1 || checks[0].Verdict != machine.VerdictUnknown || checks[0].Why != "no answer" {
		t.Errorf("%+v", checks)
	}
}

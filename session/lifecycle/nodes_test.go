package lifecycle

import (
	"errors"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
)

// A name that is near to one of the lab's is told of first; any other one may be
// an id that only the swarm knows.
func TestMisspelt(t *testing.T) {
	l := &lab.Lab{Name: "t", Nodes: []lab.Node{{Name: "m1"}, {Name: "m2"}}}
	o := Operator{Session: session.Of(session.Settings{}, session.Parts{Lab: l})}
	why := errors.New("the lab has no swarm")
	for name, want := range map[string]string{"m0": `no node "m0"`, "m1": why.Error(), "4kx7q9": why.Error()} {
		c, ok := o.Swarm().Promote(name).(nodeChange)
		if !ok {
			t.Fatal("not a nodeChange")
		}
		if err := c.misspelt(why); !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

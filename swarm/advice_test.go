package swarm

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/dcalab/dcalab/trouble"
)

// What was asked for some nodes goes on with these, and not with all of them.
func TestJoinOfAHaltedNodeAdvisesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mww"))
		formed(w)
		w.engines[1].leave()
		w.engines[2].leave()
		w.halt(2)
		_, err := Apply(t.Context(), w.lab, w.targets(), Options{Only: []string{"n3"}})
		var tr *trouble.Error
		if !errors.As(err, &tr) || !slices.Contains(tr.Next, "then go on: dcalab join n3") {
			t.Errorf("%v", err)
		}
	})
}

package swarm

import (
	"errors"
	"slices"
	"strings"
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

// After docker swarm init --force-new-cluster the old managers must not be
// started as they are, and nothing advises it.
func TestOldManagersAfterForceNewCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mmm"))
		formed(w)
		w.halt(1)
		w.halt(2)
		for _, n := range w.swarms[w.engines[0].swarm].nodes {
			n.raft = n.ID == w.engines[0].id
		}
		_, err := Apply(t.Context(), w.lab, w.targets(), Options{})
		var tr *trouble.Error
		if !errors.As(err, &tr) || tr.ID != "swarm-unfinished" || !slices.Contains(tr.Next, "make it anew: dcalab destroy --force n2, then dcalab up --swarm") {
			t.Fatalf("%v", err)
		}
		for _, next := range tr.Next {
			if strings.Contains(next, "dcalab start") || strings.Contains(next, "dcalab up n") {
				t.Errorf("it advises %q", next)
			}
		}
		v := Observe(t.Context(), w.targets())
		if all := strings.Join(v.Warnings, "\n"); !strings.Contains(all, "n2 was a manager") || !strings.Contains(all, "n3 was a manager") {
			t.Errorf("warnings: %s", all)
		}
	})
}

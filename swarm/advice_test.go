package swarm

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcalab/dcalab/engine"
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
		_, err := bootstrap(t.Context(), w.lab, w.targets(), how{Only: []string{"n3"}})
		var tr *trouble.Error
		if !errors.As(err, &tr) || !slices.Contains(tr.Next, "then continue: dcalab join n3") {
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
		_, err := bootstrap(t.Context(), w.lab, w.targets(), how{})
		var tr *trouble.Error
		if !errors.As(err, &tr) || tr.ID != "swarm-unfinished" || !slices.Contains(tr.Next, "recreate it: dcalab destroy --force n2, then dcalab up --swarm") {
			t.Fatalf("%v", err)
		}
		for _, next := range tr.Next {
			if strings.Contains(next, "dcalab start") || strings.Contains(next, "dcalab up n") {
				t.Errorf("it advises %q", next)
			}
		}
		v := observe(t.Context(), w.targets())
		if all := strings.Join(v.Warnings, "\n"); !strings.Contains(all, "n2 was a manager") || !strings.Contains(all, "n3 was a manager") {
			t.Errorf("warnings: %s", all)
		}
	})
}

// Where the majority cannot come back, one thing is advised, and not to bring
// it back.
func TestNoQuorumForGood(t *testing.T) {
	for _, tt := range []struct {
		name  string
		roles string
		play  func(*world)
	}{
		{"one of two left", "mm", func(w *world) { w.engines[1].leave() }},
		{"two of three made anew", "mww", func(w *world) {
			w.setRole(1, 0, engine.RoleManager)
			w.setRole(2, 0, engine.RoleManager)
			w.engines[1].leave()
			w.engines[2].leave()
		}},
		{"two of three destroyed", "mmm", func(w *world) {
			w.halt(1)
			w.halt(2)
			w.engines[1].absent, w.engines[2].absent = true, true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab(tt.roles))
				formed(w)
				tt.play(w)
				_, err := promote(t.Context(), w.targets(), []string{"n1"}, how{Timeout: 1})
				var tr *trouble.Error
				if !errors.As(err, &tr) || tr.ID != "no-quorum" || len(tr.Next) != 1 || tr.Next[0] != recoverFix {
					t.Fatalf("%v\n%v", err, tr)
				}
				if !strings.Contains(tr.Why, "n2 (") {
					t.Errorf("n2 is not told: %s", tr.Why)
				}
			})
		})
	}
}

// Managers of the lab that were made anew are told as such.
func TestDiagnoseManagersMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mmm"))
		formed(w)
		w.engines[1].leave()
		w.engines[2].leave()
		found := Diagnose(observe(t.Context(), w.targets()), nil, time.Now())
		if len(found) != 1 || !strings.Contains(found[0].Cause, "left the swarm, or were recreated: n2, n3") || strings.Contains(found[0].Cause, "not of this lab") {
			t.Errorf("%+v", found)
		}
	})
}

package swarm

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/trouble"
)

// stranding is a swarm of n1 to n3 whose manager is n2: n3 joined through n1,
// which is a manager no more. n3 has a label and an availability that somebody
// gave it by hand.
func stranding(w *world) {
	w.init(0)
	w.join(1, 0, engine.RoleManager)
	w.join(2, 0, engine.RoleWorker)
	w.setRole(0, 1, engine.RoleWorker)
	_ = w.engines[1].UpdateNode(context.Background(), w.engines[2].id, func(s *engine.NodeSpec) {
		s.Labels["Own"], s.Availability = "kept", engine.AvailabilityPause
	})
}

// promotedInVain is the same after somebody promoted n3 by hand.
func promotedInVain(w *world) {
	stranding(w)
	w.setRole(2, 1, engine.RoleManager)
	if w.engines[2].state != engine.StateError {
		panic("n3 came into raft")
	}
}

// cutShort is the same after dcalab was interrupted when n3 had left.
func cutShort(w *world) {
	promotedInVain(w)
	w.engines[2].leave()
}

// kept tells what is wrong with n3 after it was taken in again as role.
func (w *world) kept(t *testing.T, role engine.Role, availability engine.Availability) {
	t.Helper()
	e := w.engines[2]
	s := w.swarms[e.swarm]
	if s == nil || s.node(e.id) == nil {
		t.Fatalf("n3 is in no swarm: %s", w.describe())
	}
	n := s.node(e.id)
	if n.raft != (role == engine.RoleManager) || n.Role != role {
		t.Errorf("n3 is %s, in raft %v, want %s", n.Role, n.raft, role)
	}
	if n.Availability != availability || !maps.Equal(n.Labels, map[string]string{"Own": "kept"}) {
		t.Errorf("n3 has %s and %v", n.Availability, n.Labels)
	}
	for _, other := range s.nodes {
		if other.Hostname == e.host && other.ID != e.id {
			t.Errorf("an old entry of n3 is left: %+v", other)
		}
	}
	if len(w.violated) > 0 {
		t.Errorf("violated %v", w.violated)
	}
}

// Promotion of a node that joined through a manager that is one no more: its
// engine gives up, and it has to leave and to join as a manager.
func TestPromoteThroughAFormerManager(t *testing.T) {
	for _, tt := range []struct {
		name  string
		play  func(*world)
		steps string // as planned in a dry run
		did   string
	}{
		{"a worker", stranding, "n3 promote", "n3 leave, n3 join, n3 update, n3 drop-entry,  await"},
		{"promoted in vain before", promotedInVain, "n3 leave, n3 join, n3 update, n3 drop-entry,  await", "n3 leave, n3 join, n3 update, n3 drop-entry,  await"},
		{"interrupted after it had left", cutShort, "n3 join, n3 update, n3 drop-entry,  await", "n3 join, n3 update, n3 drop-entry,  await"},
	} {
		for _, slow := range []int{0, 2} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(testLab("mww"))
					tt.play(w)
					w.slow = slow
					dry, err := promote(t.Context(), w.targets(), []string{"n3"}, how{DryRun: true})
					if err != nil || describe(dry.Steps) != tt.steps {
						t.Errorf("a dry run: %v, %s", err, describe(dry.Steps))
					}
					w.acting = true
					began := time.Now()
					ch, err := promote(t.Context(), w.targets(), []string{"n3"}, how{})
					if err != nil {
						t.Fatal(err)
					}
					if took := time.Since(began); took > 10*time.Second {
						t.Errorf("it took %s", took)
					}
					if describe(ch.Steps) != tt.did {
						t.Errorf("did %s", describe(ch.Steps))
					}
					w.kept(t, engine.RoleManager, engine.AvailabilityPause)
					again, err := promote(t.Context(), w.targets(), []string{"n3"}, how{})
					if err != nil || len(again.Steps) > 0 || !again.Nodes[0].Already {
						t.Errorf("a second run: %v, %s", err, describe(again.Steps))
					}
				})
			})
		}
	}
}

// bootstrap promotes what labs.yaml calls a manager, and takes one in again
// that was promoted in vain: in one run, and soon.
func TestBootstrapThroughAFormerManager(t *testing.T) {
	for _, roles := range []string{"mmm", "mmw"} {
		for name, play := range map[string]func(*world){"a worker": stranding, "promoted in vain before": promotedInVain, "interrupted after it had left": cutShort} {
			for _, slow := range []int{0, 2} {
				t.Run(roles+" "+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(testLab(roles))
						play(w)
						w.slow = slow
						w.acting = true
						began := time.Now()
						res, err := bootstrap(t.Context(), w.lab, w.targets(), how{})
						if err != nil {
							t.Fatalf("%v: %s", err, describe(res.Steps))
						}
						if took := time.Since(began); took > 20*time.Second {
							t.Errorf("it took %s", took)
						}
						role := map[string]engine.Role{"mmm": engine.RoleManager, "mmw": engine.RoleWorker}[roles]
						w.kept(t, role, engine.AvailabilityActive)
						again, err := bootstrap(t.Context(), w.lab, w.targets(), how{})
						if err != nil || len(again.Steps) > 0 {
							t.Errorf("a second run: %v, %s", err, describe(again.Steps))
						}
					})
				})
			}
		}
	}
}

// Demotion of one that was promoted in vain: the swarm cannot, and says so.
func TestDemotePromotedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mww"))
		promotedInVain(w)
		w.acting = true
		ch, err := demote(t.Context(), w.targets(), []string{"n3"}, how{})
		if err != nil || describe(ch.Steps) != "n3 leave, n3 join, n3 update, n3 drop-entry,  await" {
			t.Errorf("%v, %s", err, describe(ch.Steps))
		}
		w.kept(t, engine.RoleWorker, engine.AvailabilityPause)
	})
}

// A manager that dies right after it was promoted is no success.
func TestPromoteWhatDiesAtOnce(t *testing.T) {
	for _, roles := range []string{"mw", "mmmw"} {
		t.Run(roles, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab(roles))
				formed(w)
				last := len(roles) - 1
				name := w.engines[last].name
				ch, err := promote(t.Context(), w.targets(), []string{name}, how{Progress: func(e Event) {
					if e.Done && e.Kind == KindPromote {
						w.mu.Lock()
						w.stop(last)
						w.mu.Unlock()
					}
				}})
				var tr *trouble.Error
				if !errors.As(err, &tr) || tr.ID != "change-unfinished" || tr.Exit != trouble.ExitUnfinished || tr.Where != name {
					t.Fatalf("got %v, %v", err, ch.After)
				}
				if !strings.Contains(tr.Why, "connection refused") {
					t.Errorf("the cause is not told: %s", tr.Why)
				}
			})
		})
	}
}

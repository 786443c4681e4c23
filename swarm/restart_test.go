package swarm

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/dcalab/dcalab/trouble"
)

// An engine is restarted where the others are a quorum meanwhile, or where no
// number of them could be; never beside a manager that does not answer.
func TestGuardRestarting(t *testing.T) {
	for _, tt := range []struct {
		name, roles string
		play        func(*world)
		node, id    string
	}{
		{"one of three", "mmmw", nil, "n1", ""},
		{"the only one", "mw", nil, "n1", ""},
		{"one of two", "mm", nil, "n2", ""},
		{"beside a dead one", "mmmw", func(w *world) { w.stop(1) }, "n1", "quorum-would-be-lost"},
		{"a worker beside a dead manager", "mmmw", func(w *world) { w.stop(1) }, "n4", ""},
		{"without a quorum", "mmmw", func(w *world) { w.stop(1); w.stop(2) }, "n4", "no-quorum"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab(tt.roles))
				formed(w)
				if tt.play != nil {
					tt.play(w)
				}
				err := observe(t.Context(), w.targets()).GuardRestarting(tt.node)
				var tr *trouble.Error
				if errors.As(err, &tr); (err == nil) != (tt.id == "") || err != nil && (tr == nil || tr.ID != tt.id) {
					t.Errorf("got %v, want %q", err, tt.id)
				}
			})
		})
	}
}

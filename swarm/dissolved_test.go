package swarm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dcalab/dcalab/engine"
)

// A node that was down when the swarm was dissolved comes back: a second
// dissolve takes it out, and bootstrap into the next swarm, without --take-over.
func TestDissolvedWhileANodeWasDown(t *testing.T) {
	for _, tt := range []struct {
		name, roles string
		down        int
		steps       string // of bootstrap, before there is a new swarm
		into        string // and after
	}{
		{"a worker", "mww", 2, "n3 leave, n1 init, n2 join, n3 join,  await", "n3 leave, n3 join,  await"},
		{"a manager", "mmm", 1, "n2 leave, n1 init, n2 join, n3 join,  await", "n2 leave, n2 join,  await"},
		{"the first manager", "mmm", 0, "n1 leave, n2 init, n1 join, n3 join,  await", "n1 leave, n1 join,  await"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab(tt.roles))
				formed(w)
				w.halt(tt.down)
				d, err := dissolve(t.Context(), w.targets(), how{})
				if err == nil || len(d.Dissolved) != 1 {
					t.Fatalf("%v, left %v", err, d.Dissolved)
				}
				w.restart(tt.down)
				targets := func() []Target {
					ts := w.targets()
					for i := range ts {
						ts[i].Dissolved = d.Dissolved
					}
					return ts
				}
				back := w.engines[tt.down].name
				v := observe(t.Context(), targets())
				if n, _ := v.Node(back); n.State != StateRemoved || v.Cluster != "" || len(v.CandidateSwarms) > 0 || !strings.Contains(strings.Join(v.Warnings, "; "), "dissolved") {
					t.Errorf("%s is %s in %q, warnings %v", back, n.State, v.Cluster, v.Warnings)
				}
				if got := describe(PlanDissolve(v).Steps()); got != back+" leave" {
					t.Errorf("a second dissolve would do %s", got)
				}
				if p, err := PlanBootstrap(w.lab, v, PlanOptions{}); err != nil || describe(p.Steps()) != tt.steps {
					t.Errorf("bootstrap: %v, %s", err, describe(p.Steps()))
				}
				// The others have a new swarm by then.
				first := (tt.down + 1) % 3
				if tt.roles == "mww" {
					first = 0
				}
				w.init(first)
				for i := range w.engines {
					if i != first && i != tt.down {
						w.join(i, first, map[byte]engine.Role{'m': engine.RoleManager, 'w': engine.RoleWorker}[tt.roles[i]])
					}
				}
				res, err := bootstrap(t.Context(), w.lab, targets(), how{})
				if err != nil || describe(res.Steps) != tt.into {
					t.Errorf("bootstrap into the next: %v, %s", err, describe(res.Steps))
				}
			})
		})
	}
}

// A swarm that has a leader lives, whatever was done to it.
func TestDissolvedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mw"))
		formed(w)
		ts := w.targets()
		for i := range ts {
			ts[i].Dissolved = []string{w.engines[0].swarm}
		}
		p, err := PlanBootstrap(w.lab, observe(t.Context(), ts), PlanOptions{})
		if err != nil || !p.Empty() {
			t.Errorf("%v, %s", err, p)
		}
	})
}

// One that is interrupted when the last node has left knows that this swarm is
// gone, or a node that was down would come back as a stranger.
func TestDissolveInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mww"))
		formed(w)
		w.halt(2)
		for _, c := range []struct {
			at   string // the last step that is begun
			left []string
		}{
			{"n2 leave", nil},
			{"n1 leave", []string{w.engines[0].swarm}},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			d, err := dissolve(ctx, w.targets(), how{Progress: func(e Event) {
				if e.Done && e.Node+" "+string(e.Kind) == c.at {
					cancel()
				}
			}})
			cancel()
			if !errors.Is(err, context.Canceled) || !slices.Equal(d.Dissolved, c.left) {
				t.Errorf("interrupted after %s: %v, left %q, want %q", c.at, err, d.Dissolved, c.left)
			}
		}
	})
}

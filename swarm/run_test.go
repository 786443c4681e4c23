package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/dcalab/dcalab/engine"
)

// play is a step of a made-up plan; it notes that it was done.
type play struct {
	leaveStep
	err  error
	note func(string)
}

func (p play) Do(context.Context, *Run) error {
	p.note(p.Why)
	return p.err
}

// What a failed step means for those after it.
func TestAFailedStep(t *testing.T) {
	for _, tt := range []struct {
		name    string
		failure onFailure
		want    string
	}{
		{"its node is left alone", leaveNode, "n1 fails, n2 first, n2 second"},
		{"nothing is begun any more", stopRun, "n1 fails, n2 first"},
		{"all goes on", goOn, "n1 fails, n1 second, n2 first, n2 second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(testLab("mw"))
			formed(w)
			var mu sync.Mutex
			var did []string
			step := func(node, what string, err error) Step {
				return play{leaveStep{on: on(node), Why: node + " " + what}, err, func(what string) {
					mu.Lock()
					defer mu.Unlock()
					did = append(did, what)
				}}
			}
			var failed []failure
			no := errors.New("no")
			p := Plan{View: observe(t.Context(), w.targets()), end: func(_ context.Context, _ *Run, _ Plan, f []failure, _ *Result) error {
				failed = f
				return nil
			}}
			p.stageThat(tt.failure, "first", step("n1", "fails", no), step("n2", "first", nil))
			p.stageThat(tt.failure, "second", step("n1", "second", nil), step("n2", "second", nil))
			if _, err := New(w.targets(), Options{}).Run(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			slices.Sort(did)
			if got := strings.Join(did, ", "); got != tt.want {
				t.Errorf("did %s, want %s", got, tt.want)
			}
			if len(failed) != 1 || !errors.Is(failed[0].err, no) || failed[0].step.Node() != "n1" {
				t.Errorf("failed: %v", failed)
			}
		})
	}
}

// Plans are pure: none changes the view that it is made from.
func TestPlansArePure(t *testing.T) {
	w := newWorld(testLab("mmmw"))
	formed(w)
	w.autolock(0)
	w.restart(2)
	v := observe(t.Context(), w.targets())
	before := fmt.Sprintf("%+v", v)
	for name, plan := range map[string]func() (Plan, error){
		"promote":  func() (Plan, error) { return PlanPromote(v, []string{"n4"}) },
		"demote":   func() (Plan, error) { return PlanDemote(v, []string{"n3"}, false) },
		"remove":   func() (Plan, error) { return PlanRemove(v, []string{"n4"}, false) },
		"drain":    func() (Plan, error) { return PlanAvailability(v, []string{"n4"}, engine.AvailabilityDrain) },
		"label":    func() (Plan, error) { return PlanLabels(v, []string{"n4"}, map[string]string{"a": "b"}, nil) },
		"dissolve": func() (Plan, error) { return PlanDissolve(v), nil },
		"unlock":   func() (Plan, error) { return PlanUnlock(v, ""), nil },
	} {
		p, err := plan()
		if err != nil || p.Empty() || len(p.Runbook) == 0 {
			t.Errorf("%s: %v, %s", name, err, p)
		}
		if r := p.Result(); r.Before != v.Quorum || describe(r.Steps) != describe(p.Steps()) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if after := fmt.Sprintf("%+v", v); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
}

// One that answers us, and that a new leader has not heard of yet, is waited for.
func TestPromoteWaitsUntilTheLeaderHasHeardOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mw"))
		formed(w)
		n := w.swarms["swarm01"].nodes[1]
		n.cut = true
		c := New(w.targets(), Options{})
		v, err := c.Changeable(t.Context(), []string{"n2"}, AwaitNamed, false)
		if err != nil || len(notHeardByLeader(v, []string{"n2"})) != 1 {
			t.Errorf("%v: %+v", err, v.Nodes)
		}
		if _, err := PlanPromote(v, []string{"n2"}); err == nil {
			t.Error("one that is down is promoted")
		}
		told := 0
		c = New(w.targets(), Options{Progress: func(e Event) {
			if e.Node == "n2" && e.Kind == KindAwait {
				told++
				w.mu.Lock()
				defer w.mu.Unlock()
				n.cut = false
			}
		}})
		if v, err = c.Changeable(t.Context(), []string{"n2"}, AwaitNamed, false); err != nil || told != 1 {
			t.Errorf("%v, told %d times", err, told)
		}
		if _, err := PlanPromote(v, []string{"n2"}); err != nil {
			t.Error(err)
		}
	})
}

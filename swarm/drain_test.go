package swarm

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dcalab/dcalab/engine"
)

// A drained node is not empty where somebody started containers by hand.
func TestDrainTellsOfOtherContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mww"))
		formed(w)
		w.engines[1].standalone, w.engines[2].standalone = 2, 1
		ch, err := setAvailability(t.Context(), w.targets(), []string{"n2", "n3"}, engine.AvailabilityDrain, how{})
		got := strings.Join(ch.Warnings, "\n")
		if err != nil || !strings.Contains(got, "2 other containers stay on n2") || !strings.Contains(got, "1 other container stays on n3") {
			t.Errorf("%v, warnings %q", err, got)
		}
		ch, _ = setAvailability(t.Context(), w.targets(), []string{"n1"}, engine.AvailabilityDrain, how{})
		if strings.Contains(strings.Join(ch.Warnings, "\n"), "container") {
			t.Errorf("of none it tells %q", ch.Warnings)
		}
	})
}

package machine

import (
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/trouble"
)

func TestPreflightTellsTheFailuresAtOnce(t *testing.T) {
	memory := Check{ID: "memory", What: "memory"}
	subnet := Check{ID: "subnet", What: "subnet"}
	if err := Preflight([]Check{memory.Warning("little", Advise("close programs")), subnet.OK("free"), memory.Unknown("?")}); err != nil {
		t.Errorf("nothing failed, and %v", err)
	}
	one := Preflight([]Check{memory.OK("enough"), subnet.Failure("taken", Advise("another subnet"))})
	if got := one.Error(); got != "the lab cannot run on this machine: taken" {
		t.Errorf("%q", got)
	}
	both := Preflight([]Check{memory.Failure("none", Command("true")), subnet.Failure("taken", Advise("a"), Advise("b"))})
	if !strings.Contains(both.Error(), "none; taken") || trouble.ExitStatus(both) != trouble.ExitRequirement {
		t.Error(both)
	}
	if got := trouble.Advice(both); !slices.Equal(got, []string{"true", "a", "b"}) {
		t.Errorf("%q", got)
	}
}

package cmd

import (
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

func TestOutcome(t *testing.T) {
	err := &trouble.Error{ID: "last-manager", What: "demote master", Why: "it is the last manager", Next: []string{"dcalab promote node01"}}
	got := outcome(time.Unix(0, 0), []string{"demote", "master"}, 1200*time.Millisecond, err, 5)
	want := "1970-01-01T00:00:00Z dcalab demote master: exit status 5 after 1.2s (last-manager): " + err.Error() + "\n  dcalab promote node01\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := strings.Join(public([]string{"--lab", "x", "exec", "all", "--", "echo", "secret"}), " "); got != "--lab x exec …" {
		t.Errorf("%q", got)
	}
}

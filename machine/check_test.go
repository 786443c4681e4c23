package machine

import (
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

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

// A command is shown as a shell would read it back.
func TestShellLine(t *testing.T) {
	if got := ShellLine([]string{"sudo", "modprobe", "-a", "veth"}); got != "sudo modprobe -a veth" {
		t.Error(got)
	}
	if runtime.GOOS == "windows" {
		t.Skip("no POSIX shell")
	}
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[ -~\n\t'"$\\]{0,8}`), 1, 4).Draw(t, "words")
		out, err := exec.Command("sh", "-c", `printf '%s\001' `+ShellLine(words)).Output()
		if want := strings.Join(words, "\x01") + "\x01"; err != nil || string(out) != want {
			t.Fatalf("%q, want %q: %v", out, want, err)
		}
	})
}

package sudo

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCommand: it is this program, and keeps what dcalab reads of the environment.
func TestCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sudo")
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("DCALAB_LAB", "ha")
	if _, err := Command("dcalab", nil); !errors.Is(err, ErrMissing) {
		t.Errorf("without sudo: %v", err)
	}
	sudo := filepath.Join(dir, "sudo")
	if err := os.WriteFile(sudo, nil, 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	cmd, err := Command("./dcalab", []string{"--driver=sandbox", "up"})
	if err != nil {
		t.Fatal(err)
	}
	self, _ := os.Executable()
	kept, _ := strings.CutPrefix(cmd.Args[1], "--preserve-env=")
	keeps := strings.Split(kept, ",")
	if cmd.Path != sudo || !slices.Equal(cmd.Args[2:], []string{"--", self, "--driver=sandbox", "up"}) ||
		!slices.Contains(keeps, "DCALAB_LAB") || !slices.Contains(keeps, Variable) || slices.Contains(keeps, "PATH") {
		t.Errorf("sudo is called with %q", cmd.Args)
	}
	if !slices.Contains(cmd.Env, Variable+"=./dcalab") {
		t.Errorf("the environment is %q", cmd.Env)
	}
}

// TestOutcome: a status comes back as it was, and sudo's own is none.
func TestOutcome(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sudo")
	}
	run := func(line string) (int, error) {
		return Outcome(exec.CommandContext(t.Context(), "sh", "-c", line).Run())
	}
	for _, status := range []int{0, 1, 3, 130} {
		if got, err := run("exit " + strconv.Itoa(ExitStatus(status))); got != status || err != nil {
			t.Errorf("%d comes back as %d: %v", status, got, err)
		}
	}
	if _, err := run("exit 1"); !errors.Is(err, ErrRefused) {
		t.Errorf("sudo refuses: %v", err)
	}
	if _, err := run("kill -KILL $$"); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("it is killed: %v", err)
	}
}

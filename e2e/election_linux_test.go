package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestElectionSeen cuts the leader's power and looks on: first the machine is
// seen to be halted and nobody to lead, then the election, then who won it.
func TestElectionSeen(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("real nodes need root: make scenarios")
	}
	t.Parallel()
	dcalab := binary(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "labs.yaml"), []byte(liveLab), 0o644); err != nil {
		t.Fatal(err)
	}
	release, err := isolate()
	if release != nil {
		t.Cleanup(release)
	}
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TERM=xterm-256color", quickExit}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(dcalab, args...)
		cmd.Dir, cmd.Env = dir, environ
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("dcalab %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("up", "--swarm")
	id := readID(filepath.Join(dir, ".dcalab", "dca"))
	t.Cleanup(func() {
		run("destroy", "--force")
		if found := findTraces(id); len(found) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(found, "\n"))
		}
	})
	w := watch(t, dcalab, dir, environ)
	w.sees("the whole swarm", `quorum +■ ■ │ ■ +3 managers, 3 reachable`)
	gone := regexp.MustCompile(`leader +(m\d),`).FindStringSubmatch(w.vt.String())[1]
	if err := syscall.Kill(initOf(t, id, gone), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Each of these is over before the next one is there, and none was shown by
	// a view that waits for the engines.
	w.sees("the machine", gone+` +halted +manager +\S+ +- +0 `, `leader +none, for .* \(before: `+gone+`\)`, `election in progress`)

	// status does not take the engines for stopped: until there is a leader, it
	// is an election, whatever moment it is asked at.
	for leader := ""; leader == ""; {
		out := run("status")
		for _, wrong := range []string{"engine-down", "quorum lost", "bring managers back", "no engine answers"} {
			if strings.Contains(out, wrong) {
				t.Fatalf("status says %q:\n%s", wrong, out)
			}
		}
		if m := regexp.MustCompile(`(?m)^(m\d) .*\(Leader\)`).FindStringSubmatch(out); m != nil {
			leader = m[1]
		} else if !strings.Contains(out, "election in progress") {
			t.Fatalf("neither a leader nor an election:\n%s", out)
		}
	}
	w.sees("who won", `leader +m\d, for .* \(before: none\)`, gone+` +halted +manager \(Unreachable\)`)
	w.press("q")
	w.leaves(0)
}

// initOf is the process that is a node's PID 1.
func initOf(t *testing.T, id, node string) int {
	t.Helper()
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		cmdline, _ := os.ReadFile(p + "/cmdline")
		if !strings.Contains(string(cmdline), "sandbox-init\x00"+id+"\x00"+node) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil {
			return pid
		}
	}
	t.Fatalf("%s does not run", node)
	return 0
}

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestElectionSeen cuts the leader's power and looks on: first the machine is
// seen to be halted and nobody to lead, then the election, then who won it. The
// two others are kept from each other's raft, so the election lasts until it
// has been looked at, however fast or busy this machine is.
func TestElectionSeen(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("real nodes need root: make scenarios")
	}
	t.Parallel()
	dcalab := raced(t)
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
	w.sees("the whole swarm", `quorum +■ ■ │ ■ +3 managers, 3 reachable`, `m1 .* Ready +0 `, `m2 .* Ready +0 `, `m3 .* Ready +0 `)
	gone := regexp.MustCompile(`leader +(m\d),`).FindStringSubmatch(w.vt.String())[1]
	voters := slices.DeleteFunc([]string{"m1", "m2", "m3"}, func(n string) bool { return n == gone })
	raft := func(action string) { // -I: neither voter hears the other; -D: as before
		for _, port := range []string{"--dport", "--sport"} {
			run("ssh", voters[0], "--", "sudo iptables "+action+" INPUT -s "+strings.Replace(voters[1], "m", "10.20.20.1", 1)+" -p tcp "+port+" 2377 -j DROP")
		}
	}
	raft("-I")
	if err := syscall.Kill(initOf(t, id, gone), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.sees("the election", gone+` +halted +manager +\S+ +- +0 `, `leader +none, for .* \(before: `+gone+`\)`, `raft +electing, term \d+, \d`, `election in progress`)

	// status does not take the engines for stopped: until there is a leader, it
	// is an election, whatever moment it is asked at.
	led := regexp.MustCompile(`(?m)^m\d .*\(Leader\)`)
	status := func() string {
		t.Helper()
		out := run("status")
		for _, wrong := range []string{"engine-down", "quorum lost", "bring managers back", "no engine answers"} {
			if strings.Contains(out, wrong) {
				t.Fatalf("status says %q:\n%s", wrong, out)
			}
		}
		if !led.MatchString(out) && !strings.Contains(out, "election in progress") {
			t.Fatalf("neither a leader nor an election:\n%s", out)
		}
		return out
	}
	if out := status(); led.MatchString(out) {
		t.Fatalf("a leader without a majority:\n%s", out)
	}
	raft("-D")
	for !led.MatchString(status()) {
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

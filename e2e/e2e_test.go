// Package e2e holds whole-program scenarios: scripts in testdata that run the
// real dcalab on real engines, and read as documentation of what it does.
//
// Every script runs in a network namespace of its own, which has a loopback
// interface and no way out, and must leave nothing behind: after each one the
// processes, cgroups, links and folders of its labs are looked for.
package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// binary is the dcalab under test: DCALAB_E2E_BINARY, or one built here.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("DCALAB_E2E_BINARY"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "dcalab")
	out, err := exec.Command("go", "build", "-race", "-o", path, "..").CombinedOutput()
	if err != nil {
		t.Fatalf("build dcalab: %v\n%s", err, out)
	}
	return path
}

// raced is the dcalab for tests under which most happens at once: one built with
// the race detector, DCALAB_E2E_RACED, where that is given.
func raced(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("DCALAB_E2E_RACED"); path != "" {
		return path
	}
	return binary(t)
}

// onPath makes a folder for PATH in which dcalab is that program.
func onPath(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(program, filepath.Join(dir, "dcalab")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// racedScript is the scenario that runs with raced.
const racedScript = "first_evening"

// quickExit is for the environment of a program built with the race detector:
// each one would sleep a second when it ends, in case a race is still to come.
const quickExit = "GORACE=atexit_sleep_ms=0"

func TestScenarios(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("real nodes need Linux and root: make scenarios")
	}
	t.Parallel()
	bin, racedBin := onPath(t, binary(t)), onPath(t, raced(t))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			release, err := isolate()
			if release != nil {
				env.Defer(release)
			}
			if err != nil {
				return fmt.Errorf("a network namespace of the script's own: %w", err)
			}
			path := bin
			if filepath.Base(env.WorkDir) == "script-"+racedScript {
				path = racedBin
			}
			env.Setenv("PATH", path+":"+os.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TERM", "dumb")
			env.Setenv("DCALAB_DRIVER", "sandbox") // whatever else this machine has
			env.Vars = append(env.Vars, quickExit)
			env.Defer(func() { cleanUp(env) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"json":       jsonEquals,
			"milestones": milestones,
			"lab-id":     labID,
			"traces":     traces,
			"sh":         shell,
			"exits":      exits,
			"types":      types,
			"mistakes":   mistakes,

			"demo-binary": demoBinary(t),
		},
	})
}

// eventually runs a command again and again until it succeeds and its output
// matches:
//
//	eventually 30s 'node02 .* Ready' dcalab status
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: eventually TIME REGEXP PROGRAM [ARG...]")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	want := regexp.MustCompile("(?m)" + args[1])
	var out []byte
	for more := asking(limit); more(); {
		cmd := command(ts, args[2], args[3:]...)
		out, err = cmd.CombinedOutput()
		if want.Match(out) != neg {
			return
		}
	}
	ts.Fatalf("not within %v: %s\n%v\n%s", limit, strings.Join(args[2:], " "), err, out)
}

// asking tells whether to ask once more, up to a time from now, and waits before that for as
// long as it took to ask: what is waited for needs the processors, too. The last time is
// when the time is over.
func asking(limit time.Duration) func() bool {
	deadline, asked := time.Now().Add(limit), time.Time{}
	return func() bool {
		if asked.IsZero() {
			asked = time.Now()
			return true
		}
		if asked.After(deadline) {
			return false
		}
		pause := min(max(time.Since(asked), 100*time.Millisecond), 3*time.Second)
		time.Sleep(min(pause, time.Until(deadline)+time.Millisecond))
		asked = time.Now()
		return true
	}
}

func command(ts *testscript.TestScript, name string, args ...string) *exec.Cmd {
	path := name
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if full := filepath.Join(dir, name); !strings.Contains(name, "/") && isFile(full) {
			path = full
			break
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TERM=dumb", "DCALAB_DRIVER=" + ts.Getenv("DCALAB_DRIVER"), quickExit}
	return cmd
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && !fi.IsDir()
}

// sh runs a line of shell, for what needs a pipe or a variable.
//
//	sh 'dcalab swarm token | wc -l'
func shell(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("bash", "-euo", "pipefail", "-c", strings.Join(args, " "))
	if neg && err == nil {
		ts.Fatalf("unexpected success")
	}
	if !neg {
		ts.Check(err)
	}
}

// exits runs a program that must end with this exit status:
//
//	exits 5 dcalab demote master
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARG...]")
	}
	status := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(status) != args[0] {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
}

// json checks one value of the JSON that the last command printed:
//
//	json quorum.managers 3
//	json nodes.1.swarm.role worker
func jsonEquals(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH VALUE")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for key := range strings.SplitSeq(args[0], ".") {
		switch in := v.(type) {
		case map[string]any:
			found, ok := in[key]
			if !ok {
				ts.Fatalf("no key %s of %s", key, args[0])
			}
			v = found
		case []any:
			var i int
			_, err := fmt.Sscan(key, &i)
			ts.Check(err)
			if i >= len(in) {
				ts.Fatalf("%s has only %d elements", args[0], len(in))
			}
			v = in[i]
		default:
			ts.Fatalf("%s ends before %s", args[0], key)
		}
	}
	if got := fmt.Sprint(v); (got == args[1]) == neg {
		ts.Fatalf("%s is %q, want %q (negated: %v)", args[0], got, args[1], neg)
	}
}

// labID sets ID to the id of a lab of the working folder, or to the ids that
// a file holds.
//
//	lab-id dca
//	lab-id file ids
func labID(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 2 && args[0] == "file" {
		ts.Setenv("ID", strings.Join(strings.Fields(ts.ReadFile(args[1])), " "))
		return
	}
	if len(args) != 1 {
		ts.Fatalf("usage: lab-id LAB | lab-id file NAME")
	}
	ts.Setenv("ID", readID(ts.MkAbs(filepath.Join(".dcalab", args[0]))))
}

func readID(dir string) string {
	var r struct{ ID string }
	data, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if err != nil {
		return ""
	}
	_ = json.Unmarshal(data, &r)
	return r.ID
}

// traces fails when anything of the labs with these ids is left on this
// machine (or, negated, when nothing is).
func traces(ts *testscript.TestScript, neg bool, args []string) {
	ids := strings.Fields(strings.Join(args, " "))
	if len(ids) == 0 {
		ts.Fatalf("usage: traces ID...")
	}
	for _, id := range ids {
		if len(id) != 12 {
			ts.Fatalf("%q is no id of a lab", id)
		}
		if found := findTraces(id); (len(found) > 0) != neg {
			ts.Fatalf("traces of lab %s:\n%s", id, strings.Join(found, "\n"))
		}
	}
}

// findTraces looks wherever a lab leaves something while it lives.
func findTraces(id string) []string {
	var found []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		cmdline, _ := os.ReadFile(p + "/cmdline")
		cgroup, _ := os.ReadFile(p + "/cgroup")
		if len(cmdline) == 0 {
			continue // a zombie, which only waits for the host's PID 1 to collect it
		}
		if strings.Contains(string(cmdline), "sandbox-init\x00"+id) || strings.Contains(string(cgroup), "/dcalab/"+id) {
			found = append(found, "process "+p+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/dcalab/" + id, "/sys/fs/cgroup/*/dcalab/" + id, "/run/dcalab/" + id, "/var/lib/dcalab/" + id} {
		paths, _ := filepath.Glob(pattern)
		found = append(found, paths...)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, id) {
			found = append(found, "mount "+line)
		}
	}
	for _, list := range [][]string{{"ip", "-o", "link"}, {"iptables-save"}} {
		out, err := exec.Command(list[0], list[1:]...).CombinedOutput()
		if err != nil {
			found = append(found, fmt.Sprintf("%s: %v: %s", list[0], err, out))
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, id[:6]) {
				found = append(found, line)
			}
		}
	}
	return found
}

// cleanUp destroys what a script left up, as its author would, and then
// nothing may be left.
func cleanUp(env *testscript.Env) {
	t, ok := env.T().(interface{ Errorf(string, ...any) })
	if !ok {
		panic("testscript's T has no Errorf")
	}
	states, _ := filepath.Glob(env.WorkDir + "/.dcalab/*/lab.json")
	deeper, _ := filepath.Glob(env.WorkDir + "/*/.dcalab/*/lab.json")
	for _, record := range append(states, deeper...) {
		dir := filepath.Dir(record)
		id := readID(dir)
		if id == "" {
			continue // the same lab, reached through a link
		}
		cmd := exec.Command("dcalab", "--lab", filepath.Base(dir), "destroy", "--force")
		cmd.Path = filepath.Join(filepath.SplitList(env.Getenv("PATH"))[0], "dcalab")
		cmd.Err = nil
		cmd.Dir = filepath.Dir(filepath.Dir(dir))
		if _, err := os.Stat(filepath.Join(cmd.Dir, "labs.yaml")); err == nil {
			cmd.Args = append(cmd.Args, "--config", "labs.yaml") // named, another user's is read, too
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("destroy lab in %s: %v\n%s", dir, err, out)
		}
		if found := findTraces(id); len(found) > 0 {
			t.Errorf("lab %s left behind:\n%s", filepath.Base(dir), strings.Join(found, "\n"))
		}
	}
}

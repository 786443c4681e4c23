package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMachines runs scripts on real machines, made by real Vagrant, in the bed
// of scripts/vm-bed. A wrapper before Vagrant notes each of its starts.
func TestMachines(t *testing.T) {
	if os.Getenv("DCALAB_VM_BED") == "" {
		t.Skip("real machines: make test-vm")
	}
	vagrant, err := exec.LookPath("vagrant")
	if err != nil {
		t.Fatal(err)
	}
	bin := onPath(t, binary(t))
	wrapper := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>\"$VAGRANT_STARTS\"\nexec %s \"$@\"\n", vagrant)
	if err := os.WriteFile(filepath.Join(bin, "vagrant"), []byte(wrapper), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/vm",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			for _, key := range []string{"VAGRANT_HOME", "VAGRANT_DEFAULT_PROVIDER", "DCALAB_VM_BOX"} {
				env.Setenv(key, os.Getenv(key))
			}
			env.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TERM", "dumb")
			env.Setenv("DCALAB", binary(t))
			env.Setenv("VAGRANT_STARTS", filepath.Join(env.WorkDir, ".starts"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"json":       jsonEquals,
			"sh":         shell,
			"exits":      exits,
			"milestones": milestones,
			"starts":     starts,
			"types":      types,
		},
	})
}

// starts checks for which commands Vagrant was started since it was last
// asked, in order:
//
//	starts up
//	starts
//
// What is promised is that Vagrant is not started needlessly. On a machine that
// has other work to do a node may answer late, and then asking Vagrant is right;
// that is excused where dcalab's log tells of the wait.
func starts(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.Getenv("VAGRANT_STARTS")
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		ts.Check(err)
	}
	_ = os.Remove(path)
	logs, err := filepath.Glob(ts.MkAbs(".dcalab/*/dcalab.log"))
	ts.Check(err)
	var log strings.Builder
	for _, name := range logs {
		whole, err := os.ReadFile(name)
		ts.Check(err)
		seen, _ := strconv.Atoi(ts.Getenv("SEEN_OF_" + filepath.Base(filepath.Dir(name)))) // 0 at first
		log.Write(whole[min(seen, len(whole)):])
		ts.Setenv("SEEN_OF_"+filepath.Base(filepath.Dir(name)), strconv.Itoa(len(whole)))
	}
	excused, wrong := judgeStarts(strings.Split(strings.TrimSpace(string(text)), "\n"), args, log.String())
	for _, line := range excused {
		ts.Logf("a node answered late, so that Vagrant was asked: vagrant %s", line)
	}
	if wrong != "" {
		ts.Fatalf("%s\nVagrant's starts:\n%s\ndcalab's log:\n%s", wrong, text, log.String())
	}
}

// late is a line of dcalab's log on a node that it waited for.
var late = regexp.MustCompile(`(?m)^(\S+): no answer after ([0-9.]+)s$`)

// judgeStarts compares the starts of Vagrant, as it was called, with the
// commands that are wanted. Beside these may be a status of nodes each of which
// did not answer for a second or more, and an ssh-config of such a node, once
// for each time that the log tells of it.
func judgeStarts(lines, want []string, log string) (excused []string, wrong string) {
	waits := map[string]int{} // waits that excuse a status, by node
	for _, m := range late.FindAllStringSubmatch(log, -1) {
		if seconds, err := strconv.ParseFloat(m[2], 64); err == nil && seconds >= 1 {
			waits[m[1]]++
		}
	}
	found := map[string]int{} // nodes that Vagrant was rightly asked about
	var got []string
	rest := want
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		got = append(got, words[0])
		var nodes []string
		for _, w := range words[1:] {
			if !strings.HasPrefix(w, "-") {
				nodes = append(nodes, w)
			}
		}
		if len(rest) > 0 && words[0] == rest[0] {
			rest = rest[1:]
			for _, n := range nodes {
				waits[n]-- // a wait excuses no second one
			}
			continue
		}
		right := map[string]map[string]int{"status": waits, "ssh-config": found}[words[0]]
		all := len(nodes) > 0
		for _, n := range nodes {
			all = all && right[n] > 0
		}
		if !all {
			return nil, fmt.Sprintf("Vagrant was started for %q, want %q; for %q there was no need", strings.Join(got, " "), strings.Join(want, " "), line)
		}
		for _, n := range nodes {
			right[n]--
			if words[0] == "status" {
				found[n]++
			}
		}
		excused = append(excused, line)
	}
	if len(rest) > 0 {
		return nil, fmt.Sprintf("Vagrant was started for %q, want %q", strings.Join(got, " "), strings.Join(want, " "))
	}
	return excused, ""
}

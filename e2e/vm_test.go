package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	bin := t.TempDir()
	if err := os.Symlink(binary(t), filepath.Join(bin, "dcalab")); err != nil {
		t.Fatal(err)
	}
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
func starts(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.Getenv("VAGRANT_STARTS")
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		ts.Check(err)
	}
	_ = os.Remove(path)
	var got []string
	for line := range strings.Lines(string(text)) {
		command, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		got = append(got, command)
	}
	if want := strings.Join(args, " "); strings.Join(got, " ") != want {
		ts.Fatalf("Vagrant was started for %q, want %q:\n%s", strings.Join(got, " "), want, text)
	}
}

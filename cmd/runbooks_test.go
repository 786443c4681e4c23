package cmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/lab"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// plausible gives each command that takes arguments some that it could have.
func plausible() map[string][]string {
	return map[string][]string{
		"promote": {"node01"}, "demote": {"node01"}, "drain": {"node01"}, "pause": {"node01"}, "activate": {"node01"},
		"remove": {"node01"}, "join": {"node01"}, "swarm leave": {"node01"}, "label set": {"node01", "a=b"}, "label rm": {"node01", "a"},
		"snapshot save": {"one"}, "snapshot restore": {"one"}, "snapshot delete": {"one"},
		"snapshot export": {"one", "one.tar"}, "snapshot import": {"one.tar"},
		"ssh": {"master"}, "exec": {"--all", "--", "reboot"}, "cp": {"here", "node01:"}, "logs": {"master"},
		"break partition": {"node01"}, "break isolate": {"node01"}, "break bridge": {"node01"}, "break block": {"node01", "2377"}, "break loss": {"20%", "node01"},
		"break delay": {"200ms", "node01"}, "break rate": {"1mbit", "node01"},
		"break kill": {"node01"}, "break disk": {"node01", "95%"}, "break clock": {"node01", "+2h"}, "break freeze": {"node01"}, "break stop-engine": {"node01"}, "heal": {"f1"}, "swarm autolock": {"on"}, "swarm backup": {"swarm.tar.gz"}, "swarm restore": {"swarm.tar.gz"},
		"why": {"web"}, "image load": {"demo"}, "image host save": {"host.tar.gz"}, "image host load": {"host.tar.gz"}, "vagrant": {"--", "destroy", "-f"},
	}
}

// Whatever the command, and whether a lab is there or not: a dry run leaves
// this machine's files as they are.
func TestDryRunsTouchNothing(t *testing.T) {
	for _, explain := range []bool{false, true} {
		for _, driver := range []string{lab.DriverDocker, lab.DriverSandbox, lab.DriverVagrant} {
			for path, c := range commands(t) {
				if path != pathOf(c) || c.Hidden || isGroup(c) || cobras(path) {
					continue
				}
				name := strings.Join([]string{driver, path, map[bool]string{true: "explained"}[explain]}, " ")
				t.Run(name, func(t *testing.T) {
					home := t.TempDir()
					t.Setenv("HOME", home)
					t.Setenv("XDG_STATE_HOME", home)
					t.Setenv("PATH", t.TempDir()) // neither vagrant, docker nor sudo
					args := append([]string{"--driver", driver, "--dry-run"}, strings.Fields(path)...)
					if explain {
						args = append([]string{"--explain"}, args...)
					}
					status, out, story := run(t, append(args, plausible()[path]...)...)
					if status == trouble.ExitOK && out == "" {
						t.Errorf("it says nothing: %s", story)
					}
					if strings.Contains(story, labsession.ErrReadOnly.Error()) {
						t.Error(story)
					}
					if left := files(t, "."); len(left) > 0 {
						t.Errorf("it made %q", left)
					}
					if left := files(t, home); len(left) > 0 {
						t.Errorf("it made %q in the home", left)
					}
				})
			}
		}
	}
}

func files(t *testing.T, root string) (all []string) {
	t.Helper()
	if err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if path != root {
			all = append(all, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// Where a command forgets that it is a dry run, it is stopped at the door.
func TestDryRunNeverBeginsToChange(t *testing.T) {
	state, err := lab.OpenState(t.TempDir(), "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	a := &app{streams: ui.Streams{Out: os.Stdout, Err: os.Stderr}, settings: viper.New()}
	a.settings.Set("dry-run", true)
	s := &session{app: a, Session: labsession.Of(a.lab(), labsession.Parts{State: state})}
	if _, err := s.change(t.Context()); !errors.Is(err, labsession.ErrReadOnly) {
		t.Errorf("change: %v", err)
	}
	if err := (asRoot{s}).rerun(); !errors.Is(err, labsession.ErrReadOnly) {
		t.Errorf("sudo: %v", err)
	}
	if _, err := os.Lstat(state.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state folder exists (%v)", err)
	}
}

// Without Vagrant, a dry run refuses as up does; a runbook is for whoever has
// to install it as well.
func TestARunbookNeedsNoVagrant(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, key := range []string{"VAGRANT_CWD", "VAGRANT_VAGRANTFILE", "VAGRANT_DOTFILE_PATH"} {
		t.Setenv(key, "")
	}
	status, _, story := run(t, "--driver", "vagrant", "up", "--dry-run")
	if status != trouble.ExitRequirement {
		t.Errorf("exit status %d:\n%s", status, story)
	}
	status, out, story := run(t, "--driver", "vagrant", "--provider", "virtualbox", "up", "--swarm", "--dry-run", "--explain")
	if status != trouble.ExitOK {
		t.Fatalf("exit status %d:\n%s", status, story)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(out, dir, "DIR")) {
		text, _, _ := strings.Cut(strings.TrimSpace(line), "  ") // without the remark
		lines = append(lines, text)
	}
	const file = "testdata/runbook-up.golden"
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(repository+"/cmd/"+file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(repository + "/cmd/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

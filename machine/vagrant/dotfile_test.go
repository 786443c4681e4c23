package vagrant

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/machine"
)

func put(t *testing.T, text string, elem ...string) {
	t.Helper()
	path := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What lies beside labs.yaml, and may have come with a repository, is nothing
// that Vagrant loads: neither a plugin, nor a Vagrantfile, nor an id of a machine.
func TestVagrantLoadsNothingThatWasShipped(t *testing.T) {
	f := newStage(t)
	t.Setenv("VAGRANT_DOTFILE_PATH", filepath.Join(f.state.Dir(), ".vagrant"))
	t.Setenv("VAGRANT_CWD", t.TempDir())
	t.Setenv("VAGRANT_VAGRANTFILE", "Vagrantfile.evil")
	f.play("up", `for n; do case $n in master|node*) up $n;; esac; done
env | grep ^VAGRANT_ >"$FAKE_VAGRANT/env"
cp Vagrantfile "$FAKE_VAGRANT/seen"`)
	if err := f.Up(t.Context(), machine.Observer{}, "master"); err != nil {
		t.Fatal(err)
	}
	put(t, "system('touch /tmp/pwned')", f.state.Dir(), "Vagrantfile")
	put(t, `{"installed":{"evil":{}}}`, f.state.Dir(), ".vagrant", "plugins.json")
	put(t, "somebody-elses", f.state.Dir(), ".vagrant", "machines", "node02", "virtualbox", "id")
	if err := f.Up(t.Context(), machine.Observer{}, "node01"); err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile(filepath.Join(f.dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(env)), "\n")
	for _, want := range []string{"VAGRANT_DOTFILE_PATH=" + f.dotfile.path(), "VAGRANT_CWD=" + f.state.Dir(), "VAGRANT_VAGRANTFILE=Vagrantfile"} {
		if !slices.Contains(lines, want) {
			t.Errorf("Vagrant was not given %s:\n%s", want, env)
		}
	}
	if strings.HasPrefix(f.dotfile.path(), f.state.Dir()) {
		t.Errorf("Vagrant's folder is in the lab's: %s", f.dotfile.path())
	}
	if seen, err := os.ReadFile(filepath.Join(f.dir, "seen")); err != nil || strings.Contains(string(seen), "pwned") {
		t.Errorf("Vagrant ran somebody else's Vagrantfile (%v)", err)
	}
	ids, err := f.dotfile.machineIDs()
	if err != nil || ids["node02"] != "" || ids["node01"] == "" {
		t.Errorf("the machines are %v, %v", ids, err)
	}
}

// Every way in which Vagrant is started renders the file anew.
func TestEveryStartOfVagrantHasItsOwnVagrantfile(t *testing.T) {
	f := newStage(t)
	if err := f.Up(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	const seen = `cp Vagrantfile "$FAKE_VAGRANT/seen"; `
	for _, command := range []string{"status", "halt", "destroy", "snapshot", "ssh-config", "version"} {
		f.play(command, seen)
	}
	for name, start := range map[string]func(){
		"command":  func() { c, _ := f.Command(t.Context(), "version"); _ = c.Run() },
		"status":   func() { _, _ = f.vagrant.run(t.Context(), func(event) {}, "status") },
		"endpoint": func() { _, _, _ = f.vagrant.askEndpoint(t.Context(), f.cfg.Lab.Nodes[0]) },
		"holders":  func() { _, _ = f.holders(t.Context(), "x") },
		"halt":     func() { _ = f.Halt(t.Context(), machine.Observer{}) },
		"destroy":  func() { _ = f.Destroy(t.Context(), machine.Observer{}) },
	} {
		put(t, "evil", f.state.Dir(), "Vagrantfile")
		_ = os.Remove(filepath.Join(f.dir, "seen"))
		start()
		if text, err := os.ReadFile(filepath.Join(f.dir, "seen")); err != nil || string(text) == "evil" {
			t.Errorf("%s: Vagrant read %q (%v)", name, text, err)
		}
		if name == "destroy" { // the machines are there for whoever comes next
			if err := f.Up(t.Context(), machine.Observer{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestVagrantsFolderIsOursOrItIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"a link": func(t *testing.T, dir string) {
			t.Helper()
			elsewhere := t.TempDir()
			if err := os.Rename(dir, filepath.Join(elsewhere, "x")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(elsewhere, "x"), dir); err != nil {
				t.Fatal(err)
			}
		},
		"a file": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			put(t, "", dir)
		},
		"others may write to it": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		},
		"others may write above it": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Chmod(filepath.Dir(dir), 0o777); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newStage(t)
			if err := f.Up(t.Context(), machine.Observer{}); err != nil {
				t.Fatal(err)
			}
			f.starts()
			spoil(t, f.dotfile.path())
			_, err := f.Status(t.Context())
			wantTrouble(t, err, "state-not-trusted")
			for _, err := range []error{
				f.Up(t.Context(), machine.Observer{}), f.Halt(t.Context(), machine.Observer{}), f.Destroy(t.Context(), machine.Observer{}),
			} {
				wantTrouble(t, err, "state-not-trusted")
			}
			if _, err := f.Command(t.Context(), "version"); err == nil {
				t.Error("Vagrant is started all the same")
			}
			if got := f.starts(); len(got) > 0 {
				t.Errorf("Vagrant was started: %q", got)
			}
		})
	}
}

// A lab of an earlier release keeps its machines, and brings no plugin along.
func TestALabOfAnEarlierReleaseKeepsItsMachines(t *testing.T) {
	f := newStage(t)
	old := filepath.Join(f.state.Dir(), legacyDotfile)
	home := t.TempDir()
	t.Setenv("VAGRANT_HOME", home)
	put(t, "id-of-master\n", old, "machines", "master", "virtualbox", "id")
	put(t, "0a1b", old, "machines", "master", "virtualbox", "index_uuid")
	put(t, `{}`, old, "plugins.json")
	_, err := f.dotfile.machineIDs() // as a repository could ship it
	wantTrouble(t, err, "vagrant-folder-refused")
	put(t, `{"version":1,"machines":{"0a1b":{"name":"master","provider":"virtualbox"}}}`, home, "data", "machine-index", "index")
	ids, err := f.dotfile.machineIDs()
	if err != nil || ids["master"] != "id-of-master" {
		t.Fatalf("%v, %v", ids, err)
	}
	entries, err := os.ReadDir(f.dotfile.path())
	if err != nil || len(entries) != 1 || entries[0].Name() != "machines" {
		t.Errorf("more came along: %v, %v", entries, err)
	}

	g := newStage(t)
	old = filepath.Join(g.state.Dir(), legacyDotfile)
	put(t, "id\n", old, "machines", "master", "virtualbox", "id")
	if err := os.Symlink(t.TempDir(), filepath.Join(old, "machines", "node01")); err != nil {
		t.Fatal(err)
	}
	_, err = g.dotfile.machineIDs()
	wantTrouble(t, err, "vagrant-folder-refused")
}

// A user whose state folder is another one today does not get the machines a
// second time.
func TestMachinesWhoseNotesAreElsewhereAreNotMadeAgain(t *testing.T) {
	f := newStage(t)
	if err := f.Up(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	f.starts()
	cfg := f.cfg
	cfg.Index = indexBelow(t, t.TempDir())
	f.Driver = New(cfg)
	wantTrouble(t, f.Up(t.Context(), machine.Observer{}), "vagrant-folder-missing")
	if got := f.starts(); len(got) > 0 {
		t.Errorf("Vagrant was started: %q", got)
	}
}

func TestDestroyLeavesNoFolderOfVagrants(t *testing.T) {
	f := newStage(t)
	f.play("destroy", `for n; do gone $n; done`)
	if err := f.Up(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	if err := f.Destroy(t.Context(), machine.Observer{}, "node01"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.dotfile.path()); err != nil {
		t.Errorf("it went with one machine of three: %v", err)
	}
	if err := f.Destroy(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.dotfile.path()); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if ids, err := f.dotfile.machineIDs(); err != nil || len(ids) != 0 {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestTheIDOfALabIsNoPath(t *testing.T) {
	x := indexBelow(t, t.TempDir())
	for _, id := range []string{"", ".", "..", "../x", "a/b", "A", strings.Repeat("a", 33)} {
		if _, err := x.OpenVagrantDir(id, true); err == nil {
			t.Errorf("%q is taken for an id", id)
		}
	}
}

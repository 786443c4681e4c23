package dockercontext

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// contextsOf are those of a lab that was made in a folder of its own.
func contextsOf(t *testing.T, name string) Contexts {
	t.Helper()
	state, err := lab.OpenState(t.TempDir(), name, lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.WriteRecord(lab.Record{Format: 1, ID: "0123456789ab", Lab: name, Driver: lab.DriverSandbox}); err != nil {
		t.Fatal(err)
	}
	return Contexts{Lab: name, State: state}
}

func TestTheLinesInSSHsConfigurationComeAndGo(t *testing.T) {
	c := contextsOf(t, "dca")
	block, err := c.block()
	if err != nil {
		t.Fatal(err)
	}
	other, err := contextsOf(t, "dca2").block()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"an empty file":       "",
		"settings for all":    "ServerAliveInterval 7\n",
		"no newline at all":   "Host x\n  User y",
		"another lab's lines": other + "Host x\n",
	} {
		t.Run(name, func(t *testing.T) {
			if bare := withoutBlock(block+text, "dca"); bare != text {
				t.Errorf("%q", bare)
			}
			if bare := withoutBlock(text, "dca"); bare != text {
				t.Errorf("out of nothing: %q", bare)
			}
		})
	}
	// What its user moved, or half removed, is not taken for it.
	if bare := withoutBlock("Host x\n"+block+"User y\n", "dca"); bare != "Host x\nUser y\n" {
		t.Errorf("moved: %q", bare)
	}
	if bare := withoutBlock("Host x "+block, "dca"); bare != "Host x "+block {
		t.Errorf("in the middle of a line: %q", bare)
	}
	// An editor has given all lines the ends that most of them had.
	crlf := strings.NewReplacer("\n", "\r\n")
	if bare := withoutBlock(crlf.Replace(block+"Host x\n"), "dca"); bare != "Host x\r\n" {
		t.Errorf("with the ends of lines of Windows: %q", bare)
	}
	if text := crlf.Replace("Host x\n" + block); withBlock(text, block, "dca") != text {
		t.Errorf("they were put there twice:\n%s", withBlock(text, block, "dca"))
	}
	half := strings.Replace(block, blockEnd("dca"), "", 1)
	if bare := withoutBlock(half, "dca"); bare != half {
		t.Errorf("half removed: %q", bare)
	}
}

func TestTheLinesOfAnotherFoldersLabStay(t *testing.T) {
	one, two := contextsOf(t, "dca"), contextsOf(t, "dca")
	block, err := one.block()
	if err != nil {
		t.Fatal(err)
	}
	if err := one.refuseOtherLab("config", block); err != nil {
		t.Errorf("its own: %v", err)
	}
	if err := two.refuseOtherLab("config", block); err == nil || !strings.Contains(err.Error(), one.root()) {
		t.Errorf("another folder's: %v", err)
	}
	if err := one.State.Forget(); err != nil {
		t.Fatal(err)
	}
	if err := two.refuseOtherLab("config", block); err != nil {
		t.Errorf("of a lab that is gone: %v", err)
	}
}

// A lab that is reached through a link has the same context, and the same lines.
func TestAContextThroughALinkIsTheLabs(t *testing.T) {
	direct, other := contextsOf(t, "dca"), contextsOf(t, "dca")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(direct.root(), link); err != nil {
		t.Skip(err)
	}
	state, err := lab.OpenState(link, "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	linked := Contexts{Lab: "dca", State: state}
	block, err := linked.block()
	if err != nil {
		t.Fatal(err)
	}
	made := dockerContext{description: linked.description()}
	if !direct.owns(made) || !linked.owns(made) || other.owns(made) || direct.owns(dockerContext{}) {
		t.Errorf("whose is %q?", made.description)
	}
	if err := direct.refuseOtherLab("config", block); err != nil {
		t.Error(err)
	}
	if err := other.refuseOtherLab("config", block); err == nil {
		t.Error("another lab's lines are taken for its own")
	}
}

func TestAPathThatSSHCannotCarryIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "labs[1]")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	state, err := lab.OpenState(dir, "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Contexts{Lab: "dca", State: state}).block(); err == nil {
		t.Error("Include would take it for a pattern")
	}
}

func TestSSHsConfigurationIsReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "dotfiles"), filepath.Join(dir, ".ssh", "config")
	if err := write(link, "new\n"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(link); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new one is not its owner's alone: %v %v", info.Mode(), err)
	}
	// A link stays a link, and the mode what it was.
	if err := os.Rename(link, target); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	path, err := configPath(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(path, "newer\n"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link: %v %v", info.Mode(), err)
	}
	text, err := os.ReadFile(link)
	if err != nil || string(text) != "newer\n" {
		t.Errorf("%q %v", text, err)
	}
	if info, err = os.Stat(link); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode: %v %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("something is left behind: %v %v", entries, err)
	}
}

// fakeDocker is a docker program that keeps contexts in memory.
type fakeDocker struct {
	contexts map[string]dockerContext
	run      func() error // before each change; may be nil
}

func (d *fakeDocker) cli(_ context.Context, args ...string) ([]byte, error) {
	switch args[1] {
	case "ls":
		names := []string{"default"}
		for name := range d.contexts {
			names = append(names, name)
		}
		slices.Sort(names)
		return []byte(strings.Join(names, "\n") + "\n"), nil
	case "inspect":
		c := d.contexts[args[2]]
		return fmt.Appendf(nil, `[{"Name": %q, "Metadata": {"Description": %q}, "Endpoints": {"docker": {"Host": %q}}}]`, args[2], c.description, c.host), nil
	}
	if d.run != nil {
		if err := d.run(); err != nil {
			return nil, err
		}
	}
	if args[1] == "rm" {
		delete(d.contexts, args[2])
		return nil, nil
	}
	d.contexts[args[2]] = dockerContext{description: args[4], host: strings.TrimPrefix(args[6], "host=")}
	return nil, nil
}

// with gives the lab's contexts a docker program and a configuration of ssh's.
// What they tell is in the list.
func with(c Contexts, d *fakeDocker, config string) (Contexts, *[]string) {
	var said []string
	c.SSHConfig = config
	c.Docker = func() (CLI, error) { return d.cli, nil }
	c.Note = func(text string) { said = append(said, text) }
	c.Warn = func(text string) { said = append(said, "warning: "+text) }
	return c, &said
}

func reaches(node string) func() (string, error) { return func() (string, error) { return node, nil } }

func TestAContextComesAndGoes(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("Host mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := filepath.EvalSymlinks(config)
	if err != nil {
		t.Fatal(err)
	}
	docker := &fakeDocker{contexts: map[string]dockerContext{"mine": {host: "ssh://elsewhere"}}}
	c, said := with(contextsOf(t, "dca"), docker, config)
	create := func(name, node string, lines ...string) {
		t.Helper()
		p, err := c.PlanCreate(t.Context(), name, reaches(node))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lines, p.Lines); diff != "" {
			t.Errorf("the plan (-want +got):\n%s", diff)
		}
		if err := c.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if got := docker.contexts[name].host; got != "ssh://dcalab-dca-"+node {
			t.Errorf("%s reaches %s", name, got)
		}
	}
	create("dcalab-dca", "master", "add 5 lines at the top of "+config, "docker context create dcalab-dca, which reaches master")
	create("dcalab-dca", "node01", "docker context update dcalab-dca, which reaches node01")
	create("second", "master", "docker context create second, which reaches master")
	if exists, err := c.Exists(t.Context(), "second"); !exists || err != nil {
		t.Errorf("second: %v %v", exists, err)
	}
	if exists, err := c.Exists(t.Context(), "mine"); exists || err != nil {
		t.Errorf("mine: %v %v", exists, err)
	}

	var e *trouble.Error
	if _, err := c.PlanCreate(t.Context(), "mine", reaches("master")); !errors.As(err, &e) || e.ID != "context-foreign" {
		t.Errorf("another's context is moved: %v", err)
	}
	if _, err := c.Remove(t.Context(), "mine", false); !errors.As(err, &e) || e.ID != "context-foreign" {
		t.Errorf("another's context is removed: %v", err)
	}

	for _, step := range []struct {
		name        string
		dryRun      bool
		lines, said []string
	}{
		{"second", true, []string{"docker context rm second"}, nil},
		{"second", false, []string{"docker context rm second"}, []string{"context second is removed"}},
		{"dcalab-dca", true, []string{"docker context rm dcalab-dca", "take 5 lines out of " + config}, nil},
		{"dcalab-dca", false, []string{"docker context rm dcalab-dca", "take 5 lines out of " + config}, []string{"context dcalab-dca is removed", "its lines are taken out of " + config}},
		{"dcalab-dca", false, nil, []string{"there is no context dcalab-dca of lab dca: nothing to remove"}},
	} {
		*said = nil
		p, err := c.Remove(t.Context(), step.name, step.dryRun)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.lines, p.Lines); diff != "" {
			t.Errorf("remove %s, the plan (-want +got):\n%s", step.name, diff)
		}
		if diff := cmp.Diff(step.said, *said); diff != "" {
			t.Errorf("remove %s, what is told (-want +got):\n%s", step.name, diff)
		}
	}
	if text, err := os.ReadFile(config); err != nil || string(text) != "Host mine\n" {
		t.Errorf("the file is now %q, %v", text, err)
	}
	if len(docker.contexts) != 1 {
		t.Errorf("contexts are left: %v", docker.contexts)
	}
}

// Without docker the lines go all the same.
func TestTheLinesGoWithoutDocker(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	c, said := with(contextsOf(t, "dca"), nil, config)
	c.Docker = func() (CLI, error) { return nil, errors.New("no docker") }
	block, err := c.block()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(block+"Host mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Remove(t.Context(), "dcalab-dca", false); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(config); err != nil || string(text) != "Host mine\n" {
		t.Errorf("the file is now %q, %v", text, err)
	}
	if len(*said) != 2 || (*said)[0] != "warning: no docker; a context stays, if there is one" {
		t.Errorf("it says %q", *said)
	}
}

// Root's home is not the user's.
func TestNothingIsWrittenUnderSudo(t *testing.T) {
	c, _ := with(contextsOf(t, "dca"), &fakeDocker{}, filepath.Join(t.TempDir(), "config"))
	c.Owner = lab.Owner{UID: 1000, GID: 1000}
	var e *trouble.Error
	if _, err := c.PlanCreate(t.Context(), "dcalab-dca", reaches("master")); !errors.As(err, &e) || e.ID != "context-under-sudo" {
		t.Error(err)
	}
	if _, err := c.Remove(t.Context(), "dcalab-dca", false); !errors.As(err, &e) || e.ID != "context-under-sudo" {
		t.Error(err)
	}
}

// Between the look at the file and the answer to the question, its user has
// edited it.
func TestWhatWasEditedMeanwhileStays(t *testing.T) {
	for name, failure := range map[string]error{"and it works": nil, "and docker fails": errors.New("exit status 1")} {
		t.Run(name, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "config")
			write := func(text string) {
				if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
					t.Error(err)
				}
			}
			write("Host mine\n")
			docker := &fakeDocker{contexts: map[string]dockerContext{}, run: func() error {
				text, err := os.ReadFile(config)
				if err != nil {
					return err
				}
				write(string(text) + "# edited too\n")
				return failure
			}}
			c, _ := with(contextsOf(t, "dca"), docker, config)
			p, err := c.PlanCreate(t.Context(), "dcalab-dca", func() (string, error) {
				write("Host mine\nHost edited\n")
				return "master", nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Create(t.Context(), p); !errors.Is(err, failure) {
				t.Fatal(err)
			}
			text, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			want := "Host mine\nHost edited\n# edited too\n"
			if failure == nil {
				want = p.Block + want
			}
			if string(text) != want {
				t.Errorf("the file is now\n%swant\n%s", text, want)
			}
		})
	}
}

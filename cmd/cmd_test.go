package cmd

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// run calls the whole program in an empty folder.
func run(t *testing.T, args ...string) (status int, out, story string) {
	t.Helper()
	t.Chdir(t.TempDir())
	return runHere(t, args...)
}

// runHere calls it in the folder that the test is in.
func runHere(t *testing.T, args ...string) (status int, out, story string) {
	t.Helper()
	var o, e bytes.Buffer
	status = Run(t.Context(), ui.Streams{In: strings.NewReader(""), Out: &o, Err: &e}, embedded(t), args)
	return status, o.String(), e.String()
}

// embedded is what the program carries.
func embedded(t *testing.T) Embedded {
	t.Helper()
	labs, err := os.ReadFile(repository + "/labs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := os.ReadFile(repository + "/Vagrantfile.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	return Embedded{Labs: labs, Vagrantfile: string(tmpl)}
}

var repository = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir + "/.."
}()

// What this machine lacks is told before anything is written.
func TestVagrantIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	status, _, story := run(t, "--driver", "vagrant", "up")
	if status != trouble.ExitRequirement || !strings.Contains(story, "Vagrant") || !strings.Contains(story, "install") {
		t.Errorf("exit status %d:\n%s", status, story)
	}
	if _, err := os.Stat(".dcalab"); !os.IsNotExist(err) {
		t.Errorf("it wrote .dcalab (%v)", err)
	}
}

func TestMistakesAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		status int
		story  string
	}{
		"unknown command":     {[]string{"statsu"}, trouble.ExitUsage, "did you mean: dcalab status"},
		"unknown subcommand":  {[]string{"swarm", "boostrap"}, trouble.ExitUsage, "did you mean: dcalab swarm bootstrap"},
		"unknown flag":        {[]string{"up", "--swram"}, trouble.ExitUsage, "see dcalab up --help"},
		"no node to promote":  {[]string{"promote"}, trouble.ExitUsage, "see dcalab promote --help"},
		"unknown lab":         {[]string{"--lab", "dcb", "status"}, trouble.ExitUsage, "did you mean dca?"},
		"unknown driver":      {[]string{"--driver", "kvm", "up"}, trouble.ExitUsage, "the drivers are auto, docker, sandbox, vagrant"},
		"unknown node":        {[]string{"up", "nod01"}, trouble.ExitUsage, "did you mean node01?"},
		"unknown output":      {[]string{"status", "-o", "xml"}, trouble.ExitUsage, "the formats are table, wide, json, yaml, name"},
		"unknown token":       {[]string{"swarm", "token", "boss"}, trouble.ExitUsage, "see dcalab swarm token --help"},
		"no such labs.yaml":   {[]string{"--config", "nope.yaml", "status"}, 0, "nope.yaml"},
		"ssh before up":       {[]string{"ssh", "master"}, exitConnection, "bring it up: dcalab up"},
		"bootstrap before up": {[]string{"swarm", "bootstrap"}, trouble.ExitFailure, "bring it up: dcalab up"},
		"unknown provider":    {[]string{"--driver", "vagrant", "--provider", "kvm", "up"}, trouble.ExitUsage, "the providers are virtualbox, libvirt"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, story := run(t, c.args...)
			if c.status != 0 && status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			if status == 0 || out != "" {
				t.Errorf("exit status %d, output %q", status, out)
			}
			if !strings.HasPrefix(story, "error: ") || !strings.Contains(story, c.story) {
				t.Errorf("it says:\n%s\nwithout %q", story, c.story)
			}
			if _, err := os.Stat(".dcalab"); err == nil {
				t.Error("it touched the working folder")
			}
		})
	}
}

func TestWithoutALabThereIsNothingToDo(t *testing.T) {
	for _, args := range [][]string{{"halt"}, {"destroy"}, {"destroy", "node01"}} {
		if status, _, story := run(t, args...); status != 0 || !strings.Contains(story, "nothing to") {
			t.Errorf("%v: exit status %d, %s", args, status, story)
		}
	}
}

func TestRenderNeedsNoDriver(t *testing.T) {
	status, out, story := run(t, "--driver", "vagrant", "render")
	if status != 0 || !strings.Contains(out, `config.vm.define 'master'`) {
		t.Errorf("exit status %d: %s%s", status, story, out)
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	a := &app{settings: viper.New()}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s says nothing of itself", c.CommandPath())
		}
		if c.Runnable() && !isGroup(c) && !c.Hidden && c.Args == nil && c.ValidArgsFunction == nil {
			t.Errorf("%s takes any arguments", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(a.root())
}

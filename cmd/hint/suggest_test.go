package hint

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// advise runs a command line on a small tree of commands, and gives the error
// with its advice, a line each.
func advise(t *testing.T, l *lab.Lab, args ...string) string {
	t.Helper()
	a := Advisor{
		Args: args, Lab: func() *lab.Lab { return l }, Labs: func() []string { return []string{"dca", "ha"} },
		Shells: []string{"bash", "fish"}, Providers: []string{"virtualbox", "libvirt"}, Quote: runbook.Line,
	}
	var missing error
	command := func(use string, args cobra.PositionalArgs) *cobra.Command {
		return &cobra.Command{Use: use, Args: args, RunE: func(c *cobra.Command, args []string) error {
			if at := c.ArgsLenAtDash(); c.Name() == "exec" && (at < 0 || at == len(args)) {
				missing = a.MissingCommand(c)
			}
			return missing
		}}
	}
	root := &cobra.Command{Use: "dcalab", SilenceErrors: true, SilenceUsage: true}
	root.PersistentFlags().String("lab", "", "lab of labs.yaml")
	exec := command("exec NODE...", cobra.MinimumNArgs(1))
	exec.Flags().Bool("all", false, "all nodes")
	swarm := &cobra.Command{Use: "swarm"}
	swarm.AddCommand(command("bootstrap", cobra.NoArgs))
	label := &cobra.Command{Use: "label"}
	label.AddCommand(command("set NODE KEY=VALUE", cobra.MinimumNArgs(2)))
	root.AddCommand(exec, swarm, label, command("status", cobra.NoArgs), command("reset", cobra.NoArgs), command("env", cobra.NoArgs), command("render", cobra.NoArgs), command("up [NODE...]", cobra.ArbitraryArgs), command("vagrant", cobra.MinimumNArgs(1)))
	a.Install(root)
	root.SetArgs(args)
	root.SetOut(io.Discard)
	err := root.Execute()
	var e *trouble.Error
	if !errors.As(err, &e) || e.ID != "usage" || e.Exit != trouble.ExitUsage {
		t.Fatalf("no error of usage: %v", err)
	}
	return e.Why + "\n" + strings.Join(e.Next, "\n")
}

func TestSuggestions(t *testing.T) {
	l := &lab.Lab{Name: "dca", Domain: "dca.example", Nodes: []lab.Node{{Name: "node01", Role: lab.RoleWorker}, {Name: "master", Role: lab.RoleManager}}}
	for line, want := range map[string]string{
		"statsu":                       "did you mean: dcalab status",
		"bootstrap":                    "did you mean: dcalab swarm bootstrap",
		"master":                       "a shell on it: dcalab ssh master",
		"help statsu":                  "did you mean: dcalab status",
		"swarm init":                   "dcalab swarm bootstrap does it",
		"service ls":                   "on a manager: dcalab ssh master -- docker service ls",
		"docker service ls --quiet":    "on a manager: dcalab ssh master -- docker service ls …",
		"rm node01":                    "out of the swarm: dcalab remove node01",
		"reset node01":                 "one alone is made anew: dcalab destroy node01, then dcalab up node01",
		"reset node01.dca.example":     "one alone is made anew: dcalab destroy node01, then dcalab up node01",
		"env ha":                       "of another lab: dcalab --lab LAB env",
		"swarm bootstrap node01 x":     "for some of them: dcalab join node01 x",
		"render ha":                    "did you mean: dcalab --lab ha render",
		"render ./labs.yaml":           "did you mean: dcalab --config ./labs.yaml render",
		"label set node01":             "dcalab label set needs a label\n",
		"label set zone=east node01":   "did you mean: dcalab label set node01 zone=east",
		"vagrant node01 ssh-config":    "did you mean: dcalab vagrant -- ssh-config node01",
		"exec":                         "the nodes of lab dca are node01, master",
		"exec node01 uptime":           "did you mean: dcalab exec node01 -- uptime",
		"exec node01 uptime -p":        "put the command's own words after --: dcalab exec node01 -- uptime -p",
		"exec --all docker ps -a":      "put the command's own words after --: dcalab exec --all -- docker ps -a",
		"exec --al -- docker ps":       "did you mean --all?",
		"up --all":                     "without a name it is for all nodes: dcalab up",
		"status --force":               "it has nothing that could be forced: leave --force out",
		"status --lab":                 "the labs are dca, ha",
		"vagrant --machine-readable x": "put the command's own words after --: dcalab vagrant -- --machine-readable x",
	} {
		t.Run(line, func(t *testing.T) {
			if got := advise(t, l, strings.Fields(line)...); !strings.Contains(got, want) {
				t.Errorf("want %q in:\n%s", want, got)
			}
		})
	}
}

// Advice does without a lab where labs.yaml cannot be read.
func TestSuggestionsWithoutALab(t *testing.T) {
	for line, want := range map[string]string{
		"service ls":     "on a manager: dcalab ssh NODE -- docker service ls",
		"master":         "its commands: dcalab --help",
		"env node01":     "of another lab: dcalab --lab LAB env",
		"exec":           "dcalab exec NODE... -- COMMAND",
		"exec x ls --la": "after --: dcalab exec x -- ls --la",
	} {
		t.Run(line, func(t *testing.T) {
			if got := advise(t, nil, strings.Fields(line)...); !strings.Contains(got, want) {
				t.Errorf("want %q in:\n%s", want, got)
			}
		})
	}
}

func TestSuggestName(t *testing.T) {
	check := func(name string) error {
		if name == "" {
			return errors.New("empty")
		}
		return nil
	}
	for name, want := range map[string]string{"Before Lunch!": "such as: dcalab snapshot save before-lunch", "???": ""} {
		err := SuggestName(&trouble.Error{ID: "snapshot-name"}, name, check)
		if got := strings.Join(trouble.Advice(err), "\n"); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestOneOf(t *testing.T) {
	providers := []string{"virtualbox", "libvirt"}
	for _, c := range []struct {
		kind, word string
		known      []string
		want       string
	}{
		{"driver", "vagrent", []string{"auto", "sandbox", "vagrant"}, "did you mean vagrant?\nthe drivers are auto, sandbox, vagrant"},
		{"driver", "kvm", []string{"auto", "sandbox", "vagrant"}, "libvirt is a provider of Vagrant's: --driver vagrant --provider libvirt\nthe drivers are auto, sandbox, vagrant"},
		{"provider", "vbox", providers, "did you mean virtualbox?\nthe providers are virtualbox and libvirt"},
		{"output format", "xml", []string{"json", "yaml"}, "the formats are json and yaml"},
	} {
		if got := strings.Join(trouble.Advice(OneOf(c.kind, c.word, c.known, "", providers)), "\n"); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.kind, c.word, got, c.want)
		}
	}
}

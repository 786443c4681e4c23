package hint

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/spf13/pflag"

	"github.com/dcalab/dcalab/runbook"
)

// rewriter is that of a program that was called so, with these global flags.
func rewriter(t *testing.T, called string, args ...string) Rewriter {
	t.Helper()
	flags := pflag.NewFlagSet("dcalab", pflag.ContinueOnError)
	for _, name := range LabFlags() {
		flags.String(name, "", "")
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	commands := []string{"up", "start", "halt", "status", "list", "destroy", "demote", "env", "exec", "doctor", "config", "init", "snapshot", "swarm", "help"}
	return NewRewriter(CalledAs(called), flags, commands, runbook.Line)
}

func TestAdviceRepeatsWhatWasTyped(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	here, err := filepath.Abs("dcalab")
	if err != nil {
		t.Fatal(err)
	}
	both := []string{"--lab", "ha", "--config", "my labs.yaml"}
	for name, c := range map[string]struct {
		program    string
		flags      []string
		text, want string
	}{
		"nothing typed":                {"", nil, "start it: dcalab up NODE", "start it: dcalab up NODE"},
		"as it was called":             {"./dcalab", nil, "dcalab start NODE", "./dcalab start NODE"},
		"a path with a blank":          {"my labs/dcalab", nil, "dcalab start NODE", "'my labs/dcalab' start NODE"},
		"the lab":                      {"dcalab", []string{"--lab=ha"}, "create it: dcalab up manager02", "create it: dcalab --lab ha up manager02"},
		"both, quoted":                 {"dcalab", both, "dcalab status", "dcalab --config 'my labs.yaml' --lab ha status"},
		"each command of a line":       {"dcalab", []string{"--lab", "ha"}, "dcalab destroy n && dcalab up n    # a new machine", "dcalab --lab ha destroy n && dcalab --lab ha up n    # a new machine"},
		"one in brackets":              {"dcalab", []string{"--lab", "ha"}, "a worker again (dcalab demote n)", "a worker again (dcalab --lab ha demote n)"},
		"one in a substitution":        {"./dcalab", []string{"--lab", "ha"}, `eval "$(dcalab env)"`, `eval "$(./dcalab --lab ha env)"`},
		"a lab of its own":             {"dcalab", both, "another lab is here: dcalab --lab dca status", "another lab is here: dcalab --config 'my labs.yaml' --lab dca status"},
		"a lab after the command":      {"dcalab", []string{"--lab", "ha"}, "halt another lab (dcalab halt --lab OTHER), or", "halt another lab (dcalab halt --lab OTHER), or"},
		"a file of its own":            {"dcalab", both, "name another one: dcalab --config FILE", "name another one: dcalab --config FILE"},
		"words for a node":             {"dcalab", []string{"--lab", "ha"}, "dcalab exec n -- x --lab y", "dcalab --lab ha exec n -- x --lab y"},
		"the driver where it counts":   {"dcalab", []string{"--driver", "sandbox"}, "dcalab up, dcalab status", "dcalab --driver sandbox up, dcalab status"},
		"which providers there are":    {"dcalab", []string{"--provider", "kvm"}, "dcalab doctor, dcalab doctor --fix", "dcalab doctor, dcalab --provider kvm doctor --fix"},
		"another driver":               {"dcalab", []string{"--driver", "vagrant", "--provider", "kvm"}, "dcalab --driver sandbox up", "dcalab --driver sandbox up"},
		"help needs no lab":            {"./dcalab", both, "see dcalab up --help", "see ./dcalab up --help"},
		"init needs none":              {"./dcalab", both, "dcalab init    # writes one", "./dcalab init    # writes one"},
		"list needs the file alone":    {"dcalab", both, "dcalab list", "dcalab --config 'my labs.yaml' list"},
		"validate needs the file":      {"dcalab", both, "dcalab config validate", "dcalab --config 'my labs.yaml' config validate"},
		"the schema needs none":        {"dcalab", both, "dcalab config schema", "dcalab config schema"},
		"another folder":               {"./dcalab", both, "cd /x && dcalab --lab dca status", "cd /x && " + here + " --lab dca status"},
		"another folder, in words":     {"dcalab", both, "destroy the lab that has it: dcalab destroy, in its folder", "destroy the lab that has it: dcalab destroy, in its folder"},
		"sudo":                         {"./dcalab", []string{"--lab", "ha"}, "sudo dcalab snapshot list", "sudo ./dcalab --lab ha snapshot list"},
		"a word":                       {"./dcalab", both, "the machine that dcalab created", "the machine that dcalab created"},
		"a word at the end":            {"./dcalab", both, "made by dcalab", "made by dcalab"},
		"part of a word":               {"./dcalab", both, "docker --context dcalab-dca node ls", "docker --context dcalab-dca node ls"},
		"a citation":                   {"./dcalab", both, `waiting for "dcalab up" (pid 4)`, `waiting for "dcalab up" (pid 4)`},
		"another program's option":     {"./dcalab", both, "New-VMSwitch -Name dcalab -SwitchType Internal", "New-VMSwitch -Name dcalab -SwitchType Internal"},
		"what works already":           {"./dcalab", []string{"--lab", "ha"}, "./dcalab --lab ha up", "./dcalab --lab ha up"},
		"several lines":                {"./dcalab", nil, "cd x && dcalab list\ndcalab status", "cd x && " + here + " list\n./dcalab status"},
		"a comma after the command":    {"dcalab", []string{"--lab", "ha"}, "dcalab up, for the rest; then dcalab swarm bootstrap", "dcalab --lab ha up, for the rest; then dcalab --lab ha swarm bootstrap"},
		"a sentence after the command": {"dcalab", []string{"--lab", "ha"}, "dcalab doctor says which this machine has", "dcalab --lab ha doctor says which this machine has"},
	} {
		t.Run(name, func(t *testing.T) {
			r := rewriter(t, c.program, c.flags...)
			got := r.Rewrite(c.text)
			if got != c.want {
				t.Errorf("%q becomes\n%q, want\n%q", c.text, got, c.want)
			}
			if again := r.Rewrite(got); again != got {
				t.Errorf("once more it becomes %q", again)
			}
		})
	}
}

// What sudo, or a script of tests, makes of dcalab is the program in PATH.
func TestAdviceNamesTheProgramAsItWasCalled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a program there is one by its extension")
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	if err := os.WriteFile(filepath.Join(bin, "dcalab"), nil, 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	for program, want := range map[string]string{
		"": "dcalab status", "dcalab": "dcalab status", "./dcalab": "./dcalab status",
		filepath.Join(bin, "dcalab"): "dcalab status", "/elsewhere/dcalab": "/elsewhere/dcalab status",
	} {
		if got := rewriter(t, program).Rewrite("dcalab status"); got != want {
			t.Errorf("called %q: %q, want %q", program, got, want)
		}
	}
	want := "sudo " + filepath.Join(bin, "dcalab") + " doctor"
	if got := rewriter(t, "dcalab").Rewrite("sudo dcalab doctor"); got != want {
		t.Errorf("sudo does not look into %s: %q, want %q", bin, got, want)
	}
}

package cmd

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// called is the app of a command line that begins with these global flags.
func calledAs(t *testing.T, program string, flags ...string) *app {
	t.Helper()
	a := &app{settings: viper.New(), embedded: Embedded{Program: program}, args: flags}
	root := a.root()
	if err := root.PersistentFlags().Parse(flags); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestHintsRepeatWhatWasTyped(t *testing.T) {
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
			a := calledAs(t, c.program, c.flags...)
			got := a.hint(c.text)
			if got != c.want {
				t.Errorf("%q becomes\n%q, want\n%q", c.text, got, c.want)
			}
			if again := a.hint(got); again != got {
				t.Errorf("once more it becomes %q", again)
			}
		})
	}
}

// What sudo, or a script of tests, makes of dcalab is the program in PATH.
func TestHintsNameTheProgramAsItWasCalled(t *testing.T) {
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
		if got := calledAs(t, program).hint("dcalab status"); got != want {
			t.Errorf("called %q: %q, want %q", program, got, want)
		}
	}
	want := "sudo " + filepath.Join(bin, "dcalab") + " doctor"
	if got := calledAs(t, "dcalab").hint("sudo dcalab doctor"); got != want {
		t.Errorf("sudo does not look into %s: %q, want %q", bin, got, want)
	}
}

// Every text of the program that advises a command, with the lab put in, is
// still a command line of dcalab, and one for that lab.
func TestEveryHintCanBeTyped(t *testing.T) {
	a := calledAs(t, "/opt/dc", "--lab", "ha", "--config", "/tmp/l.yaml", "--driver", "sandbox")
	rewritten := 0
	for _, text := range texts(t) {
		got := a.hint(text)
		if again := a.hint(got); again != got {
			t.Errorf("%q becomes %q, and then %q", text, got, again)
		}
		for _, line := range strings.Split(got, "\n") {
			for at := strings.Index(line, "/opt/dc "); at >= 0; {
				command := line[at:]
				if next := strings.Index(command[1:], "/opt/dc "); next >= 0 {
					command = command[:next+1]
				}
				rewritten++
				if wrong := typed(t, command, inAnotherFolder(line, at)); wrong != "" {
					t.Errorf("%q is shown as %q: %s", text, line, wrong)
				}
				next := strings.Index(line[at+1:], "/opt/dc ")
				if next < 0 {
					break
				}
				at += 1 + next
			}
		}
		if n := nextCommand(got, 0); n >= 0 {
			words := strings.Fields(got[n:])
			if name := strings.TrimRight(words[1], ",.;:)"); slices.Contains(a.commands, name) {
				t.Errorf("%q keeps a command as it stands in the code: %q", text, got)
			}
		}
	}
	if rewritten < 300 {
		t.Errorf("only %d commands were found in the source", rewritten)
	}
}

// typed reads a command as dcalab does, and tells what is wrong with it.
func typed(t *testing.T, command string, elsewhere bool) string {
	t.Helper()
	words := strings.Fields(commandIn("dcalab " + strings.TrimPrefix(command, "/opt/dc ")))[1:]
	for i, w := range words {
		if words[i] = strings.TrimRight(w, `,.;:)"`); words[i] != w { // the sentence goes on
			words = words[:i+1]
			break
		}
	}
	root := (&app{settings: viper.New()}).root()
	c, rest, err := root.Find(words)
	if err != nil {
		return err.Error()
	}
	if len(words) == 2 && strings.HasPrefix(words[0], "--") {
		return "" // dcalab --config FILE
	}
	if c == root && !slices.Contains(words, "--help") {
		return "it names no command"
	}
	if slices.Contains(words, "--help") || elsewhere {
		return ""
	}
	c.DisableFlagParsing = false
	c.FParseErrWhitelist = cobra.FParseErrWhitelist{UnknownFlags: true}
	if err := c.ParseFlags(rest); err != nil && !strings.Contains(err.Error(), "needs an argument") {
		return err.Error()
	}
	for _, flag := range labFlags() {
		n := 0
		for _, w := range words {
			if w == "--"+flag || strings.HasPrefix(w, "--"+flag+"=") {
				n++
			}
		}
		needs := map[string]bool{"config": true, "lab": true}[flag]
		switch path := pathIn(c); path {
		case "init", "version", "config schema", "completion bash":
			needs = false
		case "config validate", "list":
			needs = flag == "config"
		}
		if n > 1 || needs && n == 0 {
			return "--" + flag + " is there " + strconv.Itoa(n) + " times"
		}
	}
	return ""
}

// texts are the strings in the program's source that speak of dcalab, and the
// advice that the source puts together.
func texts(t *testing.T) []string {
	t.Helper()
	var out []string
	said, _ := readTroubles(t)
	for _, places := range said {
		for _, s := range places {
			out = append(out, s.next...)
		}
	}
	for _, h := range habits() {
		out = append(out, h.next...)
	}
	files := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (d.Name() == "tools" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			// What begins in one string and ends in another is in the advice.
			if s, err := strconv.Unquote(lit.Value); err == nil && strings.Contains(s, "dcalab ") && !strings.HasSuffix(s, " ") && !strings.Contains(s, "%") {
				out = append(out, s)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The whole program: what it advises is for the lab that was named.
func TestAdviceIsForTheLabThatWasNamed(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		status int
		story  string
	}{
		"a lab":                 {[]string{"--lab", "ha", "--driver", "sandbox", "swarm", "bootstrap"}, trouble.ExitFailure, "bring it up: dcalab --lab ha --driver sandbox up\n"},
		"after the command":     {[]string{"ssh", "--lab=ha", "manager02"}, exitConnection, "bring it up: dcalab --lab ha up\n"},
		"behind a wrong flag":   {[]string{"promote", "--nonsense", "--lab", "ha"}, trouble.ExitUsage, "see dcalab promote --help\n"},
		"a name that is none":   {[]string{"--lab", "ha", "rm", "worker01"}, trouble.ExitUsage, "out of the swarm: dcalab --lab ha remove worker01\n"},
		"the default lab":       {[]string{"swarm", "bootstrap"}, trouble.ExitFailure, "bring it up: dcalab up\n"},
		"a command for a node":  {[]string{"ssh", "master", "--", "x", "--lab", "ha"}, exitConnection, "bring it up: dcalab up\n"},
		"a habit, flags behind": {[]string{"node", "ls", "--lab", "ha"}, trouble.ExitUsage, "dcalab --lab ha status\n"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, story := run(t, c.args...)
			if status != c.status || !strings.Contains(story, c.story) {
				t.Errorf("exit status %d, want %d; it says:\n%s\nwithout %q", status, c.status, story, c.story)
			}
		})
	}
}

// A dcalab that runs through sudo was called by dcalab, and not by its user:
// it is told what that one typed.
func TestHintsThroughSudo(t *testing.T) {
	t.Chdir(t.TempDir())
	e := embedded(t)
	e.Program, e.ThroughSudo = "./dcalab", true
	var story bytes.Buffer
	Run(t.Context(), ui.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &story}, e, []string{"--lab", "ha", "ssh", "manager01"})
	if !strings.Contains(story.String(), "bring it up: ./dcalab --lab ha up\n") {
		t.Errorf("it says:\n%s", &story)
	}
}

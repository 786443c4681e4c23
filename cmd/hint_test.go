package cmd

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/cmd/hint"
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
				rewritten++
				if wrong := typed(t, line, at); wrong != "" {
					t.Errorf("%q is shown as %q: %s", text, line, wrong)
				}
				next := strings.Index(line[at+1:], "/opt/dc ")
				if next < 0 {
					break
				}
				at += 1 + next
			}
		}
		if left := hint.Find(got); len(left) > 0 {
			words := strings.Fields(got[left[0].Start:])
			if name := strings.TrimRight(words[1], ",.;:)"); slices.Contains(a.commands, name) {
				t.Errorf("%q keeps a command as it stands in the code: %q", text, got)
			}
		}
	}
	if rewritten < 300 {
		t.Errorf("only %d commands were found in the source", rewritten)
	}
}

// typed reads the command at a place of a line as dcalab does, and tells what
// is wrong with it.
func typed(t *testing.T, line string, at int) string {
	t.Helper()
	const program = "/opt/dc "
	line = line[:at] + strings.ReplaceAll(line[at:], program, "dcalab ")
	found := hint.Find(line)
	i := slices.IndexFunc(found, func(c hint.Command) bool { return c.Start == at })
	words := strings.Fields(found[i].Text)[1:]
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
	if slices.Contains(words, "--help") || found[i].OtherFolder {
		return ""
	}
	c.DisableFlagParsing = false
	c.FParseErrWhitelist = cobra.FParseErrWhitelist{UnknownFlags: true}
	if err := c.ParseFlags(rest); err != nil && !strings.Contains(err.Error(), "needs an argument") {
		return err.Error()
	}
	for _, flag := range hint.LabFlags() {
		n := 0
		for _, w := range words {
			if w == "--"+flag || strings.HasPrefix(w, "--"+flag+"=") {
				n++
			}
		}
		needs := map[string]bool{"config": true, "lab": true}[flag]
		switch path := hint.Path(c); path {
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
	out = append(out, hint.AliasAdvice()...)
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
		"a name that is none":   {[]string{"--lab", "ha", "delete", "worker01"}, trouble.ExitUsage, "out of the swarm alone: dcalab --lab ha remove worker01\n"},
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

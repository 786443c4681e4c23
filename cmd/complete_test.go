package cmd

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// tab gives the words that the shell is offered for the last one, and what it
// may offer beside them.
func tab(t *testing.T, words ...string) ([]string, cobra.ShellCompDirective) {
	t.Helper()
	status, out, story := runHere(t, append([]string{"__complete"}, words...)...)
	if status != 0 {
		t.Fatalf("exit status %d: %s", status, story)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	last := lines[len(lines)-1]
	n, err := strconv.Atoi(strings.TrimPrefix(last, ":"))
	if err != nil {
		t.Fatalf("no directive: %q", out)
	}
	var offered []string
	for _, line := range lines[:len(lines)-1] {
		word, _, _ := strings.Cut(line, "\t")
		offered = append(offered, word)
	}
	return offered, cobra.ShellCompDirective(n)
}

func TestTab(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("labs.yaml", []byte(`version: 1
default: one
labs:
  one: {domain: one.example, subnet: 10.20.40.0/24, nodes: [{name: a1, ip: 10.20.40.101, role: manager}, {name: a2, ip: 10.20.40.102}]}
  two: {domain: two.example, subnet: 10.20.41.0/24, nodes: [{name: b1, ip: 10.20.41.101, role: manager}]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	const none, files = cobra.ShellCompDirectiveNoFileComp, cobra.ShellCompDirectiveDefault
	for line, c := range map[string]struct {
		offered string
		beside  cobra.ShellCompDirective
	}{
		"ssh ":                         {"a1 a2", none},
		"ssh -- ":                      {"a1 a2", none},
		"ssh a1 ":                      {"", none},
		"ssh a1 -- ":                   {"", none},
		"ssh a1 -- docker ":            {"", none},
		"--lab two ssh ":               {"b1", none},
		"ssh --lab two ":               {"b1", none},
		"exec a1 ":                     {"a2", none},
		"exec a1 -- ":                  {"", none},
		"exec --all -- docker ":        {"", none},
		"promote a1 ":                  {"a2", none},
		"logs a1 ":                     {"", none},
		"--lab ":                       {"one two", none},
		"status --lab ":                {"one two", none},
		"--lab=":                       {"one two", none},
		"--driver ":                    {"auto docker sandbox vagrant", none},
		"--provider ":                  {"virtualbox libvirt vmware_desktop parallels hyperv", none},
		"status -o ":                   {"json name table wide yaml", none},
		"status --output ":             {"json name table wide yaml", none},
		"doctor -o ":                   {"json name table wide yaml", none},
		"exec --output ":               {"json yaml", none},
		"snapshot list -o ":            {"json name table wide yaml", none},
		"env --shell ":                 {"bash fish powershell zsh", none},
		"context create --node ":       {"a1 a2", none},
		"swarm bootstrap --take-over ": {"a1 a2", none},
		"swarm token ":                 {"worker manager", none},
		"swarm autolock ":              {"on off", none},
		"swarm recover ":               {"a1 a2", none},
		"logs --lines ":                {"all", none},
		"logs --since ":                {"", none},
		"init --managers ":             {"", none},
		"--config ":                    {"yaml yml", cobra.ShellCompDirectiveFilterFileExt},
		"logs --bundle ":               {"", files},
		"context create --ssh-config ": {"", files},
		"image load ":                  {"demo", files},
		"cp a1:/etc/":                  {"", files},
		"wait ":                        {"a1 a2 answers healthy leader left quorum reachable ready", none},
		"wait ready a1 ":               {"a2 answers healthy leader left quorum reachable", none},
		"status --format ":             {"json table", none},
		"status ":                      {"a1 a2", none},
		"init ":                        {"", none},
		"vagrant ":                     {"", none},
		"snapshot save ":               {"", none},
		"label set a1 ":                {"", none},
		"completion ":                  {"bash fish powershell zsh", none},
	} {
		t.Run(line, func(t *testing.T) {
			words := strings.Split(line, " ")
			offered, beside := tab(t, words...)
			want := strings.Fields(c.offered)
			slices.Sort(offered)
			slices.Sort(want)
			if !slices.Equal(offered, want) || beside != c.beside {
				t.Errorf("it offers %q and directive %d, want %q and %d", offered, beside, want, c.beside)
			}
		})
	}
}

// Whoever adds a flag says what it can be.
func TestEveryFlagIsCompleted(t *testing.T) {
	free := []string{"since", "until", "managers", "workers", "seed", "name", "subnet"} // a time, numbers, what is new
	for _, c := range everyCommand((&app{settings: viper.New()}).root()) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, has := c.GetFlagCompletionFunc(f.Name); !has && f.NoOptDefVal == "" && !slices.Contains(free, f.Name) {
				t.Errorf("%s --%s is not completed", c.CommandPath(), f.Name)
			}
		})
	}
}

// The library's own commands say what they touch, and bash's what it needs.
func TestCompletionIsExplained(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		status, out, story := run(t, "completion", shell, "--help")
		if status != 0 || !strings.Contains(out, "Touches:\n  Nothing: it prints.") {
			t.Errorf("dcalab completion %s --help: exit status %d:\n%s%s", shell, status, out, story)
		}
		if shell == "bash" && !strings.Contains(out, "'bash-completion' package") {
			t.Errorf("it does not say what the script needs:\n%s", out)
		}
	}
}

package cmd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/cmd/hint"
)

// Every command has its rows in the tables of mistakes, which the scenarios
// type one by one.
func TestEveryCommandHasItsMistakes(t *testing.T) {
	const enough = 5
	exempt := map[string]string{
		"completion bash":       "a script for a shell, made by the library; it takes nothing but its flag",
		"completion zsh":        "as completion bash",
		"completion fish":       "as completion bash",
		"completion powershell": "as completion bash",
		"version":               "it takes nothing but its format",
	}
	files, err := filepath.Glob("../e2e/testdata/mistakes*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	root := (&app{settings: viper.New()}).root()
	rows := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			before, typed, found := strings.Cut(line, "$ ")
			if !found || before != "" && before != "nobody" {
				continue
			}
			// The last of what stands in the line is the mistake.
			at := strings.LastIndex(" "+typed, " dcalab ")
			if at < 0 {
				continue
			}
			args := strings.Fields(typed[at:])[1:]
			for len(args) > 1 && slices.Contains([]string{"--lab", "--driver", "--provider", "--config"}, args[0]) {
				args = args[2:]
			}
			c, _, err := root.Find(args)
			if err == nil {
				rows[hint.Path(c)]++
			}
		}
	}
	total := 0
	for _, n := range rows {
		total += n
	}
	t.Logf("%d rows", total)
	for _, c := range everyCommand(root) {
		path := hint.Path(c)
		if n := rows[path]; n < enough && exempt[path] == "" {
			t.Errorf("dcalab %s has %d rows in e2e/testdata/mistakes*.txtar; a stranger makes %d mistakes", path, n, enough)
		}
	}
}

// everyCommand are those that a user can call, groups too.
func everyCommand(c *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			out = append(out, everyCommand(sub)...)
		}
	}
	return out
}

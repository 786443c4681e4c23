package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spf13/cobra"
	"github.com/spf13/viper"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/dcalab/dcalab/cmd/hint"
	"github.com/dcalab/dcalab/e2e/mistake"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/ui"
)

// What a stranger types wrongly where no lab was made is typed line by line, in this
// process: who has no lab needs no node for it, and no root.
func TestMistakenWords(t *testing.T) {
	tables, err := txtar.ParseFile("testdata/mistakes_words.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables.Files {
		t.Run(table.Name, func(t *testing.T) {
			rows, err := mistake.Parse(string(table.Data))
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(t.TempDir())
			for _, kv := range os.Environ() { // of whoever runs the tests
				if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "DCALAB_") || strings.HasPrefix(name, "SUDO_") {
					t.Setenv(name, "")
				}
			}
			t.Setenv("HOME", t.TempDir())
			t.Setenv("XDG_STATE_HOME", t.TempDir())
			t.Setenv("DCALAB_DRIVER", "sandbox")
			for _, row := range rows {
				t.Run(fmt.Sprintf("line %d", row.Line), func(t *testing.T) {
					said, exit := answer(t, row.Command)
					for _, wrong := range row.Judge(said, exit) {
						t.Errorf("%s: %s\nit said, with exit %d:\n%s", row.Command, wrong, exit, said)
					}
				})
			}
			if _, err := os.Stat(lab.StateFolder); err == nil {
				t.Error("a lab was made")
			}
		})
	}
}

// answer gives what a line of shell says, and its exit status. dcalab in it runs in this
// process, which is as the line has it until the test ends.
func answer(t *testing.T, line string) (said string, exit int) {
	t.Helper()
	parsed, err := syntax.NewParser().Parse(strings.NewReader(line), "")
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var out bytes.Buffer
	dcalab := func(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
		return func(ctx context.Context, args []string) error {
			if args[0] != "dcalab" {
				return next(ctx, args)
			}
			shell := interp.HandlerCtx(ctx)
			t.Chdir(shell.Dir)
			shell.Env.Each(func(name string, v expand.Variable) bool {
				if strings.HasPrefix(name, "DCALAB_") && v.Exported {
					t.Setenv(name, v.String())
				}
				return true
			})
			status := Run(ctx, ui.Streams{In: shell.Stdin, Out: shell.Stdout, Err: shell.Stderr}, embedded(t), args[1:])
			if status == 0 {
				return nil
			}
			return interp.ExitStatus(uint8(status))
		}
	}
	shell, err := interp.New(interp.StdIO(strings.NewReader(""), &out, &out), interp.ExecHandlers(dcalab))
	if err != nil {
		t.Fatal(err)
	}
	var status interp.ExitStatus
	if err := shell.Run(t.Context(), parsed); err != nil && !errors.As(err, &status) {
		t.Fatalf("%s: %v", line, err)
	}
	return out.String(), int(status)
}

// Every command has its rows in the tables of mistakes, which are typed one by one: here,
// and on real nodes by the scenarios.
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
	files = append(files, "testdata/mistakes_words.txtar")
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
			t.Errorf("dcalab %s has %d rows in the tables of mistakes; a stranger makes %d mistakes", path, n, enough)
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

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dcalab/dcalab/e2e/mistake"
)

// mistakes types every row of a table of package mistake, and tells of all that are
// answered otherwise:
//
//	mistakes TABLE
//
// A row of an ordinary user finds only the programs of $WORK/bin.
func mistakes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mistakes TABLE")
	}
	rows, err := mistake.Parse(ts.ReadFile(args[0]))
	ts.Check(err)
	failed := 0
	for _, row := range rows {
		said, exit, err := typed(ts, row)
		if err != nil {
			ts.Fatalf("%s:%d: %v", args[0], row.Line, err)
		}
		if wrong := row.Judge(said, exit); len(wrong) > 0 {
			failed++
			ts.Logf("%s:%d: dcalab answers otherwise: %s\n  %s\nit said, with exit %d:\n%s",
				args[0], row.Line, row.Command, strings.Join(wrong, "\n  "), exit, said)
		}
	}
	if failed > 0 {
		ts.Fatalf("%d of the %d rows of %s are answered otherwise", failed, len(rows), args[0])
	}
	ts.Logf("%d rows of %s", len(rows), args[0])
}

// typed types a row. Both streams come together, as on a terminal.
func typed(ts *testscript.TestScript, m mistake.Row) (said string, exit int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	words := []string{"bash", "-c", m.Command}
	path := ts.Getenv("PATH")
	if m.User {
		path = ts.MkAbs("bin")
		words = append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}, words...)
		if words[5], err = exec.LookPath("bash"); err != nil {
			return "", 0, err
		}
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + path, "HOME=" + ts.Getenv("HOME"), "TERM=dumb", "DCALAB_DRIVER=" + ts.Getenv("DCALAB_DRIVER"), quickExit}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if ctx.Err() != nil {
		return out.String(), -1, fmt.Errorf("no answer within %v: %s\n%s", patience, m.Command, out.String())
	}
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return out.String(), failed.ExitCode(), nil
	}
	return out.String(), 0, err
}

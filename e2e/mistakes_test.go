package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// mistake is a row of a table of mistakes: a line that somebody types, and
// what the answer must be.
type mistake struct {
	line int
	// user: it is typed by an ordinary user, who has no sudo.
	user    bool
	command string // a line of shell
	exit    int
	nothing bool     // that nothing was to do must be said
	has     []string // each is somewhere in what is said
	lacks   []string
}

// mistakes runs every row of a table, and tells of all that are answered
// otherwise:
//
//	mistakes table
//
// A row begins with what is typed and has the exit status, then what is said
// (not all of it), a text a line; ! goes before what is not said. # begins a
// comment.
//
//	$ dcalab promote nod02
//	exit 2
//	did you mean node02?
//
//	$ dcalab promote node02
//	nothing
//	node02 is a manager already
//
// nothing is exit 0, and that there was nothing to do must be said. Blanks in
// a row may stand for several. A line that begins with nobody$ is typed by a
// user who is not root and finds only the programs of $WORK/bin.
//
// Of every answer it is asked besides that it tells what to do now where it is
// an error, and that it has no secret in it, nor words of the language that
// dcalab is written in, or of the library that reads its command line.
func mistakes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mistakes TABLE")
	}
	rows, err := parseMistakes(ts.ReadFile(args[0]))
	ts.Check(err)
	failed := 0
	for _, row := range rows {
		said, exit, err := row.run(ts)
		if err != nil {
			ts.Fatalf("%s:%d: %v", args[0], row.line, err)
		}
		if wrong := row.judge(said, exit); len(wrong) > 0 {
			failed++
			ts.Logf("%s:%d: dcalab answers otherwise: %s\n  %s\nit said, with exit %d:\n%s",
				args[0], row.line, row.command, strings.Join(wrong, "\n  "), exit, said)
		}
	}
	if failed > 0 {
		ts.Fatalf("%d of the %d rows of %s are answered otherwise", failed, len(rows), args[0])
	}
	ts.Logf("%d rows of %s", len(rows), args[0])
}

// parseMistakes reads a table.
func parseMistakes(text string) ([]mistake, error) {
	var rows []mistake
	complete := true
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		command, root := strings.CutPrefix(line, "$ ")
		if !root {
			command, _ = strings.CutPrefix(line, "nobody$ ")
		}
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case command != line:
			if !complete {
				return nil, fmt.Errorf("line %d: the row before has no exit status", i+1)
			}
			rows, complete = append(rows, mistake{line: i + 1, user: !root, command: command}), false
		case len(rows) == 0:
			return nil, fmt.Errorf("line %d: it is in no row", i+1)
		default:
			row := &rows[len(rows)-1]
			if !complete {
				if row.nothing = line == "nothing"; !row.nothing {
					if _, err := fmt.Sscanf(line, "exit %d", &row.exit); err != nil {
						return nil, fmt.Errorf("line %d: exit and a number, or nothing: %w", i+1, err)
					}
				}
				complete = true
				continue
			}
			if lacks, not := strings.CutPrefix(line, "! "); not {
				row.lacks = append(row.lacks, lacks)
			} else {
				row.has = append(row.has, line)
			}
		}
	}
	for _, row := range rows {
		if len(row.has) == 0 {
			return nil, fmt.Errorf("line %d: nothing is asked of the answer", row.line)
		}
	}
	return rows, nil
}

// run types the row. Both streams come together, as on a terminal.
func (m mistake) run(ts *testscript.TestScript) (said string, exit int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	typed := []string{"bash", "-c", m.command}
	path := ts.Getenv("PATH")
	if m.user {
		path = ts.MkAbs("bin")
		typed = append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}, typed...)
		if typed[5], err = exec.LookPath("bash"); err != nil {
			return "", 0, err
		}
	}
	cmd := exec.CommandContext(ctx, typed[0], typed[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + path, "HOME=" + ts.Getenv("HOME"), "TERM=dumb", "DCALAB_DRIVER=" + ts.Getenv("DCALAB_DRIVER"), quickExit}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if ctx.Err() != nil {
		return out.String(), -1, fmt.Errorf("no answer within %v: %s\n%s", patience, m.command, out.String())
	}
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return out.String(), failed.ExitCode(), nil
	}
	return out.String(), 0, err
}

// idle is how an answer says that there was nothing to do.
var idle = regexp.MustCompile(`nothing to |already|was not running|is not in the swarm|has no such|autolock is off`)

// foreign is what no answer may have in it.
var foreign = regexp.MustCompile(`%!|<nil>|strconv|goroutine \d|panic:|runtime error|` +
	`accepts \d+ arg|accepts at most|requires at least|unknown (flag|shorthand|command)|invalid argument|flag needs|` +
	`SWMTKN-\d|SWMKEY-\d|PRIVATE KEY-----`)

// judge tells what is wrong with an answer.
func (m mistake) judge(said string, exit int) []string {
	var wrong []string
	if exit != m.exit {
		wrong = append(wrong, fmt.Sprintf("the exit status is not %d", m.exit))
	}
	if m.nothing && !idle.MatchString(said) {
		wrong = append(wrong, "it does not say that there was nothing to do")
	}
	narrow := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	flat := narrow(said)
	for _, want := range m.has {
		if !strings.Contains(flat, narrow(want)) {
			wrong = append(wrong, "it does not say: "+want)
		}
	}
	for _, not := range m.lacks {
		if strings.Contains(flat, narrow(not)) {
			wrong = append(wrong, "it says: "+not)
		}
	}
	if found := foreign.FindString(said); found != "" {
		wrong = append(wrong, "it may not say: "+found)
	}
	// What a command says on a node is Docker's.
	ours := regexp.MustCompile(`(?m)^\S+ \| .*$`).ReplaceAllString(said, "")
	if strings.Contains(ours, "context deadline exceeded") {
		wrong = append(wrong, "it may not say: context deadline exceeded")
	}
	if regexp.MustCompile(`(?m)^error: `).MatchString(said) && !regexp.MustCompile(`(?m)^  \S`).MatchString(said) {
		wrong = append(wrong, "it does not say what to do now")
	}
	return wrong
}

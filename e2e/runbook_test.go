package e2e

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dcalab/dcalab/runbook"
)

// types types a runbook that --dry-run --explain printed, as a person would
// who reads it: it goes where "# on NODE: LOGIN" says, types the lines there,
// takes down what stands for a placeholder, and tries again what is to be
// typed until it says something. A command that fails ends it.
//
//	exec dcalab promote node01 --dry-run --explain
//	types stdout
func types(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: types FILE")
	}
	p := person{ts: ts, knows: map[string]string{}}
	lines := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.TrimSuffix(line, "\n")
		switch place, ok := strings.CutPrefix(line, "# on "); {
		case ok:
			_, p.login, _ = strings.Cut(place, ": ")
			p.here = strings.HasPrefix(place, "this machine")
		case line == "" || strings.HasPrefix(line, "#"):
		default:
			lines++
			p.types(line)
		}
	}
	if lines == 0 {
		ts.Fatalf("the runbook has nothing to type")
	}
}

// person is somebody with a runbook before them.
type person struct {
	ts *testscript.TestScript
	// login is how the place is got onto where the next lines are typed; on
	// this machine (here) it is typed before each.
	login string
	here  bool
	// knows what stands for the placeholders.
	knows map[string]string
}

// patience is how long a command is typed again, and may take to answer: at a
// lost quorum an engine takes 20 s.
const patience = 90 * time.Second

func (p *person) types(line string) {
	// The remark is a comment of the shell, and typed as well.
	input, remark := line, strings.TrimSpace(line[strings.LastIndex(line, "# ")+1:])
	said := func(what string) string {
		for part := range strings.SplitSeq(remark, "; ") {
			if value, ok := strings.CutPrefix(part, what); ok {
				return value
			}
		}
		return ""
	}
	for placeholder, value := range p.knows {
		input = strings.ReplaceAll(input, placeholder, value)
	}
	input += "\n"
	if asked := said(runbook.Asks); asked != "" {
		input += p.knows[asked] + "\n"
	}
	until := said(runbook.Until)
	var out string
	var err error
	var lines []string
	done := false
	for more := asking(patience); !done && more(); {
		out, err = p.enter(input)
		lines = strings.Split(strings.TrimSpace(out), "\n")
		done = until == "" || slices.Contains(lines, until)
	}
	if !done || until == "" && err != nil {
		p.ts.Fatalf("typed %q on %q: %v\n%s", line, p.login, err, out)
	}
	p.ts.Logf("%s", line)
	if gives := said(runbook.Gives); gives != "" {
		p.knows[gives] = lines[len(lines)-1]
	}
}

// enter logs in, types, and gives what is then on the screen.
func (p *person) enter(input string) (string, error) {
	cmd := command(p.ts, "sh", "-c", p.login)
	if p.here {
		cmd = command(p.ts, "sh")
		input = p.login + "\n" + input
	}
	cmd.Stdin = strings.NewReader(input)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return out.String() + complaints.String(), err
	}
	return out.String(), nil
}

// Package mistake is tables of what people type wrongly, and of what the answer must be:
//
//	$ dcalab promote nod02
//	exit 2
//	did you mean node02?
//
//	$ dcalab promote node02
//	nothing
//	node02 is a manager already
//
// A row begins with what is typed and has the exit status, then what is said (not all of
// it), a text a line; ! goes before what is not said. # begins a comment. nothing is exit
// 0, and that there was nothing to do must be said. Blanks in a row may stand for several.
// A line that begins with nobody$ is typed by a user who is not root.
//
// Of every answer it is asked besides that it tells what to do now where it is an error,
// and that it has no secret in it, nor words of the language that dcalab is written in, or
// of the library that reads its command line.
package mistake

import (
	"fmt"
	"regexp"
	"strings"
)

// Row is what somebody types, and what the answer must be.
type Row struct {
	// Line is its line in the table, Command a line of shell.
	Line    int
	Command string
	// User: it is typed by an ordinary user, who has no sudo.
	User bool

	exit    int
	nothing bool     // that nothing was to do must be said
	has     []string // each is somewhere in what is said
	lacks   []string
}

// Parse reads a table.
func Parse(text string) ([]Row, error) {
	var rows []Row
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
			rows, complete = append(rows, Row{Line: i + 1, User: !root, Command: command}), false
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
			return nil, fmt.Errorf("line %d: nothing is asked of the answer", row.Line)
		}
	}
	return rows, nil
}

// idle is how an answer says that there was nothing to do.
var idle = regexp.MustCompile(`nothing to |already|was not running|is not in the swarm|has no such|autolock is off`)

// foreign is what no answer may have in it.
var foreign = regexp.MustCompile(`%!|<nil>|strconv|goroutine \d|panic:|runtime error|` +
	`accepts \d+ arg|accepts at most|requires at least|unknown (flag|shorthand|command)|invalid argument|flag needs|` +
	`SWMTKN-\d|SWMKEY-\d|PRIVATE KEY-----`)

// Judge tells what is wrong with an answer, and nothing where it is as it must be.
func (r Row) Judge(said string, exit int) []string {
	var wrong []string
	if exit != r.exit {
		wrong = append(wrong, fmt.Sprintf("the exit status is not %d", r.exit))
	}
	if r.nothing && !idle.MatchString(said) {
		wrong = append(wrong, "it does not say that there was nothing to do")
	}
	narrow := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	flat := narrow(said)
	for _, want := range r.has {
		if !strings.Contains(flat, narrow(want)) {
			wrong = append(wrong, "it does not say: "+want)
		}
	}
	for _, not := range r.lacks {
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

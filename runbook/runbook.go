// Package runbook writes down what a person would type, without dcalab, for
// what dcalab does: plain vagrant, ssh and docker commands, in order, each with
// the node that it is typed on.
//
// A runbook holds no secret: what is secret stands in it as a placeholder.
package runbook

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Placeholders stand for what an earlier command of the runbook prints and only
// the person who types may see.
const (
	WorkerToken  = "<worker-token>"
	ManagerToken = "<manager-token>"
	UnlockKey    = "<unlock-key>"
)

// Here is the place of a command that is typed on the person's own machine.
const Here = ""

// Command is one line that is typed.
type Command struct {
	// Node is the short name of the node that it is typed on, or Here.
	Node string
	// Text is the line, for a POSIX shell (see Line and Template); placeholders
	// stand in it unquoted.
	Text string
	// Why says in a few words what it is for, without a full stop or a
	// semicolon; may be empty.
	Why string
	// Until makes it a command that is typed again until a line of what it
	// prints is this; empty for one that is typed once.
	Until string
	// Gives is the placeholder that stands for what it prints, if any.
	Gives string
	// Asks is the placeholder of what it asks for and is typed then, if any.
	Asks string
}

// What stands before the parts of a remark, for who reads a runbook back.
const (
	Gives = "prints "
	Asks  = "asks for "
	Until = "again until it says "
)

// remark is what stands beside the line.
func (c Command) remark() string {
	var parts []string
	for _, p := range []struct{ says, what string }{{"", c.Why}, {Asks, c.Asks}, {Gives, c.Gives}, {Until, c.Until}} {
		if p.what != "" {
			parts = append(parts, p.says+p.what)
		}
	}
	return strings.Join(parts, "; ")
}

// Runbook is a course of commands, in the order in which they are typed.
type Runbook []Command

// Local is a runbook of lines that are typed on the person's own machine.
func Local(lines ...string) Runbook { return On([]string{Here}, lines...) }

// On is a runbook of the same lines on each of the nodes.
func On(nodes []string, lines ...string) Runbook {
	var l Runbook
	for _, node := range nodes {
		for _, line := range lines {
			l = append(l, Command{Node: node, Text: line})
		}
	}
	return l
}

// ByNode orders a runbook so that a person logs in to each node once: what is
// typed Here first, then on each node.
func (l Runbook) ByNode() Runbook {
	var order []string
	for _, c := range l {
		if !slices.Contains(order, c.Node) && c.Node != Here {
			order = append(order, c.Node)
		}
	}
	l = slices.Clone(l)
	slices.SortStableFunc(l, func(a, b Command) int {
		return slices.Index(order, a.Node) - slices.Index(order, b.Node)
	})
	return l
}

// Write prints the runbook as a script for people: the commands as they are
// typed, everything else as comments of the shell. login gives the command
// with which one gets onto a node, or where what is typed Here has to be
// typed; it may be empty for that. A runbook without commands says that there is
// nothing to do.
func (l Runbook) Write(w io.Writer, login func(node string) string) error {
	var b strings.Builder
	if len(l) == 0 {
		b.WriteString("# nothing to do\n")
	}
	for i, c := range l {
		if i == 0 || l[i-1].Node != c.Node {
			if i > 0 {
				b.WriteString("\n")
			}
			place := "on this machine"
			if c.Node != Here {
				place = "on " + c.Node
			}
			if how := login(c.Node); how != "" {
				place += ": " + how
			}
			b.WriteString("# " + place + "\n")
		}
		if r := c.remark(); r != "" {
			fmt.Fprintf(&b, "%-60s # %s\n", c.Text, r)
		} else {
			b.WriteString(c.Text + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Line makes a line of words, each quoted for a POSIX shell where it has to
// be. The first is a command, or an argument: a=b in the place of a command
// would set a variable.
func Line(words ...string) string { return line(words, func(string) bool { return false }) }

// Template is Line for words of which some are placeholders: these are not
// quoted. None of the words may be what a person wrote.
func Template(words ...string) string { return line(words, placeholder) }

func line(words []string, bare func(word string) bool) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.Trim(w, plain) != "" && !bare(w) {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// plain are the characters that no shell makes anything of.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_"

// placeholder tells whether a word is one: <worker-token>, <node01-id>.
func placeholder(w string) bool {
	name, ok := strings.CutPrefix(w, "<")
	if !ok {
		return false
	}
	name, ok = strings.CutSuffix(name, ">")
	return ok && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

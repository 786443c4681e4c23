// Package lesson writes down what a person would type, without dcalab, for
// what dcalab does: plain vagrant, ssh and docker commands, in order, each with
// the node that it is typed on.
//
// A lesson holds no secret: what is secret stands in it as a placeholder.
package lesson

import (
	"fmt"
	"io"
	"strings"
)

// Placeholders stand for what an earlier command of the lesson prints and only
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
	// Text is the line, for a POSIX shell; placeholders stand in it unquoted.
	Text string
	// Why says in a few words what it is for, without a full stop; may be empty.
	Why string
	// Until makes it a command that is typed again until what it prints
	// contains this; empty for one that is typed once.
	Until string
	// Gives is the placeholder that stands for what it prints, if any.
	Gives string
}

// remark is what stands beside the line.
func (c Command) remark() string {
	var parts []string
	if c.Why != "" {
		parts = append(parts, c.Why)
	}
	if c.Gives != "" {
		parts = append(parts, "prints "+c.Gives)
	}
	if c.Until != "" {
		parts = append(parts, "again until it says "+c.Until)
	}
	return strings.Join(parts, "; ")
}

// Lesson is a course of commands, in the order in which they are typed.
type Lesson []Command

// Write prints the lesson as a script for people: the commands as they are
// typed, everything else as comments of the shell. login gives the command
// with which one gets onto a node.
func (l Lesson) Write(w io.Writer, login func(node string) string) error {
	var b strings.Builder
	for i, c := range l {
		if i == 0 || l[i-1].Node != c.Node {
			if i > 0 {
				b.WriteString("\n")
			}
			if c.Node == Here {
				b.WriteString("# on this machine\n")
			} else {
				fmt.Fprintf(&b, "# on %s: %s\n", c.Node, login(c.Node))
			}
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

package cmd

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/runbook"
)

// What --dry-run and --explain make of a command:
//
//	                      a command that changes            one that only reads
//	--dry-run             the plan                          a line that it only reads
//	--dry-run --explain   the runbook                        the runbook
//	--explain             does it; the runbook on stderr     the runbook on stderr; reads
//
// A dry run prints on stdout and does nothing. A command that knows them is
// marked by explained; every other one refuses the flags, so that --dry-run
// never does what it was asked not to do. The others only read, so that the
// variables, which were not set for them, pass.

// explained marks a command as one that heeds --dry-run and --explain.
func explained(c *cobra.Command) *cobra.Command {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[explainedMark] = "yes"
	return c
}

const explainedMark = "explained"

// dryRun: nothing is to be done.
func (a *app) dryRun() bool { return a.settings.GetBool("dry-run") }

// explains: the plain commands for the same are to be printed.
func (a *app) explains() bool { return a.settings.GetBool("explain") }

// rehearse is the end of a dry run of a command that changes something: it
// prints the plan, a line each, or the runbook where that is asked for. One
// that is empty is "nothing to do".
func (s *session) rehearse(plan []string, l runbook.Runbook) error {
	out := s.app.streams.Out
	if s.app.explains() {
		return s.shown(l).Write(out, s.login)
	}
	if len(plan) == 0 {
		plan = []string{"nothing to do"}
	}
	for _, line := range plan {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// recount prints, with --explain, the runbook of what a command has done: on
// stderr, after everything else that it says. --quiet does not silence it.
func (s *session) recount(l runbook.Runbook) error {
	if !s.app.explains() {
		return nil
	}
	return s.aside("the same by hand:", l)
}

// announce is for commands that only read, before they do: with --explain it
// prints the runbook on stderr. In a dry run (stop is true) it prints the
// runbook on stdout, or without --explain a line that nothing would change; then
// the command is over.
func (s *session) announce(l runbook.Runbook) (stop bool, err error) {
	switch {
	case s.app.dryRun() && !s.app.explains():
		_, err := fmt.Fprintln(s.app.streams.Out, "read-only command: nothing would change")
		return true, err
	case s.app.dryRun():
		return true, s.shown(l).Write(s.app.streams.Out, s.login)
	case s.app.explains():
		return false, s.aside("the same by hand:", l)
	}
	return false, nil
}

func (s *session) aside(head string, l runbook.Runbook) error {
	if _, err := io.WriteString(s.app.streams.Err, "\n"+head+"\n\n"); err != nil {
		return err
	}
	return s.shown(l).Write(s.app.streams.Err, s.login)
}

// shown is a runbook with the commands of dcalab in it as they are typed here.
// Its lines may lead into another folder.
func (s *session) shown(l runbook.Runbook) runbook.Runbook {
	h := s.app.hints()
	h.Program = h.Absolute
	out := slices.Clone(l)
	for i := range out {
		if out[i].Node == runbook.Here {
			out[i].Text = h.Rewrite(out[i].Text)
		}
	}
	return out
}

// login is what a person types to get onto a node. It works from every folder.
// Runbooks for this machine lead by themselves where they have to be typed.
func (s *session) login(node string) string {
	if node == runbook.Here {
		return ""
	}
	if login := s.Driver().Traits().Login; login != nil {
		return login(node)
	}
	return runbook.Line("ssh", "-F", s.State().SSHConfig(), node)
}

// refuseUnexplained makes every command below c that is not marked by
// explained refuse --dry-run and --explain.
func refuseUnexplained(a *app, c *cobra.Command) {
	for _, sub := range c.Commands() {
		refuseUnexplained(a, sub)
	}
	if c.RunE == nil || c.Hidden || isGroup(c) || c.Annotations[explainedMark] != "" {
		return
	}
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, flag := range []string{"dry-run", "explain"} {
			if c.Flags().Changed(flag) && a.settings.GetBool(flag) {
				return usage(c.CommandPath() + " does not support --" + flag)
			}
		}
		return run(c, args)
	}
}

// isGroup tells whether a command only has others.
func isGroup(c *cobra.Command) bool {
	return c.HasSubCommands() && c.Annotations[explainedMark] == ""
}

package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// logOutcome writes to the lab's log how a command ended: every command that
// failed or was refused, and every one that changed the lab. Nothing is made
// for it: a lab that has no log gets none.
func (a *app) logOutcome(began time.Time, err error, status int) {
	s := a.opened
	if s == nil || a.delegated || a.dryRun() || status == trouble.ExitOK && !s.changed {
		return
	}
	if _, gone := os.Stat(s.State().Log()); gone != nil {
		return
	}
	f, failed := s.State().OpenLog()
	if failed != nil {
		return // what there is to say has been said on the terminal
	}
	defer f.Close()
	_, _ = io.WriteString(f, trouble.Redact(outcome(time.Now(), public(a.args), time.Since(began), err, status)))
}

// public leaves out what is typed for a node: it may hold passwords.
func public(args []string) []string {
	for i, arg := range args {
		if arg == "ssh" || arg == "exec" {
			return append(slices.Clone(args[:i+1]), "…")
		}
	}
	return args
}

// outcome is a line, and one for each thing to do about what failed.
func outcome(now time.Time, args []string, took time.Duration, err error, status int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s dcalab %s: exit status %d after %s", now.UTC().Format(time.RFC3339), strings.Join(args, " "), status, ui.Duration(took))
	if err != nil {
		var t *trouble.Error
		if errors.As(err, &t) && t.ID != "" {
			fmt.Fprintf(&b, " (%s)", t.ID)
		}
		b.WriteString(": " + strings.Join(strings.Split(strings.TrimSpace(err.Error()), "\n"), "; "))
	}
	b.WriteByte('\n')
	for _, next := range trouble.Advice(err) {
		fmt.Fprintf(&b, "  %s\n", next)
	}
	return b.String()
}

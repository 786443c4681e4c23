package cmd

import (
	"context"
	"io"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session/doctor"
	"github.com/dcalab/dcalab/show"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func doctorCommand(a *app) *cobra.Command {
	var o listing
	var fix bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can run the lab, and show how to fix problems",
		Long: `Check everything that dcalab up needs of this machine, and say for each what
was found and how to fix it. The checks are those of the lab's driver; --driver
checks for the other one.

A failure stops dcalab up; a warning does not. With --fix, the commands marked
(--fix) are run, each shown first: they remove nothing and can be undone. All
other fixes are left to you.`,
		Example: "  dcalab doctor\n  dcalab doctor --fix\n  dcalab --driver vagrant doctor -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			format, err := o.format(machine.Check{})
			if err != nil {
				return err
			}
			ctx := c.Context()
			if fix && a.dryRun() {
				return rehearseFixes(ctx, a)
			}
			driver := ""
			if s, err := a.identify(); err == nil {
				driver = s.Record().Driver
			}
			if stop, err := (&session{app: a}).announce(doctor.Runbook(driver)); stop || err != nil {
				return err
			}
			d, err := examined(ctx, a)
			if err == nil && fix {
				d, err = applyFixes(ctx, a, d)
			}
			if err != nil {
				return err
			}
			if err := writeDiagnosis(a, d, format); err != nil {
				return err
			}
			if len(d.Fixed) > 0 {
				if err := (&session{app: a}).recount(runbook.Local(fixLines(d)...)); err != nil {
					return err
				}
			}
			if exit := d.Exit(); exit != trouble.ExitOK {
				return remoteError(exit) // everything has been said
			}
			return nil
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&fix, "fix", false, "run the commands that are safe fixes")
	return explained(c)
}

func examined(ctx context.Context, a *app) (*doctor.Diagnosis, error) {
	d, err := doctor.Examine(ctx, a.lab())
	return d, advised(err)
}

// rehearseFixes is the dry run of doctor --fix: what it would run first. What is
// fixed may show something else.
func rehearseFixes(ctx context.Context, a *app) error {
	d, err := examined(ctx, a)
	if err != nil {
		return err
	}
	d, err = doctor.ApplyFixes(d, func(machine.Check, []string) error { return nil }, func() (*doctor.Diagnosis, error) { return d, nil })
	if err != nil {
		return err
	}
	lines := fixLines(d)
	var plan []string
	for _, line := range lines {
		plan = append(plan, "run "+line)
	}
	return (&session{app: a}).rehearse(plan, runbook.Local(lines...))
}

// fixLines are the commands that were run, as they are typed.
func fixLines(d *doctor.Diagnosis) []string {
	out := make([]string, len(d.Fixed))
	for i, f := range d.Fixed {
		out[i] = runbook.Line(f.Run...)
	}
	return out
}

// applyFixes runs the safe commands of the checks, each shown first.
func applyFixes(ctx context.Context, a *app, d *doctor.Diagnosis) (*doctor.Diagnosis, error) {
	s := &session{app: a}
	d, err := doctor.ApplyFixes(d, func(c machine.Check, run []string) error {
		s.note("fix %s: %s", c.What, runbook.Line(run...))
		cmd := exec.CommandContext(ctx, run[0], run[1:]...)
		cmd.WaitDelay = time.Second
		// What it says is part of the story, not of the result.
		cmd.Stdin, cmd.Stdout, cmd.Stderr = a.streams.In, a.streams.Err, a.streams.Err
		err := cmd.Run()
		if err != nil {
			s.note("that failed: %v", err)
		}
		return err
	}, func() (*doctor.Diagnosis, error) { return examined(ctx, a) })
	if err == nil && len(d.Fixed) == 0 && d.Count(machine.VerdictOK) < len(d.Checks) {
		s.note("nothing here can be fixed automatically")
	}
	return d, err
}

func writeDiagnosis(a *app, d *doctor.Diagnosis, format ui.Format) error {
	for _, c := range d.Checks {
		for i, f := range c.Fixes {
			if f.Run == nil {
				c.Fixes[i].Text = a.hint(f.Text)
			}
		}
	}
	return a.print(format, ui.Listing{
		Document: d, Rows: d.Checks, Key: "id",
		Table: func(w io.Writer, wide bool) error { return show.Diagnosis(w, d, a.style(wide)) },
	})
}

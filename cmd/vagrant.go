package cmd

import (
	"context"
	"errors"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// ownProgram is a driver whose machines are those of a program that a person
// can use beside dcalab.
type ownProgram interface {
	// Command is the program with these arguments, where the lab's machines are.
	Command(ctx context.Context, args ...string) (*exec.Cmd, error)
	// ExplainCommand is what a person types for the same.
	ExplainCommand(args ...string) runbook.Runbook
}

func vagrantCommand(a *app) *cobra.Command {
	return explained(&cobra.Command{
		Use:   "vagrant -- ARGS...",
		Short: "Run Vagrant itself on the lab's machines",
		Long: `Run Vagrant with these arguments in the lab's folder, with its Vagrantfile
and provider, and exit with its status. dcalab sees what it does to the
machines: status shows them, and up makes new ones ready.`,
		Example: "  dcalab vagrant -- status\n  dcalab vagrant -- reload node01\n  dcalab vagrant -- global-status",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.existing()
			if err != nil {
				return err
			}
			d, ok := s.Driver().(ownProgram)
			if !ok {
				return &trouble.Error{
					ID: "not-vagrant", What: "vagrant " + args[0], Why: "lab " + s.Lab().Name + " was made by the " + s.Driver().Name() + " driver",
					Next: []string{"what its machines do: dcalab status", "on one of them: dcalab ssh NODE -- COMMAND"}, Exit: trouble.ExitUsage,
				}
			}
			typed := d.ExplainCommand(args...)
			if a.dryRun() {
				return s.rehearse([]string{typed[len(typed)-1].Text}, typed)
			}
			// It may be a shell, or something that never ends: the runbook comes first.
			if _, err := s.announce(typed); err != nil {
				return err
			}
			// Ctrl-C reaches Vagrant by itself, from the terminal.
			v, err := d.Command(context.WithoutCancel(c.Context()), args...)
			if err != nil {
				return err
			}
			v.Stdin, v.Stdout, v.Stderr = a.streams.In, a.streams.Out, a.streams.Err
			err = v.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() > 0 {
				return remoteError(exit.ExitCode())
			}
			return err
		},
	})
}

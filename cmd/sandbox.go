package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/machine/sandbox"
)

// What runs inside the nodes of the sandbox driver.

func sandboxInitCommand() *cobra.Command {
	return &cobra.Command{
		Use: "sandbox-init ID NODE", Hidden: true, Args: cobra.ExactArgs(2),
		Short: "PID 1 of a sandbox node",
		RunE:  func(_ *cobra.Command, args []string) error { return sandbox.Init(args[0], args[1]) },
	}
}

func sandboxServiceCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "sandbox-service ACTION UNIT", Hidden: true, Args: cobra.ExactArgs(2),
		Short: "Ask PID 1 of the sandbox node that this runs in",
		RunE: func(_ *cobra.Command, args []string) error {
			state, err := sandbox.Service(args[0], args[1])
			if err != nil {
				return err
			}
			fmt.Fprintln(a.streams.Out, state)
			if args[0] == "status" && state != "active" {
				return remoteError(3) // as systemctl and LSB init scripts do
			}
			return nil
		},
	}
}

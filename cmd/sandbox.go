package cmd

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/machine/docker"
	"github.com/dcalab/dcalab/machine/sandbox"
)

// What runs inside the nodes of the sandbox driver, and in the container of the
// docker driver.

func hostAgentCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "host-agent", Hidden: true, Args: cobra.NoArgs,
		Short: "The docker driver's side in its container",
		RunE: func(c *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return docker.Agent(c.Context(), self, a.streams.In, a.streams.Out)
		},
	}
}

func hostInitCommand() *cobra.Command {
	return &cobra.Command{
		Use: "host-init", Hidden: true, Args: cobra.NoArgs,
		Short: "What the docker driver's container runs",
		RunE:  func(c *cobra.Command, _ []string) error { return docker.Init(c.Context()) },
	}
}

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

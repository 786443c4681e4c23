package cmd

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/fault/relay"
	"github.com/dcalab/dcalab/machine/docker"
	"github.com/dcalab/dcalab/machine/sandbox"
)

// insideCommands are what dcalab is called with inside the nodes of the sandbox
// driver, and in the container of the docker driver.
func insideCommands(a *app) []*cobra.Command {
	inside := func(use string, args int, run func(*cobra.Command, []string) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: "dcalab inside nodes and containers", Hidden: true, Args: cobra.ExactArgs(args), RunE: run}
	}
	return []*cobra.Command{
		inside("host-init", 0, func(c *cobra.Command, _ []string) error { return docker.Init(c.Context()) }),
		inside("host-agent", 0, func(*cobra.Command, []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return docker.Agent(self, os.Stdin, os.Stdout)
		}),
		inside("sandbox-init ID NODE", 2, func(_ *cobra.Command, args []string) error { return sandbox.Init(args[0], args[1]) }),
		inside("sandbox-relay DIR", 1, func(_ *cobra.Command, args []string) error { return relay.Run(args[0]) }),
		inside("sandbox-service ACTION UNIT", 2, func(_ *cobra.Command, args []string) error {
			state, err := sandbox.Service(args[0], args[1])
			if err != nil {
				return err
			}
			fmt.Fprintln(a.streams.Out, state)
			if args[0] == "status" && state != "active" {
				return remoteError(3) // as systemctl and LSB init scripts do
			}
			return nil
		}),
	}
}

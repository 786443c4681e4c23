package cmd

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/fault/relay"
	"github.com/dcalab/dcalab/machine/docker"
)

// insideCommands are what dcalab is called with inside nodes and in the container of
// the docker driver; PID 1 of the sandbox driver's nodes (machine/sandbox/pid1) is no
// command.
func insideCommands() []*cobra.Command {
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
		inside("sandbox-relay DIR", 1, func(_ *cobra.Command, args []string) error { return relay.Run(args[0]) }),
	}
}

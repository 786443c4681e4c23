package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/forward"
)

func forwardCommand(a *app) *cobra.Command {
	var on string
	c := &cobra.Command{
		Use:   "forward [[LOCAL:]PORT...]",
		Short: "Reach what services publish at 127.0.0.1, through SSH",
		Long: `Listen at 127.0.0.1 on this machine, and carry each connection to the node on
which the service answers, until Ctrl-C: like ssh -L, and for the docker driver
the way into the lab's container. PORT is a port that a service publishes, or
any port of TCP on the node that --node names; LOCAL is the one here, where that
is to be another. Without ports, it is all ports that services publish now.

What publishes the port is looked up once, when it starts. While it runs, status
shows these addresses. Every program on this machine can connect to them.`,
		Example: "  dcalab forward\n  dcalab forward 8080\n  dcalab forward 8081:8080 --node node02",
		RunE: func(c *cobra.Command, args []string) error {
			ports, err := forward.Parse(args)
			if err != nil {
				return err
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			if on == "" {
				ports, err = forward.Published(c.Context(), s.Session, ports)
			} else {
				ports, err = leadTo(s, on, ports)
			}
			if err != nil {
				return err
			}
			if stop, err := s.announce(forward.Runbook(s.Session, ports)); stop || err != nil {
				return err
			}
			ready := func() {
				for _, p := range ports {
					fmt.Fprintln(a.streams.Out, p)
				}
			}
			return forward.Run(c.Context(), s.Session, ports, ready, func(p forward.Port, err error) { s.warn(fmt.Sprintf("port %d: %v", p.Port, err)) })
		},
	}
	c.Flags().StringVar(&on, "node", "", "the node to connect to, whatever publishes the port")
	_ = c.RegisterFlagCompletionFunc("node", completer{a}.one)
	c.ValidArgsFunction = cobra.NoFileCompletions
	return explained(c)
}

// leadTo makes ports lead to the node that --node names.
func leadTo(s *session, on string, ports []forward.Port) ([]forward.Port, error) {
	nodes, err := s.pick([]string{on})
	if err != nil {
		return nil, err
	}
	if len(ports) == 0 {
		return nil, usage("--node "+on+" is for ports that are named", "dcalab forward PORT --node "+on)
	}
	for i := range ports {
		ports[i].Nodes = nodes
	}
	return ports, nil
}

package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/dockercontext"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func contextCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "context",
		Short: "A Docker context of the lab, for the docker program of this machine",
		Long: `A Docker context says which engine the docker program of this machine talks
to. One of the lab leads to a manager, over SSH, so that docker works on the
lab's swarm from here, in every folder:

  docker --context dcalab-dca node ls
  docker --context dcalab-dca stack deploy -c stack.yml web`,
	}
	c.AddCommand(contextCreateCommand(a), contextRmCommand(a))
	return c
}

func contextCreateCommand(a *app) *cobra.Command {
	var o contextOptions
	c := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Make a Docker context of the lab",
		Long: `Make a Docker context (dcalab-LAB, where no NAME is given) that reaches a
manager of the lab over SSH. --node chooses another one; run again, it moves the
context.

It changes two things of yours, and dcalab context rm undoes both:

  Docker's contexts    one is added, by docker context create; one of that name
                       that dcalab did not make is left alone
  ~/.ssh/config        five lines are put in front, and nothing else is changed.
                       They are shown first, and confirmed (not with --yes).

docker runs ssh, and ssh reads ~/.ssh/config alone; the lines make it read the
lab's ssh_config for the names dcalab-LAB-NODE and for no others. So these work
too, in any folder: ssh dcalab-dca-node01, scp, an editor's remote mode. They
outlive destroy: after the next up they lead to the new machines.`,
		Example: "  dcalab context create\n  docker --context dcalab-dca node ls\n  docker context use dcalab-dca",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.existing()
			if err != nil {
				return err
			}
			return createContext(c.Context(), s, contextName(s, args), o)
		},
	}
	o.flags(c)
	c.Flags().StringVar(&o.node, "node", "", "node that the context reaches (default: the first manager of labs.yaml that runs)")
	return explained(c)
}

func contextRmCommand(a *app) *cobra.Command {
	var o contextOptions
	c := &cobra.Command{
		Use:   "rm [NAME]",
		Short: "Remove a Docker context of the lab, and what was put into ~/.ssh/config",
		Long: `Remove the Docker context that dcalab context create made, and the lines that
it put into ~/.ssh/config where no other context of the lab needs them. A
context that dcalab did not make is left alone. The lab may be gone already.`,
		Example: "  dcalab context rm",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.identify()
			if err != nil {
				return err
			}
			return removeContext(c.Context(), s, contextName(s, args), o)
		},
	}
	o.flags(c)
	return explained(c)
}

type contextOptions struct {
	node      string
	sshConfig string
	yes       bool
}

func (o *contextOptions) flags(c *cobra.Command) {
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().StringVar(&o.sshConfig, "ssh-config", "", "ssh's configuration file (default: ~/.ssh/config)")
}

// contextName is the name given, or the lab's own.
func contextName(s *session, args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return dockercontext.Name(s.Lab().Name)
}

// contexts are Docker's contexts of the lab; sshConfig is ssh's configuration
// file, where the user names one.
func contextsOf(s *session, sshConfig string) dockercontext.Contexts {
	return dockercontext.Contexts{
		Lab: s.Lab().Name, State: s.State(), Owner: s.Owner(), SSHConfig: sshConfig, Docker: dockercontext.FindDocker,
		Note: func(text string) { s.note("%s", text) }, Warn: func(text string) { s.warn(text) },
	}
}

func createContext(ctx context.Context, s *session, name string, o contextOptions) error {
	contexts := contextsOf(s, o.sshConfig)
	plan, err := contexts.PlanCreate(ctx, name, func() (string, error) { return contextNode(ctx, s, o.node) })
	if err != nil {
		return err
	}
	if s.app.dryRun() {
		return s.rehearse(plan.Lines, plan.Runbook)
	}
	node := plan.Node
	if plan.Block != "" && !o.yes {
		fmt.Fprintf(s.app.streams.Err, "to be added at the top of %s:\n\n%s\n\n", plan.SSHConfig, indented(strings.TrimSuffix(plan.Block, "\n")))
		ok, err := ui.Confirm(ctx, s.app.streams, "add these lines?")
		if err != nil {
			return err
		}
		if !ok {
			return &trouble.Error{ID: "not-confirmed", What: "context create", Why: "not confirmed, nothing was touched",
				Next: []string{"or without any context: dcalab ssh " + node + " -- docker node ls"}}
		}
	}
	// The lab's file may be of an older dcalab, without the names.
	if err := s.WriteSSHConfig(ctx, nil); err != nil {
		return err
	}
	if err := contexts.Create(ctx, plan); err != nil {
		return err
	}
	try := "node ls"
	if n, ok := s.Lab().Node(node); ok && n.Role != lab.RoleManager {
		try = "ps" // only a manager lists nodes
	}
	s.note("context %s reaches %s: docker --context %s %s", name, node, name, try)
	return s.recount(plan.Runbook)
}

func removeContext(ctx context.Context, s *session, name string, o contextOptions) error {
	plan, err := contextsOf(s, o.sshConfig).Remove(ctx, name, s.app.dryRun())
	switch {
	case err != nil:
		return err
	case s.app.dryRun():
		return s.rehearse(plan.Lines, plan.Runbook)
	}
	return s.recount(plan.Runbook)
}

// contextNode is the node that a context reaches.
func contextNode(ctx context.Context, s *session, name string) (string, error) {
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return "", err
	}
	if name != "" {
		nodes, err := s.pick([]string{name})
		if err != nil {
			return "", err
		}
		return nodes[0].Name, labsession.NotRunning(nodes[0].Name, machines[nodes[0].Name])
	}
	first := ""
	for _, n := range s.Lab().Nodes {
		if n.Role != lab.RoleManager {
			continue
		}
		if machines[n.Name] == machine.StatusRunning {
			return n.Name, nil
		}
		if first == "" {
			first = n.Name
		}
	}
	return "", labsession.NotRunning(first, machines[first])
}

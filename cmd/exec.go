package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func execCommand(a *app) *cobra.Command {
	var which labsession.Selector
	var ordered, input, terminal bool
	var output string
	c := &cobra.Command{
		Use:   "exec [--all|--managers|--workers] [NODE...] -- COMMAND...",
		Short: "Run a command on several nodes at once",
		Long: `Run a command on several nodes at once: those named, all, or those that are
managers or workers in the swarm now, as the node's ordinary user. The command
gets its arguments as typed; a single argument is a command line for the node's
shell: dcalab exec --all -- 'uptime; df -h'.

The output is shown as it arrives, each line with the node's name in front;
standard error goes to standard error. With --ordered it is shown node by node,
in the lab's order. The command's standard input is empty.

The exit status is 0 when all succeeded, the command's own where it failed with
the same status everywhere, else 1. A node that cannot be reached has failed.

-it is for one node: the command gets a terminal, and what is typed here, as
dcalab ssh does it for a shell; -i alone gives it standard input.`,
		Example: "  dcalab exec --all -- uptime\n  dcalab exec --managers -- docker node ls\n" +
			"  dcalab exec node01 node02 -- 'sudo service docker restart'\n  dcalab exec --all --ordered -- docker ps\n  dcalab exec -it node01 -- top\n  dcalab exec --workers -o json -- docker info -f '{{.ServerVersion}}'",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkFormat(output); err != nil {
				return err
			}
			dash := c.ArgsLenAtDash()
			if dash < 0 || dash == len(args) {
				return advisor(a).MissingCommand(a.called)
			}
			which.Names = args[:dash]
			if which.None() {
				return usage("on which nodes?", "name them before the --, or say --all, --managers or --workers")
			}
			if (input || terminal) && (dash != 1 || which.All || which.ByRole() || ordered || output != "") {
				return usage("-i and -t are for one node, whose name comes before the --", "dcalab exec -it NODE -- COMMAND")
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			if input || terminal {
				nodes, err := s.pick(args[:1])
				if err != nil {
					return err
				}
				return sshTo(c.Context(), s, nodes[0], shellLine(args[1:]), terminal)
			}
			return execOn(c.Context(), s, which, shellLine(args[dash:]), ordered, output)
		},
	}
	selectorFlags(c, &which)
	c.Flags().BoolVarP(&input, "interactive", "i", false, "give the command standard input (one node)")
	c.Flags().BoolVarP(&terminal, "tty", "t", false, "give the command a terminal (one node)")
	c.Flags().BoolVar(&ordered, "ordered", false, "show the output node by node, in the lab's order")
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml (default: lines)")
	return explained(c)
}

// shellLine gives what a node's shell reads: several words are a command with
// these arguments, a single one is a line of shell.
func shellLine(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return node.Quote(words...)
}

// execOn runs a command line on nodes and gives the error that dcalab exits with.
func execOn(ctx context.Context, s *session, which labsession.Selector, command string, ordered bool, format string) error {
	nodes, have, err := s.chosen(ctx, which)
	if err != nil {
		return err
	}
	defer have.Close()
	a := s.app
	e := labsession.Exec{Nodes: nodes, Command: command, Max: ui.MaxHeld}
	plan, typed := e.Plan(s.State().SSHConfig())
	if a.dryRun() {
		if err := s.warnNotRunning(ctx, nodes); err != nil {
			return err
		}
		return s.rehearse(plan, typed)
	}
	lines := ui.NewLineMux(a.streams, names(nodes), ordered, a.settings.GetBool("no-color"))
	var shown labsession.ExecLines = lines
	if format != "" {
		shown = nil
	}
	r, err := have.Exec(ctx, e, shown)
	if err == nil {
		err = errors.Join(writeExec(a, r, format), lines.Err())
	}
	if err == nil {
		err = s.recount(typed)
	}
	if err != nil {
		return err
	}
	if status := r.Status(); status != trouble.ExitOK {
		return remoteError(status) // all has been said
	}
	return nil
}

// writeExec prints the report in a format, or, where the lines were shown
// already, how each node failed.
func writeExec(a *app, r labsession.ExecReport, format string) error {
	for i, n := range r.Nodes {
		if n.Err != nil {
			r.Nodes[i].Error = a.hint(trouble.OneLine(n.Err))
		}
	}
	if format != "" {
		text, err := ui.Encode(format, r)
		if err == nil {
			_, err = a.streams.Out.Write(text)
		}
		return err
	}
	for _, n := range r.Nodes {
		switch {
		case n.Err != nil:
			fmt.Fprintf(a.streams.Err, "%s: %s\n", n.Name, strings.TrimPrefix(n.Error, n.Name+": "))
		case *n.Exit != 0:
			fmt.Fprintf(a.streams.Err, "%s: exit %d\n", n.Name, *n.Exit)
		}
	}
	return nil
}

// selectorFlags are those for nodes that are not named.
func selectorFlags(c *cobra.Command, o *labsession.Selector) {
	c.Flags().BoolVar(&o.All, "all", false, "all nodes")
	c.Flags().BoolVar(&o.Managers, "managers", false, "the nodes that are managers now")
	c.Flags().BoolVar(&o.Workers, "workers", false, "the nodes that are workers now")
}

// chosen gives the nodes that are named or selected, in the lab's order, and
// the connections that were made to find out, for the caller to close.
func (s *session) chosen(ctx context.Context, which labsession.Selector) ([]lab.Node, *labsession.Pool, error) {
	have := s.NewPool()
	chosen, err := have.Select(ctx, which)
	if len(chosen.Guessed) > 0 {
		s.warn("the swarm does not report the role of " + strings.Join(chosen.Guessed, ", ") + ": using the role in labs.yaml")
	}
	if err != nil {
		_ = have.Close()
		return nil, nil, notAll(s, err)
	}
	return chosen.Nodes, have, nil
}

// warnNotRunning tells of nodes of a dry run that could not be asked.
func (s *session) warnNotRunning(ctx context.Context, nodes []lab.Node) error {
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range nodes {
		if err := labsession.NotRunning(n.Name, machines[n.Name]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(nodes) {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		s.warn(trouble.OneLine(err))
	}
	return nil
}

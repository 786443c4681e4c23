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

// execReport is what `dcalab exec -o json` prints. Its keys are a promise.
type execReport struct {
	Lab     string       `json:"lab" yaml:"lab"`
	Command string       `json:"command" yaml:"command"`
	Nodes   []execResult `json:"nodes" yaml:"nodes"`
}

type execResult struct {
	Name string `json:"name" yaml:"name"`
	// Exit is the command's status; null where it could not be run, or its
	// status was lost.
	Exit   *int   `json:"exit" yaml:"exit"`
	Stdout string `json:"stdout" yaml:"stdout"`
	Stderr string `json:"stderr" yaml:"stderr"`
	Error  string `json:"error" yaml:"error"`

	err error
}

func (r execResult) ok() bool { return r.err == nil && *r.Exit == 0 }

func execCommand(a *app) *cobra.Command {
	var which labsession.Selector
	var ordered, input, terminal bool
	var output string
	c := &cobra.Command{
		Use:   "exec [--all|--managers|--workers] [NODE...] -- COMMAND...",
		Short: "Run a command on several nodes at once",
		Long: `Run a command on several nodes at once: those named, all, or those that the
swarm calls managers or workers now, as the node's ordinary user. The command
gets its words as they were typed; a single word is a line for the shell of the
node: dcalab exec --all -- 'uptime; df -h'.

What the nodes say is shown as it comes, each line with the node's name in
front; what they write to standard error goes to standard error. With
--ordered it is shown node by node, in the lab's order. The command's standard
input is empty.

The exit status is 0 when all succeeded, that of the command where all that
failed agree on it, else 1. A node that cannot be reached has failed.

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
	c.Flags().BoolVar(&ordered, "ordered", false, "show what the nodes say node by node, in the lab's order")
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
	typed := execRunbook(s, nodes, command)
	if a.dryRun() {
		if err := s.warnNotRunning(ctx, nodes); err != nil {
			return err
		}
		var plan []string
		for _, n := range nodes {
			plan = append(plan, n.Name+": run "+command)
		}
		return s.rehearse(plan, typed)
	}
	results := make([]execResult, len(nodes))
	for i, n := range nodes {
		results[i].Name = n.Name
	}
	lines := ui.NewLineMux(a.streams, names(nodes), ordered, a.settings.GetBool("no-color"))

	var texts []struct{ out, err trouble.Bound }
	if format != "" {
		texts = make([]struct{ out, err trouble.Bound }, len(nodes))
		for i, n := range nodes {
			for _, b := range []*trouble.Bound{&texts[i].out, &texts[i].err} {
				b.Node, b.What, b.Max = n.Name, "run the command", ui.MaxHeld
				b.Next = []string{"without -o it is shown as it comes", "or to a file there: dcalab exec " + n.Name + " -- 'COMMAND >FILE', dcalab cp " + n.Name + ":FILE ."}
			}
		}
	}
	have.Reach(ctx, nodes, func(i int, n *node.Conn, err error) {
		r := &results[i]
		if err == nil {
			out, errw := lines.Stream(i, false), lines.Stream(i, true)
			if format != "" {
				out, errw = &texts[i].out, &texts[i].err
			}
			var exit int
			if exit, err = n.Stream(ctx, command, nil, out, errw); err == nil {
				r.Exit = &exit
			}
		}
		if r.err = err; err != nil {
			r.Error = a.hint(oneLine(err))
		}
		if format != "" {
			r.Stdout, r.Stderr = texts[i].out.String(), texts[i].err.String()
		} else if ctx.Err() == nil {
			lines.End(i, err)
		}
	})
	if ctx.Err() != nil {
		return &trouble.Error{
			ID: "interrupted", What: "interrupted", Why: "the commands were told to end; what they did stays",
			Exit: trouble.ExitInterrupted, Err: ctx.Err(),
		}
	}
	if err := errors.Join(writeExec(s, results, command, format), lines.Err()); err != nil {
		return err
	}
	if err := s.recount(typed); err != nil {
		return err
	}
	return execStatus(results)
}

// writeExec prints the results in a format, or, where the lines were shown
// already, how each node failed.
func writeExec(s *session, results []execResult, command, format string) error {
	var text []byte
	var err error
	switch r := (execReport{Lab: s.Lab().Name, Command: command, Nodes: results}); format {
	case "json", "yaml":
		text, err = encode(format, r)
	default:
		for _, r := range results {
			switch {
			case r.err != nil:
				fmt.Fprintf(s.app.streams.Err, "%s: %s\n", r.Name, strings.TrimPrefix(r.Error, r.Name+": "))
			case *r.Exit != 0:
				fmt.Fprintf(s.app.streams.Err, "%s: exit %d\n", r.Name, *r.Exit)
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.app.streams.Out.Write(text)
	return err
}

// execStatus makes dcalab's exit status of the nodes': all has been said.
func execStatus(results []execResult) error {
	status := -1
	for _, r := range results {
		switch {
		case r.ok():
		case r.err != nil || status >= 0 && status != *r.Exit:
			return remoteError(trouble.ExitFailure)
		default:
			status = *r.Exit
		}
	}
	if status < 0 {
		return nil
	}
	return remoteError(status)
}

// selectorFlags are those for nodes that are not named.
func selectorFlags(c *cobra.Command, o *labsession.Selector) {
	c.Flags().BoolVar(&o.All, "all", false, "all nodes")
	c.Flags().BoolVar(&o.Managers, "managers", false, "the nodes that the swarm calls managers now")
	c.Flags().BoolVar(&o.Workers, "workers", false, "the nodes that the swarm calls workers now")
}

// chosen gives the nodes that are named or selected, in the lab's order, and
// the connections that were made to find out, for the caller to close.
func (s *session) chosen(ctx context.Context, which labsession.Selector) ([]lab.Node, *labsession.Pool, error) {
	have := s.NewPool()
	chosen, err := have.Select(ctx, which)
	if len(chosen.Guessed) > 0 {
		s.warn("the swarm does not say what " + strings.Join(chosen.Guessed, ", ") + " is: taken for what labs.yaml says")
	}
	if err != nil {
		_ = have.Close()
		return nil, nil, notAll(s, err)
	}
	return chosen.Nodes, have, nil
}

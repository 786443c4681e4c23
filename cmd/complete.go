package cmd

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/drivers"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/dockercontext"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// completer is what TAB offers. Nothing here asks a node or starts a program.
// Files are offered only where a file is meant.
type completer struct{ app *app }

const noFiles = cobra.ShellCompDirectiveNoFileComp

// flags gives every flag of the commands what it can be.
func (c completer) flags(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(noFiles)
	files := cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	fixed := func(words ...string) cobra.CompletionFunc { return cobra.FixedCompletions(words, noFiles) }
	known := map[string]cobra.CompletionFunc{
		"config":   cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt),
		"lab":      c.labs,
		"driver":   fixed(drivers.Names()...),
		"provider": fixed(drivers.Providers()...),
		"output":   fixed(formats()...),
		"shell":    fixed(dockercontext.Shells()...),
		"lines":    fixed("all"),
		"timeout":  fixed("30s", "2m", "5m"),
		"for":      fixed("30s", "2m", "10m"),
		"one-way":  fixed("in", "out"),
		"to":       c.nodes,
		"node":     c.nodes, "take-over": c.nodes,
		"bundle": files, "report": files, "ssh-config": files, "binary": files,
	}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		register := func(f *pflag.Flag) {
			if _, has := c.GetFlagCompletionFunc(f.Name); known[f.Name] != nil && !has {
				_ = c.RegisterFlagCompletionFunc(f.Name, known[f.Name]) // fails for a flag that is not there
			}
		}
		// LocalFlags would put the global flags into the usage line of each.
		c.Flags().VisitAll(register)
		c.PersistentFlags().VisitAll(register)
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
}

func (c completer) labs(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	if file, err := c.app.load(); err == nil {
		for _, l := range file.Labs {
			out = append(out, cobra.CompletionWithDesc(l.Name, trouble.Count(len(l.Nodes), "node")+" in "+l.Subnet.String()))
		}
	}
	return out, noFiles
}

// nodes completes names of nodes. Behind -- is a command, which is the node's.
// (pflag's ArgsLenAtDash does not tell: cobra adds a -- of its own.)
func (c completer) nodes(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if typed := c.app.args; len(typed) > 0 && slices.Contains(typed[:len(typed)-1], "--") {
		return nil, noFiles
	}
	return c.unnamed(args), noFiles
}

// one completes the only node that a command takes.
func (c completer) one(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return c.unnamed(nil), noFiles
}

// unnamed are the lab's nodes that were not named yet.
func (c completer) unnamed(named []string) []cobra.Completion {
	wanted, err := c.app.choice()
	if err != nil {
		return nil
	}
	var out []cobra.Completion
	for _, n := range wanted.Lab.Nodes {
		if !slices.Contains(named, n.Name) {
			out = append(out, cobra.CompletionWithDesc(n.Name, describe(n)))
		}
	}
	return out
}

func describe(n lab.Node) string { return string(n.Role) + " at " + n.IP.String() }

// locations offers the nodes, and files.
func (c completer) locations(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if strings.ContainsAny(word, ":/.") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	nodes, _ := c.nodes(nil, nil, word)
	var out []cobra.Completion
	for _, n := range nodes {
		name, about, _ := strings.Cut(n, "\t")
		if strings.HasPrefix(name, word) {
			out = append(out, cobra.CompletionWithDesc(name+":", about))
		}
	}
	if len(out) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return out, cobra.ShellCompDirectiveNoSpace
}

// images offers the demo image and files, then nodes.
func (c completer) images(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return []cobra.Completion{cobra.CompletionWithDesc(string(labsession.DemoImage), "a small web server in three versions")}, cobra.ShellCompDirectiveDefault
	}
	return c.nodes(nil, args[1:], word)
}

// fileAt offers files for one argument, and for the others what other does.
func fileAt(at int, other cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == at {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return other(c, args, word)
	}
}

func (c completer) snapshots(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	if s, err := c.app.open(); err == nil && len(args) == 0 {
		_, list, _ := s.operator().Snapshots().List(cmd.Context())
		for _, one := range list {
			out = append(out, cobra.CompletionWithDesc(one.Name, "taken "+one.Time.Local().Format(time.DateTime)))
		}
	}
	return out, noFiles
}

func (c completer) conditions(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	nodes, directive := c.nodes(nil, args, word)
	var out []cobra.Completion
	for _, name := range swarm.ConditionNames() {
		if !slices.Contains(args, name) {
			out = append(out, name)
		}
	}
	return append(out, nodes...), directive
}

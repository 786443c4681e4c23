package cmd

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dcalab/dcalab/machine/drivers"
)

// What TAB offers. Nothing here asks a node or starts a program. Files are
// offered only where a file is meant.

// complete gives every flag of the commands what it can be.
func (a *app) complete(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	files := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	fixed := func(words ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	}
	known := map[string]cobra.CompletionFunc{
		"config":   cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt),
		"lab":      a.completeLabs,
		"driver":   fixed(drivers.Names()...),
		"provider": fixed(drivers.Providers()...),
		"output":   fixed(formats()...),
		"shell":    fixed(shells()...),
		"lines":    fixed("all"),
		"node":     a.completeNodes, "take-over": a.completeNodes,
		"bundle": files, "ssh-config": files, "binary": files,
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

func (a *app) completeLabs(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	if file, err := a.load(); err == nil {
		for _, l := range file.Labs {
			out = append(out, cobra.CompletionWithDesc(l.Name, plural(len(l.Nodes), "node")+" in "+l.Subnet.String()))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeNodes completes names of nodes. Behind -- is a command, which is the
// node's. (pflag's ArgsLenAtDash does not tell: cobra adds a -- of its own.)
func (a *app) completeNodes(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(a.args) > 0 && slices.Contains(a.args[:len(a.args)-1], "--") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.otherNodes(args)
}

// completeOne completes the only node that a command takes.
func (a *app) completeOne(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.otherNodes(nil)
}

// otherNodes are the lab's nodes that were not named yet.
func (a *app) otherNodes(named []string) ([]cobra.Completion, cobra.ShellCompDirective) {
	wanted, err := a.choice()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, n := range wanted.Lab.Nodes {
		if !slices.Contains(named, n.Name) {
			out = append(out, cobra.CompletionWithDesc(n.Name, describe(n)))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// Package hint answers a command line that is wrong: what the command needs, and
// what was probably meant. It also completes the commands that dcalab advises
// (see Rewriter).
//
// It works on what it is given: the tree of commands, the words that were typed,
// and the names that there are. It opens no lab and asks no node.
package hint

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
)

// Advisor is what advice is made from. All of its fields are needed.
type Advisor struct {
	// Args is the command line after the program's name.
	Args []string
	// Lab gives the lab that is meant; nil where labs.yaml cannot be read. Labs
	// gives the names of all. Both are called only where the advice names them.
	Lab  func() *lab.Lab
	Labs func() []string
	// Shells are those that dcalab env knows, Providers those of Vagrant.
	Shells, Providers []string
	// Quote joins words to a command line for a shell.
	Quote func(words ...string) string
}

// Path is the command's path without the program's name.
func Path(c *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), c.Root().Name()), " ")
}

// seeHelp is the last line of advice for every wrong command line.
func seeHelp(c *cobra.Command) string { return "see " + c.CommandPath() + " --help" }

// Install makes the commands below root answer wrong flags, arguments and
// subcommands with advice. It is called when the tree is complete.
func (a Advisor) Install(root *cobra.Command) {
	root.SetFlagErrorFunc(a.wrongFlag)
	a.adviseInHelp(root)
	a.checkArgs(root)
}

// checkArgs adds the advice to what the commands from c on check of their
// arguments. A group without a subcommand shows its help.
func (a Advisor) checkArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return a.wrongArgCount(c, args, err)
			}
			return a.wrongArgOrder(c, args)
		}
	}
	if c.HasSubCommands() && !c.Runnable() {
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return a.unknownCommand(c, args)
		}
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		a.checkArgs(sub)
	}
}

// adviseInHelp makes `dcalab help WORD` answer for a word that is no command.
func (a Advisor) adviseInHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil || help == root {
		return
	}
	help.Run = nil
	help.RunE = func(_ *cobra.Command, args []string) error {
		c, rest, err := root.Find(args)
		if err != nil || c.HasSubCommands() && len(rest) > 0 {
			return a.unknownCommand(c, rest)
		}
		c.InitDefaultHelpFlag()
		return c.Help()
	}
}

// nodeNames is the line of advice that lists the lab's nodes; none where they
// are not known.
func (a Advisor) nodeNames() []string {
	l := a.Lab()
	if l == nil {
		return nil
	}
	return []string{"the nodes of lab " + l.Name + " are " + strings.Join(l.NodeNames(), ", ")}
}

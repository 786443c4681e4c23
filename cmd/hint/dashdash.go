package hint

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// MissingCommand is the error of `dcalab exec` without a command after --; c is
// that command. A command that was typed without -- is shown with it.
func (a Advisor) MissingCommand(c *cobra.Command) error {
	next := []string{"dcalab exec NODE... -- COMMAND", "dcalab exec --all -- COMMAND"}
	if line := a.insertDashDash(c); line != "" {
		next = append([]string{"did you mean: " + line}, next...)
	}
	return trouble.Usage("missing command after --", next...)
}

// insertDashDash is the command line that was typed, with -- before what is
// probably the command for the nodes or for Vagrant; empty where there is none.
// Of exec it begins after the names of nodes, or with the first word where a
// flag selects the nodes or no node is named.
func (a Advisor) insertDashDash(c *cobra.Command) string {
	if c == nil || slices.Contains(a.Args, "--") {
		return ""
	}
	path := strings.Fields(Path(c))
	l := a.Lab()
	selected, words := false, 0
	for i := 0; i < len(a.Args); i++ {
		arg := a.Args[i]
		if len(arg) > 1 && arg[0] == '-' {
			name, _, valued := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			f := c.Flags().Lookup(name)
			if !strings.HasPrefix(arg, "--") {
				f = nil
				if len(name) == 1 {
					f = c.Flags().ShorthandLookup(name)
				}
			}
			switch {
			case f == nil && c.Name() == "vagrant" && len(path) == 0:
				return a.splitAt(a.Args, i)
			case f == nil:
				return ""
			case f.NoOptDefVal == "" && !valued:
				i++ // its value
			}
			selected = selected || slices.Contains([]string{"all", "managers", "workers"}, f.Name)
			continue
		}
		if len(path) > 0 {
			path = path[1:]
			continue
		}
		isNode := l == nil && words == 0 && !selected
		if l != nil {
			_, isNode = l.Node(arg)
		}
		switch {
		case c.Name() == "vagrant", c.Name() == "exec" && !isNode && (words > 0 || selected):
			return a.splitAt(a.Args, i)
		case c.Name() == "exec" && !isNode:
			if lab.NodeMeant(arg, l.NodeNames(), nil) == nil {
				return a.splitAt(slices.Insert(slices.Clone(a.Args), i, "--all"), i+1)
			}
			return ""
		}
		words++
	}
	return ""
}

// splitAt is the command line of dcalab with -- at a place in it.
func (a Advisor) splitAt(args []string, at int) string {
	return "dcalab " + strings.TrimLeft(a.Quote(args[:at]...)+" -- ", " ") + a.Quote(args[at:]...)
}

package hint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// unknownCommand suggests a command for words that are no command of c.
func (a Advisor) unknownCommand(c *cobra.Command, args []string) error {
	why := fmt.Sprintf("%s has no command %q", c.CommandPath(), args[0])
	if next := a.suggestForAlias(c, args); len(next) > 0 {
		return trouble.Usage(why, next...)
	}
	rest := ""
	if len(args) > 1 {
		rest = " " + strings.Join(args[1:], " ")
	}
	names := map[string]string{} // by every name that leads to it
	var known []string
	for _, sub := range c.Commands() {
		if sub.Hidden {
			continue
		}
		for _, name := range append([]string{sub.Name()}, sub.Aliases...) {
			names[name] = sub.Name()
			known = append(known, name)
		}
	}
	slices.Sort(known)
	if near := lab.Nearest(args[0], known); near != "" {
		return trouble.Usage(why, "did you mean: "+c.CommandPath()+" "+names[near]+rest)
	}
	var next []string
	for _, sub := range allCommands(c.Root()) {
		if sub.Name() == strings.ToLower(args[0]) {
			next = append(next, "did you mean: "+sub.CommandPath()+rest)
		}
	}
	for _, name := range known {
		if len(next) == 0 && len(args[0]) > 1 && strings.HasPrefix(name, strings.ToLower(args[0])) {
			next = append(next, "did you mean: "+c.CommandPath()+" "+names[name]+rest)
		}
	}
	if l := a.Lab(); l != nil && len(next) == 0 {
		if n, ok := l.Node(args[0]); ok {
			next = []string{n.Name + " is a node; a shell on it: dcalab ssh " + n.Name}
		} else if l.Name == args[0] {
			next = []string{l.Name + " is a lab: dcalab --lab " + l.Name + " status"}
		}
	}
	return trouble.Usage(why, append(next, "its commands: "+c.CommandPath()+" --help")...)
}

// allCommands are the visible commands below c, without groups.
func allCommands(c *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, sub := range c.Commands() {
		switch {
		case sub.Hidden || sub.Name() == "completion" || sub.Name() == "help":
		case sub.HasSubCommands():
			out = append(out, allCommands(sub)...)
		default:
			out = append(out, sub)
		}
	}
	return out
}

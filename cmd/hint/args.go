package hint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// required are the arguments that a command needs.
type required struct {
	least int
	what  string
	next  []string // how it is written
	nodes bool     // the advice lists the lab's nodes
}

// requiredArgs are those of the commands that have some, by path.
func requiredArgs(path string) (required, bool) {
	node := required{least: 1, what: "the name of a node", next: []string{"dcalab " + path + " NODE"}, nodes: true}
	several := node
	several.next = []string{"dcalab " + path + " NODE..."}
	n, ok := map[string]required{
		"promote": several, "demote": several, "drain": several, "pause": several, "activate": several,
		"join": several, "remove": several, "swarm leave": several,
		"ssh":             {1, "the name of a node", []string{"dcalab ssh NODE", "dcalab ssh NODE -- COMMAND"}, true},
		"logs":            {1, "the name of a node", []string{"dcalab logs NODE", "all logs in one file: dcalab logs --bundle lab.tar.gz"}, true},
		"exec":            {1, "nodes, and a command after --", []string{"dcalab exec NODE... -- COMMAND", "dcalab exec --all -- COMMAND"}, true},
		"wait":            {1, "a condition", []string{"dcalab wait CONDITION [NODE...]", "the conditions are leader, quorum, answers, ready, reachable, healthy, left"}, false},
		"cp":              {2, "a source and a target", []string{"to a node: dcalab cp FILE NODE:", "from one: dcalab cp NODE:FILE ."}, true},
		"why":             {1, "the name of a service, a task or a node", []string{"dcalab why SERVICE", "why a task is where it is, or pending: dcalab why web.1", "what a node may be given: dcalab why NODE"}, false},
		"label set":       {2, "a node and a label", []string{"dcalab label set NODE KEY=VALUE"}, true},
		"label rm":        {2, "a node and the key of a label", []string{"dcalab label rm NODE KEY"}, true},
		"image load":      {1, "an image", []string{"dcalab image load FILE.tar", "dcalab image load NAME:TAG, where the Docker of this machine has it", "dcalab image load demo, which needs nothing"}, false},
		"image host save": {1, "a file", []string{"dcalab image host save FILE"}, false},
		"image host load": {1, "a file that dcalab image host save wrote", []string{"dcalab image host load FILE"}, false},
		"vagrant":         {1, "Vagrant's arguments, after --", []string{"dcalab vagrant -- status"}, false},
		"break partition": {1, "a side: nodes, joined by commas", []string{"dcalab break partition SIDE [SIDE...]", "the nodes that are not named are the other side"}, true},
		"break bridge":    {1, "the name of the node that hears both sides", []string{"dcalab break bridge NODE", "dcalab break bridge NODE SIDE1 SIDE2"}, true},
		"break block":     {2, "nodes and ports", []string{"dcalab break block NODE PORTS", "the ports of a swarm are 2377, 7946 and 4789"}, true},
		"break disk":      {2, "nodes and a share of the disk", []string{"dcalab break disk NODE 95%"}, true},
		"break clock":     {2, "nodes and a time", []string{"dcalab break clock NODE +2h"}, true},
		"break loss":      {2, "a share of packets and nodes", []string{"dcalab break loss 20% NODE..."}, true},
		"break delay":     {2, "a time and nodes", []string{"dcalab break delay 200ms NODE..."}, true},
		"break rate":      {2, "a rate and nodes", []string{"dcalab break rate 1mbit NODE..."}, true},
		"break isolate":   several, "break kill": several, "break freeze": several, "break stop-engine": several,
		"swarm autolock":   {1, "on or off", []string{"dcalab swarm autolock on", "dcalab swarm autolock off"}, false},
		"swarm backup":     {1, "a file", []string{"dcalab swarm backup FILE"}, false},
		"swarm restore":    {1, "a file that dcalab swarm backup wrote", []string{"dcalab swarm restore FILE"}, false},
		"snapshot save":    {1, "a name for the snapshot", []string{"dcalab snapshot save NAME"}, false},
		"snapshot restore": {1, "the name of a snapshot", []string{"dcalab snapshot restore NAME", "which there are: dcalab snapshot list"}, false},
		"snapshot delete":  {1, "the name of a snapshot", []string{"dcalab snapshot delete NAME", "which there are: dcalab snapshot list"}, false},
		"snapshot export":  {2, "a snapshot and a file", []string{"dcalab snapshot export NAME FILE", "which there are: dcalab snapshot list"}, false},
		"snapshot import":  {1, "a file that dcalab snapshot export wrote", []string{"dcalab snapshot import FILE"}, false},
	}[path]
	return n, ok
}

// wrongArgCount says what a command needs, or what it has too much of.
func (a Advisor) wrongArgCount(c *cobra.Command, args []string, err error) error {
	path := Path(c)
	n, takes := requiredArgs(path)
	switch {
	case c.Hidden:
		return trouble.Usage(err.Error(), seeHelp(c))
	case takes && len(args) < n.least:
		next := n.next
		if n.nodes {
			next = append(next, a.nodeNames()...)
		}
		// Only what is missing is asked for.
		what := n.what
		if first, second, both := strings.Cut(what, " and "); both && len(args) == 1 && !strings.HasPrefix(second, "a command") {
			what = second
			if path == "label set" && strings.Contains(args[0], "=") {
				what = first
			}
		}
		return trouble.Usage(c.CommandPath()+" needs "+what, append(next, seeHelp(c))...)
	case path == "swarm token" && len(args) == 1:
		next := []string{"there are two: dcalab swarm token worker, dcalab swarm token manager"}
		if near := lab.Nearest(args[0], c.ValidArgs); near != "" {
			next = append([]string{"did you mean: dcalab swarm token " + near}, next...)
		} else if l := a.Lab(); l != nil {
			if node, ok := l.Node(args[0]); ok {
				next = append(next, "for "+node.Name+" itself none is needed: dcalab join "+node.Name)
			}
		}
		return trouble.Usage(fmt.Sprintf("there is no token %q", args[0]), append(next, seeHelp(c))...)
	case path == "swarm autolock" && len(args) == 1:
		return trouble.Usage(fmt.Sprintf("autolock cannot be %q", args[0]), "dcalab swarm autolock on", "dcalab swarm autolock off", seeHelp(c))
	case path == "logs":
		if file := c.Flags().Lookup("bundle"); file != nil && file.Changed {
			return trouble.Usage("dcalab logs --bundle packs all nodes, and takes no name", "dcalab logs --bundle "+file.Value.String(), seeHelp(c))
		}
	}
	why := fmt.Sprintf("%s takes no arguments, and was given %s", c.CommandPath(), quoted(args))
	switch {
	case path == "snapshot export", path == "snapshot import":
		why = fmt.Sprintf("%s takes one file and one name, and was given %s", c.CommandPath(), quoted(args))
	case strings.Contains(c.Use, "NAME"), path == "swarm token", path == "swarm autolock", path == "swarm recover", path == "logs", path == "why":
		why = fmt.Sprintf("%s takes one name, and was given %s", c.CommandPath(), quoted(args))
	}
	return trouble.Usage(why, append(a.suggestForExtraArg(path, args), seeHelp(c))...)
}

// wrongArgOrder recognises arguments that are right, but in the wrong order.
func (a Advisor) wrongArgOrder(c *cobra.Command, args []string) error {
	path := Path(c)
	switch path {
	case "label set", "image load", "context create", "vagrant":
	default:
		return nil
	}
	l := a.Lab()
	if l == nil || len(args) == 0 {
		return nil
	}
	isNode := func(word string) bool {
		first, _, _ := strings.Cut(word, ",")
		_, ok := l.Node(first)
		return ok
	}
	if path == "context create" {
		if isNode(args[0]) && !c.Flags().Changed("node") {
			return trouble.Usage(fmt.Sprintf("%q is a node, and would be the name of the context", args[0]), "a context that reaches it: dcalab context create --node "+args[0],
				fmt.Sprintf("one of that name anyway: dcalab context create %s --node %[1]s", args[0]), seeHelp(c))
		}
		return nil
	}
	if path == "vagrant" {
		if !isNode(args[0]) {
			return nil
		}
		command := args[1:]
		if len(command) == 0 {
			command = []string{"status"}
		}
		return trouble.Usage(fmt.Sprintf("%q is a node, and Vagrant's arguments come first", args[0]),
			"did you mean: dcalab vagrant -- "+a.Quote(slices.Insert(slices.Clone(command), 1, args[0])...), seeHelp(c))
	}
	last := len(args) - 1
	if last == 0 {
		return nil
	}
	swap := func(why string) error {
		turned := append([]string{args[last]}, args[:last]...)
		return trouble.Usage(why, "did you mean: dcalab "+path+" "+strings.Join(turned, " "), seeHelp(c))
	}
	switch {
	case path == "image load":
		if isNode(args[0]) && !isNode(args[last]) {
			return swap("the image comes first, the nodes after it")
		}
	case strings.Contains(args[0], "=") && isNode(args[last]):
		return swap("the node comes first, its labels after it")
	}
	return nil
}

// quoted lists words that were typed; of many only the first.
func quoted(words []string) string {
	var out []string
	for i, w := range words {
		if i == 3 {
			return strings.Join(out, ", ") + ", …"
		}
		out = append(out, fmt.Sprintf("%q", w))
	}
	return strings.Join(out, ", ")
}

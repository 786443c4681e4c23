package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/vagrant"
	"github.com/dcalab/dcalab/trouble"
)

// What is typed wrongly is answered here, before any command runs, in words of
// our own: what the command needs, and what was probably meant.

func usage(why string, next ...string) error {
	return &trouble.Error{ID: "usage", Why: why, Next: next, Exit: trouble.ExitUsage}
}

// seeHelp is the last advice of every wrong command line.
func seeHelp(c *cobra.Command) string { return "see " + c.CommandPath() + " --help" }

// markUsage makes a wrong number of arguments, or a wrong subcommand, an
// error of usage that says what is needed.
func (a *app) markUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			a.called = c
			if err := check(c, args); err != nil {
				return a.wrongArgs(c, args, err)
			}
			return a.wrongOrder(c, args)
		}
	}
	if c.HasSubCommands() && !c.Runnable() {
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return a.wrongCommand(c, args)
		}
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		a.markUsage(sub)
	}
}

// tellHelp gives cobra's help command an answer for what is no command.
func (a *app) tellHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil || help == root {
		return
	}
	help.Run = nil
	help.RunE = func(_ *cobra.Command, args []string) error {
		c, rest, err := root.Find(args)
		if err != nil || c.HasSubCommands() && len(rest) > 0 {
			return a.wrongCommand(c, rest)
		}
		c.InitDefaultHelpFlag()
		return c.Help()
	}
}

// wrongCommand says what was probably meant by words that are no command of c.
func (a *app) wrongCommand(c *cobra.Command, args []string) error {
	why := fmt.Sprintf("%s has no command %q", c.CommandPath(), args[0])
	if next := a.habit(c, args); len(next) > 0 {
		return usage(why, next...)
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
		return usage(why, "did you mean: "+c.CommandPath()+" "+names[near]+rest)
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
	if l := a.labOrNil(); l != nil && len(next) == 0 {
		if n, ok := l.Node(args[0]); ok {
			next = []string{n.Name + " is a node; a shell on it: dcalab ssh " + n.Name}
		} else if l.Name == args[0] {
			next = []string{l.Name + " is a lab: dcalab --lab " + l.Name + " status"}
		}
	}
	return usage(why, append(next, "its commands: "+c.CommandPath()+" --help")...)
}

// allCommands are the visible commands below c that do something.
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

// labOrNil is the lab that is meant, for advice; nil where labs.yaml is broken.
func (a *app) labOrNil() *lab.Lab {
	wanted, err := a.choice()
	if err != nil {
		return nil
	}
	return wanted.Lab
}

// theNodes says what the lab's nodes are called; empty where it is not known.
func (a *app) theNodes() []string {
	l := a.labOrNil()
	if l == nil {
		return nil
	}
	return []string{"the nodes of lab " + l.Name + " are " + strings.Join(l.NodeNames(), ", ")}
}

// need is what a command cannot do without.
type need struct {
	least int
	what  string
	next  []string // how it is written
	nodes bool     // the lab's nodes are told
}

// needs are the arguments of the commands that have some, by path.
func needs(path string) (need, bool) {
	node := need{least: 1, what: "the name of a node", next: []string{"dcalab " + path + " NODE"}, nodes: true}
	several := node
	several.next = []string{"dcalab " + path + " NODE..."}
	n, ok := map[string]need{
		"promote": several, "demote": several, "drain": several, "pause": several, "activate": several,
		"join": several, "remove": several, "swarm leave": several,
		"ssh":              {1, "the name of a node", []string{"dcalab ssh NODE", "dcalab ssh NODE -- COMMAND"}, true},
		"logs":             {1, "the name of a node", []string{"dcalab logs NODE", "all logs in one file: dcalab logs --bundle lab.tar.gz"}, true},
		"exec":             {1, "nodes, and a command behind --", []string{"dcalab exec NODE... -- COMMAND", "dcalab exec --all -- COMMAND"}, true},
		"cp":               {2, "a source and a target", []string{"to a node: dcalab cp FILE NODE:", "from one: dcalab cp NODE:FILE ."}, true},
		"label set":        {2, "a node and a label", []string{"dcalab label set NODE KEY=VALUE"}, true},
		"label rm":         {2, "a node and the key of a label", []string{"dcalab label rm NODE KEY"}, true},
		"image load":       {1, "an image", []string{"dcalab image load FILE.tar", "dcalab image load NAME:TAG, where the Docker of this machine has it", "dcalab image load demo, which needs nothing"}, false},
		"vagrant":          {1, "what Vagrant is to do, behind --", []string{"dcalab vagrant -- status"}, false},
		"snapshot save":    {1, "a name for the snapshot", []string{"dcalab snapshot save NAME"}, false},
		"snapshot restore": {1, "the name of a snapshot", []string{"dcalab snapshot restore NAME", "which there are: dcalab snapshot list"}, false},
		"snapshot delete":  {1, "the name of a snapshot", []string{"dcalab snapshot delete NAME", "which there are: dcalab snapshot list"}, false},
	}[path]
	return n, ok
}

// pathIn is the command's path without the program's name.
func pathIn(c *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), c.Root().Name()), " ")
}

// wrongArgs says what a command needs, or what it has too much of.
func (a *app) wrongArgs(c *cobra.Command, args []string, err error) error {
	path := pathIn(c)
	n, takes := needs(path)
	switch {
	case c.Hidden:
		return usage(err.Error(), seeHelp(c))
	case takes && len(args) < n.least:
		next := n.next
		if n.nodes {
			next = append(next, a.theNodes()...)
		}
		// What was given already is not asked for again.
		what := n.what
		if first, second, both := strings.Cut(what, " and "); both && len(args) == 1 && !strings.HasPrefix(second, "a command") {
			what = second
			if path == "label set" && strings.Contains(args[0], "=") {
				what = first
			}
		}
		return usage(c.CommandPath()+" needs "+what, append(next, seeHelp(c))...)
	case path == "swarm token" && len(args) == 1:
		next := []string{"there are two: dcalab swarm token worker, dcalab swarm token manager"}
		if near := lab.Nearest(args[0], c.ValidArgs); near != "" {
			next = append([]string{"did you mean: dcalab swarm token " + near}, next...)
		} else if l := a.labOrNil(); l != nil {
			if node, ok := l.Node(args[0]); ok {
				next = append(next, "for "+node.Name+" itself none is needed: dcalab join "+node.Name)
			}
		}
		return usage(fmt.Sprintf("there is no token %q", args[0]), append(next, seeHelp(c))...)
	case path == "logs":
		if file := c.Flags().Lookup("bundle"); file != nil && file.Changed {
			return usage("dcalab logs --bundle packs all nodes, and takes no name", "dcalab logs --bundle "+file.Value.String(), seeHelp(c))
		}
	}
	why := fmt.Sprintf("%s takes no arguments, and was given %s", c.CommandPath(), quoted(args))
	switch {
	case strings.Contains(c.Use, "NAME"), path == "swarm token", path == "logs":
		why = fmt.Sprintf("%s takes one name, and was given %s", c.CommandPath(), quoted(args))
	}
	return usage(why, append(a.instead(path, args), seeHelp(c))...)
}

// wrongOrder tells of arguments that are right, and stand in each other's place.
func (a *app) wrongOrder(c *cobra.Command, args []string) error {
	path := pathIn(c)
	switch path {
	case "label set", "image load", "context create", "vagrant":
	default:
		return nil
	}
	l := a.labOrNil()
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
			return usage(fmt.Sprintf("%q is a node, and would be the name of the context", args[0]), "a context that reaches it: dcalab context create --node "+args[0],
				fmt.Sprintf("one of that name all the same: dcalab context create %s --node %[1]s", args[0]), seeHelp(c))
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
		return usage(fmt.Sprintf("%q is a node, and what Vagrant is to do comes first", args[0]),
			"did you mean: dcalab vagrant -- "+lesson.Line(slices.Insert(slices.Clone(command), 1, args[0])...), seeHelp(c))
	}
	last := len(args) - 1
	if last == 0 {
		return nil
	}
	right := func(why string) error {
		turned := append([]string{args[last]}, args[:last]...)
		return usage(why, "did you mean: dcalab "+path+" "+strings.Join(turned, " "), seeHelp(c))
	}
	switch {
	case path == "image load":
		if isNode(args[0]) && !isNode(args[last]) {
			return right("the image comes first, the nodes after it")
		}
	case strings.Contains(args[0], "=") && isNode(args[last]):
		return right("the node comes first, its labels after it")
	}
	return nil
}

// whichCommand is for an exec without a command behind --: where it stands
// before it, it is shown how it is meant.
func (a *app) whichCommand() error {
	next := []string{"dcalab exec NODE... -- COMMAND", "dcalab exec --all -- COMMAND"}
	if line := a.dashed(a.called); line != "" {
		next = append([]string{"did you mean: " + line}, next...)
	}
	return usage("missing command after --", next...)
}

// dashed is the command line that was typed, with -- put before what seems to
// be the command for the nodes, or for Vagrant; empty where none is seen. Of
// ssh it stands behind the node; of exec behind the names of nodes, and it is
// all of the words where a flag says which nodes, or none is named.
func (a *app) dashed(c *cobra.Command) string {
	if c == nil || slices.Contains(a.args, "--") {
		return ""
	}
	path := strings.Fields(pathIn(c))
	l := a.labOrNil()
	selected, words := false, 0
	for i := 0; i < len(a.args); i++ {
		arg := a.args[i]
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
				return parted(a.args, i)
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
			return parted(a.args, i)
		case c.Name() == "exec" && !isNode:
			if lab.NodeMeant(arg, l.NodeNames(), nil) == nil {
				return parted(slices.Insert(slices.Clone(a.args), i, "--all"), i+1)
			}
			return ""
		}
		words++
	}
	return ""
}

// parted is a command line of dcalab with -- at a place in it.
func parted(args []string, at int) string {
	return "dcalab " + strings.TrimLeft(lesson.Line(args[:at]...)+" -- ", " ") + lesson.Line(args[at:]...)
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

// instead is what somebody who gave a command a name too many may have meant.
func (a *app) instead(path string, args []string) []string {
	word, all := args[0], strings.Join(args, " ")
	node, isNode := "", false
	if l := a.labOrNil(); l != nil {
		if n, ok := l.Node(word); ok {
			node, isNode = n.Name, true
		}
	}
	switch path {
	case "status":
		if isNode {
			return []string{"it shows every node; more of one: dcalab ssh " + node + " -- docker info"}
		}
		return []string{"of another lab: dcalab --lab LAB status"}
	case "swarm bootstrap":
		if isNode {
			return []string{"it is for all nodes; for some of them: dcalab join " + all}
		}
		return []string{"of another lab: dcalab --lab LAB swarm bootstrap"}
	case "swarm dissolve":
		return []string{"it is the whole swarm that it ends; to take nodes out of it: dcalab swarm leave NODE..."}
	case "swarm unlock":
		return []string{"it unlocks every manager that is locked; the key is asked for, or read: dcalab swarm unlock < FILE"}
	case "reset":
		if isNode {
			return []string{"it empties every node; one alone is made anew: dcalab destroy " + node + ", then dcalab up " + node}
		}
	case "ssh-config":
		return []string{"every node that runs is in it: dcalab ssh-config", "a shell on one: dcalab ssh NODE"}
	case "list":
		return []string{"one lab alone: dcalab --lab " + word + " status"}
	case "image list":
		if isNode {
			return []string{"it asks every node; one alone: dcalab ssh " + node + " -- docker image ls"}
		}
		return []string{"it lists all images: dcalab image list"}
	case "snapshot list":
		return []string{"it lists all: dcalab snapshot list"}
	case "snapshot save":
		return []string{"one name, without spaces: dcalab snapshot save " + strings.Join(args, "-")}
	case "snapshot restore", "snapshot delete":
		return []string{"one at a time: dcalab " + path + " " + word}
	case "config validate", "config view", "render":
		switch l := a.labOrNil(); {
		case path == "render" && word == "Vagrantfile":
			return []string{"it prints: dcalab render > Vagrantfile"}
		case strings.ContainsAny(word, `./\`):
			return []string{"did you mean: dcalab --config " + word + " " + path}
		case path != "config validate" && (l == nil || !isNode):
			return []string{"did you mean: dcalab --lab " + word + " " + path}
		}
		return []string{"of another file: dcalab --config FILE " + path}
	case "init":
		return []string{"it writes labs.yaml into the folder in which it is called: " + "cd FOLDER, then dcalab init"}
	case "doctor":
		if slices.Contains([]string{lab.DriverSandbox, lab.DriverVagrant}, word) {
			return []string{"did you mean: dcalab --driver " + word + " doctor"}
		}
		return []string{"it looks at this machine: dcalab doctor", "at a lab's nodes: dcalab status"}
	case "env":
		if near := lab.Nearest(word, shells()); near != "" {
			return []string{"did you mean: dcalab env --shell " + near}
		}
		return []string{"of another lab: dcalab --lab LAB env"}
	case "context create":
		return []string{"dcalab context create NAME --node NODE"}
	case "logs":
		return []string{"one node at a time: dcalab logs " + word, "all of them in one file: dcalab logs --bundle lab.tar.gz"}
	}
	return nil
}

// wrongFlag says what is wrong with a flag.
func (a *app) wrongFlag(c *cobra.Command, err error) error {
	a.typedFlags()
	// Of docker service create --name web, it is the command that is unknown.
	if words := c.Flags().Args(); c.HasSubCommands() && len(words) > 0 {
		return a.wrongCommand(c, words)
	}
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &unknown):
		return a.unknownFlag(c, unknown)
	case errors.As(err, &empty):
		f := empty.GetFlag()
		return usage(flagName(f)+" needs a value: "+f.Usage, append(a.values(f.Name), seeHelp(c))...)
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		why, how := "it cannot be read", "--"+f.Name+": "+f.Usage
		switch f.Value.Type() {
		case "int":
			why = "it is not an integer"
			if errors.Is(err, strconv.ErrRange) {
				why = "the number is too large"
			}
		case "bool":
			why, how = "the flag is a switch, and takes no such value", "--"+f.Name+", or --"+f.Name+"=false"
		case "duration":
			why, how = "it is not a duration", "seconds, minutes, hours: --"+f.Name+" 30s, --"+f.Name+" 10m, --"+f.Name+" 2h"
		}
		return usage(fmt.Sprintf("%s %q: %s", flagName(f), invalid.GetValue(), why), how, seeHelp(c))
	case errors.As(err, &syntax):
		return usage(fmt.Sprintf("%q is not a valid flag", syntax.GetSpecifiedFlag()), "a flag is written --name, or --name=VALUE", seeHelp(c))
	}
	return usage(err.Error(), seeHelp(c))
}

func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand + ", --" + f.Name
	}
	return "--" + f.Name
}

func (a *app) unknownFlag(c *cobra.Command, unknown *pflag.NotExistError) error {
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	typed, near := "--"+unknown.GetSpecifiedName(), ""
	if unknown.GetSpecifiedShortnames() == "" {
		near = lab.Nearest(unknown.GetSpecifiedName(), known)
	} else {
		typed = "-" + unknown.GetSpecifiedName()
		// -force is -f -o -r -c -e: perhaps a dash is missing.
		for _, arg := range a.args {
			if long, one := strings.CutPrefix(arg, "-"); one && len(long) > 2 && !strings.HasPrefix(long, "-") &&
				strings.HasSuffix(long, unknown.GetSpecifiedShortnames()) {
				long, _, _ = strings.Cut(long, "=")
				if near = lab.Nearest(long, known); near != "" {
					typed = arg
				}
			}
		}
		// The only one that begins with the letter.
		var begin []string
		for _, k := range known {
			if strings.HasPrefix(k, unknown.GetSpecifiedName()) {
				begin = append(begin, k)
			}
		}
		if near == "" && len(begin) == 1 {
			near = begin[0]
		}
	}
	var next []string
	if near != "" {
		next = append(next, "did you mean --"+near+"?")
	}
	line := ""
	if slices.Contains([]string{"exec", "vagrant"}, pathIn(c)) {
		line = a.dashed(c)
	}
	if line != "" {
		if !strings.HasPrefix(typed, "--") {
			next = nil // a letter is near to anything
		}
		next = append(next, "put the command's own words after --: "+line)
	} else if habit := a.habit(c, []string{typed}); len(habit) > 0 {
		next = habit
	} else {
		next = append(next, a.elsewhere(c, typed)...)
	}
	return usage(c.CommandPath()+" has no flag "+typed, append(next, seeHelp(c))...)
}

// elsewhere says what to do instead with a flag that other commands have.
func (a *app) elsewhere(c *cobra.Command, typed string) []string {
	has := func(name string) bool { return c.Flags().Lookup(name) != nil }
	switch typed {
	case "--all", "-a":
		l := a.labOrNil()
		switch {
		case strings.Contains(c.Use, "[NODE...]") && !has("all"):
			return []string{"without a name it is for all nodes: " + c.CommandPath()}
		case strings.Contains(c.Use, "NODE...") && !has("all") && l != nil:
			return []string{"name the nodes: " + c.CommandPath() + " " + strings.Join(l.NodeNames(), " ")}
		}
	case "--yes", "-y":
		if !has("yes") {
			return []string{"it does not ask: leave " + typed + " out"}
		}
	case "--force", "-f":
		switch {
		case has("yes") && !has("force"):
			return []string{"not to be asked: --yes"}
		case !has("force") && !has("follow"):
			return []string{"it has nothing that could be forced: leave " + typed + " out"}
		}
	case "--output", "-o", "--format":
		if !has("output") {
			return []string{"it has no other output format; dcalab status and dcalab list have -o json"}
		}
		return []string{"did you mean --output? json or yaml"}
	case "-R":
		if has("recursive") {
			return []string{"did you mean -r, --recursive?"}
		}
	}
	return nil
}

// values are those that a flag may have, for advice.
func (a *app) values(flag string) []string {
	switch flag {
	case "lab":
		file, err := a.load()
		if err != nil {
			return nil
		}
		var labs []string
		for _, l := range file.Labs {
			labs = append(labs, l.Name)
		}
		return []string{"the labs are " + strings.Join(labs, ", ")}
	case "provider":
		return []string{"the providers are " + strings.Join(vagrant.Providers(), ", ")}
	case "node", "take-over":
		return a.theNodes()
	}
	return nil
}

// oneOf words a value that is none of those that there are.
func oneOf(kind, word string, known []string, more string) error {
	list := strings.Join(known, ", ")
	if len(known) == 2 {
		list = strings.Join(known, " and ")
	}
	next := []string{"the " + kind[strings.LastIndex(kind, " ")+1:] + "s are " + list + more}
	provider := lab.ProviderMeant(word, vagrant.Providers())
	switch near := lab.Nearest(word, known); {
	case near != "":
		next = append([]string{"did you mean " + near + "?"}, next...)
	case kind == "provider" && provider != "":
		next = append([]string{"did you mean " + provider + "?"}, next...)
	case kind == "driver" && provider != "":
		next = append([]string{provider + " is a provider of Vagrant's: --driver vagrant --provider " + provider}, next...)
	}
	return usage(fmt.Sprintf("there is no %s %q", kind, word), next...)
}

// spelled adds to the refusal of a snapshot's name one of the same words that
// would do, where there is one.
func spelled(err error, name string) error {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	better := strings.Join(words, "-")
	var t *trouble.Error
	if errors.As(err, &t) && machine.CheckSnapshotName(better) == nil {
		t.Next = append(t.Next, "such as: dcalab snapshot save "+better)
	}
	return err
}

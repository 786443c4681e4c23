package hint

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// extraArg is the advice for a command that was given an argument too many.
// Placeholders are {word}, that argument, {node}, the node of that name, {args},
// all of the arguments, and {joined}, the same joined by dashes.
type extraArg struct {
	node  []string // where the argument is a node; empty: as any other
	other []string
}

// extraArgs are the rules that need nothing but the argument, by the command's
// path.
func extraArgs() map[string]extraArg {
	return map[string]extraArg{
		"swarm bootstrap": {
			[]string{"it is for all nodes; for some of them: dcalab join {args}"},
			[]string{"of another lab: dcalab --lab LAB swarm bootstrap"},
		},
		"reset": {[]string{"it empties every node; one alone is made anew: dcalab destroy {node}, then dcalab up {node}"}, nil},
		"image list": {
			[]string{"it asks every node; one alone: dcalab ssh {node} -- docker image ls"},
			[]string{"it lists all images: dcalab image list"},
		},
		"swarm backup":     {nil, []string{"one file: dcalab swarm backup {word}"}},
		"swarm restore":    {nil, []string{"one file: dcalab swarm restore {word}"}},
		"swarm recover":    {nil, []string{"it goes on from one manager: dcalab swarm recover {word}"}},
		"swarm ca rotate":  {nil, []string{"all nodes get new certificates: dcalab swarm ca rotate"}},
		"swarm dissolve":   {nil, []string{"it dissolves the whole swarm; to take single nodes out of it: dcalab swarm leave NODE..."}},
		"swarm unlock":     {nil, []string{"it unlocks every manager that is locked; the key is asked for, or read: dcalab swarm unlock < FILE"}},
		"ssh-config":       {nil, []string{"every node that runs is in it: dcalab ssh-config", "a shell on one: dcalab ssh NODE"}},
		"timeline":         {nil, []string{"it shows the whole lab; what one node tells: dcalab timeline --follow | grep {word}"}},
		"timeline export":  {nil, []string{"one file: dcalab timeline export {word}"}},
		"observe":          {nil, []string{"it follows what somebody else breaks: dcalab observe", "break something, and follow that: dcalab break isolate leader --observe"}},
		"why":              {nil, []string{"one at a time: dcalab why {word}"}},
		"serve":            {nil, []string{"it shows the whole lab: dcalab serve"}},
		"prove":            {nil, []string{"a fault of your choice: dcalab prove --fault '{joined}'"}},
		"break list":       {nil, []string{"it lists all: dcalab break list"}},
		"list":             {nil, []string{"one lab alone: dcalab --lab {word} status"}},
		"snapshot list":    {nil, []string{"it lists all: dcalab snapshot list"}},
		"snapshot save":    {nil, []string{"one name, without spaces: dcalab snapshot save {joined}"}},
		"snapshot restore": {nil, []string{"one at a time: dcalab snapshot restore {word}"}},
		"snapshot delete":  {nil, []string{"one at a time: dcalab snapshot delete {word}"}},
		"snapshot export":  {nil, []string{"one at a time: dcalab snapshot export {word} FILE"}},
		"image host save":  {nil, []string{"one file: dcalab image host save {word}"}},
		"image host load":  {nil, []string{"one file: dcalab image host load {word}"}},
		"snapshot import":  {nil, []string{"one at a time: dcalab snapshot import {word} NAME"}},
		"init":             {nil, []string{"it writes labs.yaml into the current folder: cd FOLDER, then dcalab init"}},
		"env":              {nil, []string{"of another lab: dcalab --lab LAB env"}},
		"doctor":           {nil, []string{"it looks at this machine: dcalab doctor", "at a lab's nodes: dcalab status"}},
		"context create":   {nil, []string{"dcalab context create NAME --node NODE"}},
		"logs":             {nil, []string{"one node at a time: dcalab logs {word}", "all of them in one file: dcalab logs --bundle lab.tar.gz"}},
	}
}

// suggestForExtraArg says what somebody who gave a command an argument too many
// may have meant.
func (a Advisor) suggestForExtraArg(path string, args []string) []string {
	word, node := args[0], ""
	l := a.Lab()
	if l != nil {
		if n, ok := l.Node(word); ok {
			node = n.Name
		}
	}
	switch path {
	case "config validate", "config view", "render":
		switch {
		case path == "render" && word == "Vagrantfile":
			return []string{"it prints: dcalab render > Vagrantfile"}
		case strings.ContainsAny(word, `./\`):
			return []string{"did you mean: dcalab --config " + word + " " + path}
		case path != "config validate" && node == "":
			return []string{"did you mean: dcalab --lab " + word + " " + path}
		}
		return []string{"of another file: dcalab --config FILE " + path}
	case "doctor":
		if slices.Contains([]string{lab.DriverDocker, lab.DriverSandbox, lab.DriverVagrant}, word) {
			return []string{"did you mean: dcalab --driver " + word + " doctor"}
		}
	case "env":
		if near := lab.Nearest(word, a.Shells); near != "" {
			return []string{"did you mean: dcalab env --shell " + near}
		}
	}
	advice := extraArgs()[path]
	lines := advice.other
	if node != "" && len(advice.node) > 0 {
		lines = advice.node
	}
	return fill(lines, "{word}", word, "{node}", node, "{args}", strings.Join(args, " "), "{joined}", strings.Join(args, "-"))
}

// OneOf is the error of a value that is none of those that are known. Providers
// are Vagrant's.
func OneOf(kind, word string, known []string, more string, providers []string) error {
	list := strings.Join(known, ", ")
	if len(known) == 2 {
		list = strings.Join(known, " and ")
	}
	next := []string{"the " + kind[strings.LastIndex(kind, " ")+1:] + "s are " + list + more}
	provider := lab.ProviderMeant(word, providers)
	switch near := lab.Nearest(word, known); {
	case near != "":
		next = append([]string{"did you mean " + near + "?"}, next...)
	case kind == "provider" && provider != "":
		next = append([]string{"did you mean " + provider + "?"}, next...)
	case kind == "driver" && provider != "":
		next = append([]string{provider + " is a provider of Vagrant's: --driver vagrant --provider " + provider}, next...)
	}
	return trouble.Usage(fmt.Sprintf("there is no %s %q", kind, word), next...)
}

// SuggestName adds to the refusal of a snapshot's name a valid one of the same
// words, where there is one.
func SuggestName(err error, name string, check func(name string) error) error {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	better := strings.Join(words, "-")
	var t *trouble.Error
	if errors.As(err, &t) && check(better) == nil {
		t.Next = append(t.Next, "such as: dcalab snapshot save "+better)
	}
	return err
}

package cmd

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/cmd/hint"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/vagrant"
	"github.com/dcalab/dcalab/runbook"
)

// What package hint is given: the words that were typed, and the names that
// labs.yaml has.

func (a *app) advisor() hint.Advisor {
	return hint.Advisor{
		Args: a.args, Lab: a.labOrNil, Labs: a.labNames, Shells: shells(), Providers: vagrant.Providers(), Quote: runbook.Line,
	}
}

// labOrNil is the lab that is meant, for advice; nil where labs.yaml is broken.
func (a *app) labOrNil() *lab.Lab {
	wanted, err := a.choice()
	if err != nil {
		return nil
	}
	return wanted.Lab
}

// labNames are the labs of labs.yaml, for advice; none where it is broken.
func (a *app) labNames() []string {
	file, err := a.load()
	if err != nil {
		return nil
	}
	var names []string
	for _, l := range file.Labs {
		names = append(names, l.Name)
	}
	return names
}

// missingCommand is the error of an exec without a command after --.
func (a *app) missingCommand() error { return a.advisor().MissingCommand(a.called) }

func usage(why string, next ...string) error { return hint.Usage(why, next...) }

func oneOf(kind, word string, known []string, more string) error {
	return hint.OneOf(kind, word, known, more, vagrant.Providers())
}

func pathIn(c *cobra.Command) string { return hint.Path(c) }

// hint completes the commands of dcalab in a text, so that they can be typed as
// they are.
func (a *app) hint(text string) string {
	if !strings.Contains(text, "dcalab") {
		return text
	}
	return a.hints().Rewrite(text)
}

func (a *app) hints() hint.Rewriter {
	return hint.NewRewriter(a.calledAs(), a.flags, a.commands, runbook.Line)
}

// calledAs is the program as its user typed it.
func (a *app) calledAs() string { return hint.CalledAs(a.embedded.Program) }

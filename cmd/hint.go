package cmd

import (
	"strings"

	"github.com/dcalab/dcalab/cmd/hint"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/vagrant"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session/dockercontext"
	"github.com/dcalab/dcalab/trouble"
)

// advisor is package hint with what it is given: the words that were typed, and
// the names that labs.yaml has; none where that is broken.
func advisor(a *app) hint.Advisor {
	return hint.Advisor{
		Args: a.args, Shells: dockercontext.Shells(), Providers: vagrant.Providers(), Quote: runbook.Line,
		Lab: func() *lab.Lab {
			wanted, err := a.choice()
			if err != nil {
				return nil
			}
			return wanted.Lab
		},
		Labs: func() (names []string) {
			if file, err := a.load(); err == nil {
				for _, l := range file.Labs {
					names = append(names, l.Name)
				}
			}
			return names
		},
	}
}

func usage(why string, next ...string) error { return trouble.Usage(why, next...) }

func oneOf(kind, word string, known []string, more string) error {
	return hint.OneOf(kind, word, known, more, vagrant.Providers())
}

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

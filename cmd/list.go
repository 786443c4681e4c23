package cmd

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/show"
	"github.com/dcalab/dcalab/ui"
)

func listCommand(a *app) *cobra.Command {
	var o listing
	var refresh bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "Show every lab: driver, state, nodes, folder; also those of other folders",
		Long: `Show the labs of labs.yaml, and every lab that you made in other folders, with
the command that reaches each from here.

No node is asked, and Vagrant is not started, so that this is fast; the state of
a lab of the Vagrant driver is therefore not shown. --refresh asks Vagrant.

Where labs are is remembered in your state folder (~/.local/state/dcalab/labs,
$XDG_STATE_HOME, or the system's equivalent): up writes an entry, destroy of
the whole lab removes it. Entries of labs that are gone are removed
automatically, and a lab that is used again is added again.`,
		Example: "  dcalab list\n  dcalab list --refresh -o json\n  dcalab list -o name",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			format, err := o.format(report.Lab{})
			if err != nil {
				return err
			}
			typed := runbook.Runbook{
				{Text: runbook.Line("ls", statesHere(a)), Why: "the labs of this folder"},
				{Text: "vagrant global-status", Why: "every machine that Vagrant has made, in whatever folder"},
			}
			if stop, err := (&session{app: a}).announce(typed); stop || err != nil {
				return err
			}
			l, err := listLabs(c.Context(), a, refresh)
			if err != nil {
				return err
			}
			if format.ForPeople() {
				(&session{app: a}).warn(l.Notes...)
			}
			return a.print(format, ui.Listing{
				Document: l, Rows: l.Labs, Key: "lab",
				Table: func(w io.Writer, wide bool) error { return show.Labs(w, l, a.style(wide)) },
			})
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&refresh, "refresh", false, "ask Vagrant too")
	return explained(c)
}

// statesHere is the folder of the states of labs.yaml's labs.
func statesHere(a *app) string {
	dir, err := os.Getwd()
	if err != nil {
		return lab.StateFolder
	}
	if file, err := a.load(); err == nil {
		if root, err := a.lab().Root(file); err == nil {
			dir = root
		}
	}
	return filepath.Join(dir, lab.StateFolder)
}

// listLabs gives the inventory as it is printed.
func listLabs(ctx context.Context, a *app, refresh bool) (*report.Labs, error) {
	l, err := report.List(ctx, a.lab(), refresh, func(e labsession.Entry) string { return reach(a, e) })
	if l != nil {
		for i, n := range l.Notes {
			l.Notes[i] = a.hint(n)
		}
	}
	return l, err
}

// reach is the command that reaches a lab of the inventory from here.
func reach(a *app, e labsession.Entry) string {
	if !e.Here {
		return strings.TrimSuffix(a.hint(labsession.CommandFor(e.Place)+" status"), " status")
	}
	words := []string{a.calledAs()}
	if path := a.settings.GetString("config"); path != "" {
		words = append(words, "--config", path)
	}
	if !e.Default {
		words = append(words, "--lab", e.Lab)
	}
	return runbook.Line(words...)
}

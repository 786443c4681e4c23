package cmd

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/cmd/sudo"
	"github.com/dcalab/dcalab/lab"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/web"
)

// powerHelper is the name of the command that dcalab serve --power runs through sudo.
const powerHelper = "power-helper"

// startPowerHelper starts the helper where pages need one; nil where they do not.
func (h pageHost) startPowerHelper(ctx context.Context) (*sudo.Helper, error) {
	switch {
	case !h.Power || !lacksRoot(h.operator()):
		return nil, nil
	case h.app.read:
		return nil, usage("--power lets pages act, and they cannot: labs.yaml came through a pipe", "name a file: dcalab --config FILE serve --power")
	}
	return asRoot{h.session}.helper(ctx)
}

// helper starts the helper through sudo. It is told to end when ctx does.
func (r asRoot) helper(ctx context.Context) (*sudo.Helper, error) {
	cmd, err := r.command("what the page does to machines", slices.Concat(r.app.given, []string{powerHelper}))
	if err != nil {
		return nil, err
	}
	h, err := sudo.Start(ctx, cmd)
	if err != nil {
		err = r.outcomeOf(err)
	}
	return h, err
}

// powerHelperCommand is what dcalab serve --power runs through sudo, for as long as it runs
// itself. It trusts nobody who writes to it: it does what pages may have done as root, on
// the lab that it was started for.
func powerHelperCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: powerHelper, Hidden: true, Args: cobra.NoArgs,
		Short: "What dcalab serve --power does as root",
		RunE:  func(c *cobra.Command, _ []string) error { return a.runPowerHelper(c.Context()) },
	}
}

// runPowerHelper does what it is asked for until its input ends, or ctx.
func (a *app) runPowerHelper(ctx context.Context) error {
	s, err := a.identify()
	if err != nil {
		return err
	}
	place := s.Place()
	a.embedded.ThroughSudo = false // the exit status of its commands is not sudo's
	sudo.Serve(ctx, a.streams.In, a.streams.Out, func(ctx context.Context, words []string) web.Done { return a.doAsRoot(ctx, place, words) })
	return nil
}

// doAsRoot does one command, if it may be done. labs.yaml is looked for again each time: by now
// another file may be found, or another lab be the default one in it, and that is refused.
func (a *app) doAsRoot(ctx context.Context, place lab.Place, words []string) web.Done {
	refused := func(exit int, why string) web.Done { return web.Done{Exit: exit, Text: "error: " + why + "\n"} }
	if err := web.AsRoot(words); err != nil {
		return refused(trouble.ExitUsage, err.Error())
	}
	which := a.lab()
	which.Warn = nil // the command itself warns
	now, err := labsession.Describe(which)
	switch {
	case err != nil:
		return refused(trouble.ExitStatus(err), trouble.OneLine(err))
	case !sameLab(now.Place(), place):
		return refused(trouble.ExitRefused, "dcalab serve --power was started for another lab")
	}
	return a.act(ctx, words)
}

// sameLab tells whether it is the lab of the same labs.yaml; it may have been made anew.
func sameLab(a, b lab.Place) bool {
	return a.Root == b.Root && a.Lab == b.Lab && a.Config == b.Config
}

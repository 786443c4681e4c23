package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/vagrant"
	"github.com/dcalab/dcalab/runbook"
)

func renderCommand(a *app) *cobra.Command {
	return explained(&cobra.Command{
		Use:   "render",
		Short: "Print the Vagrantfile of the lab",
		Long: `Print the Vagrantfile for the lab's settings, to read it, or to use it without
dcalab: it works with Vagrant alone, and sets host names too. It makes the
machines only: engines and the swarm are up to you. dcalab itself writes its own
before each use, and never reads this one.`,
		Example: "  dcalab render > Vagrantfile",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.identify()
			if err != nil {
				return err
			}
			typed := runbook.Local("# a lab of the vagrant driver has it in its folder, once it was brought up")
			if s.Record().Driver == lab.DriverVagrant {
				typed = runbook.Runbook{{Text: runbook.Line("cat", s.State().Vagrantfile()), Why: "the lab's own, once it was brought up"}}
			}
			if stop, err := s.announce(typed); stop || err != nil {
				return err
			}
			text, err := vagrant.Render(a.embedded.Vagrantfile, s.Lab(), vagrant.Options{LabID: s.Record().ID, Provider: s.Lab().Provider})
			if err != nil {
				return err
			}
			_, err = a.streams.Out.Write(text)
			return err
		},
	})
}

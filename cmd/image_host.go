package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session/lifecycle"
)

func imageHostCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "host",
		Short: "Carry the docker driver's own image to a machine without a network",
		Long: `The docker driver makes a lab in one container, from an image with all that
nodes need. It builds that image when the first lab comes up, and takes Debian
packages from the Internet for it. For a class, build it once, and carry the
file: it is good for each Docker on the same kind of processor.`,
		Example: "  dcalab image host save dcalab-host.tar.gz\n  dcalab image host load dcalab-host.tar.gz",
	}
	c.AddCommand(
		hostImageOperation(a, &cobra.Command{
			Use:   "save FILE",
			Short: "Write the host image to a new file",
			Long: `Write the image of the docker driver's containers to a new file, packed with
gzip. It is built first where Docker does not have it. There is nothing of a lab
in it, and no secret.`,
			Example: "  dcalab image host save dcalab-host.tar.gz",
		}, lifecycle.SaveHostImage),
		hostImageOperation(a, &cobra.Command{
			Use:   "load FILE",
			Short: "Load the host image from a file",
			Long: `Give Docker the image that the docker driver needs, from a file of dcalab image
host save. One with another image, or for another kind of processor, is refused.`,
			Example: "  dcalab image host load dcalab-host.tar.gz",
		}, lifecycle.LoadHostImage),
	)
	return c
}

// hostImageOperation makes c a command of one file. It is about no lab: it locks
// none, and makes none.
func hostImageOperation(a *app, c *cobra.Command, of func(machine.HostImager, lab.Owner, string) lifecycle.Operation) *cobra.Command {
	c.Args = cobra.ExactArgs(1)
	c.ValidArgsFunction = fileAt(0, cobra.NoFileCompletions)
	return operation(a, func(a *app) (*session, error) { return &session{app: a}, nil }, c, func(_ *session, args []string) (lifecycle.Operation, error) {
		driver, err := a.lab().HostImager()
		if err != nil {
			return nil, err
		}
		return of(driver, owner(), args[0]), nil
	})
}

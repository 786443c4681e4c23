package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/ui"
)

func versionCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version of dcalab",
		Long: `Print the version of this program, the revision that it was built from if that
is known, the version of Go, and the system; with -o json also the date of that
revision. Include it when you ask for help (dcalab logs --bundle packs it).`,
		Example: "  dcalab version\n  dcalab version -o json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return writeVersion(a, output) },
	}
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml (default: one line)")
	return c
}

func writeVersion(a *app, format string) error {
	text, err := []byte(fmt.Sprintf("dcalab %s\n", report.ThisBuild())), checkFormat(format)
	if err == nil && format != "" {
		text, err = ui.Encode(format, report.ThisBuild())
	}
	if err != nil {
		return err
	}
	_, err = a.streams.Out.Write(text)
	return err
}

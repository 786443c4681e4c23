package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of dcalab",
		Long: `Print the version of this program, the revision that it was built from if that
is known, the version of Go, and the system. Include it when you ask for help
(dcalab logs --bundle packs it).`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return writeVersion(a) },
	}
}

func writeVersion(a *app) error {
	version, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(a.streams.Out, "dcalab %s%s (%s, %s/%s)\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

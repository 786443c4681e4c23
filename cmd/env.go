package cmd

import (
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session/dockercontext"
)

func envCommand(a *app) *cobra.Command {
	var shell string
	var unset bool
	c := &cobra.Command{
		Use:   "env",
		Short: "Print environment variables that point docker, ssh and dcalab at this lab",
		Long: `Print commands for your shell that point the programs in it at this lab:

  DOCKER_CONTEXT       docker, where dcalab context create was run
  DCALAB_SSH_CONFIG    ssh and scp: ssh -F "$DCALAB_SSH_CONFIG" master
  DCALAB_LAB, DCALAB_CONFIG
                       dcalab, in every folder

Only the shell that reads them is changed. --unset undoes it.`,
		Example: "  eval \"$(dcalab env)\"\n  dcalab env --shell fish | source\n  dcalab env --shell powershell | Out-String | Invoke-Expression\n  eval \"$(dcalab env --unset)\"",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if shell == "" {
				shell = dockercontext.UsualShell(os.Getenv("SHELL"), runtime.GOOS)
			}
			if !slices.Contains(dockercontext.Shells(), shell) {
				return oneOf("shell", shell, dockercontext.Shells(), " (bash is right for sh and dash too)")
			}
			s, err := a.identify()
			if err != nil {
				return err
			}
			lines := strings.SplitAfter(dockercontext.RenderEnv(shell, unset, contextsOf(s, "").Environment(c.Context(), s.File().Path, s.Place().Root)), "\n")
			for i, line := range lines {
				if strings.HasPrefix(line, "#") {
					lines[i] = a.hint(line)
				}
			}
			text := strings.Join(lines, "")
			if stop, err := s.announce(runbook.Local(strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)); stop || err != nil {
				return err
			}
			_, err = a.streams.Out.Write([]byte(text))
			return err
		},
	}
	c.Flags().StringVar(&shell, "shell", "", "bash, zsh, fish or powershell (default: that of $SHELL)")
	c.Flags().BoolVar(&unset, "unset", false, "print the commands that undo it")
	return explained(c)
}

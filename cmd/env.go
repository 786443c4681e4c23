package cmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/runbook"
)

// shells that env speaks; zsh reads what bash does.
func shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

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

Nothing is changed but in the shell that reads them. --unset undoes it.`,
		Example: "  eval \"$(dcalab env)\"\n  dcalab env --shell fish | source\n  dcalab env --shell powershell | Out-String | Invoke-Expression\n  eval \"$(dcalab env --unset)\"",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if shell == "" {
				shell = usualShell(os.Getenv("SHELL"), runtime.GOOS)
			}
			if !slices.Contains(shells(), shell) {
				return oneOf("shell", shell, shells(), " (bash is right for sh and dash too)")
			}
			s, err := a.identify()
			if err != nil {
				return err
			}
			lines := strings.SplitAfter(renderEnv(shell, unset, environment(c.Context(), s)), "\n")
			for i, line := range lines {
				if strings.HasPrefix(line, "#") {
					lines[i] = a.hint(line)
				}
			}
			text := strings.Join(lines, "")
			if stop, err := s.announce(here(strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)); stop || err != nil {
				return err
			}
			_, err = a.streams.Out.Write([]byte(text))
			return err
		},
	}
	c.Flags().StringVar(&shell, "shell", "", "bash, zsh, fish or powershell (default: as SHELL says)")
	c.Flags().BoolVar(&unset, "unset", false, "print what undoes it")
	return explained(c)
}

// usualShell is the one to write for when none is named.
func usualShell(path, system string) string {
	switch {
	case strings.TrimSuffix(filepath.Base(path), ".exe") == "fish":
		return "fish"
	case path == "" && system == "windows":
		return "powershell"
	}
	return "bash"
}

// setting is a variable, or a comment where it has no name. One without a
// value is unset.
type setting struct{ name, value, comment string }

// environment is what points programs at the lab.
func environment(ctx context.Context, s *session) []setting {
	out := []setting{{name: "DCALAB_LAB", value: s.Lab().Name}}
	if s.File().Path != "" {
		out = append(out, setting{name: "DCALAB_CONFIG", value: s.File().Path})
	} else {
		out = append(out, setting{comment: "labs.yaml is the built-in one: dcalab finds this lab in " + s.Place().Root + " and below"})
	}
	out = append(out, setting{name: "DCALAB_SSH_CONFIG", value: s.State().SSHConfig()})
	name := contextName(s, nil)
	exists, err := contextsOf(s, "").Exists(ctx, name)
	if err == nil && exists {
		// DOCKER_HOST would win over the context.
		return append(out, setting{name: "DOCKER_HOST"}, setting{name: "DOCKER_CONTEXT", value: name})
	}
	if err != nil {
		return append(out, setting{comment: "docker: " + err.Error()})
	}
	return append(out, setting{comment: "docker: first make a context of the lab: dcalab context create"})
}

func renderEnv(shell string, unset bool, settings []setting) string {
	if shell == "zsh" {
		shell = "bash"
	}
	var b strings.Builder
	for _, s := range settings {
		switch {
		case s.name == "":
			if !unset {
				fmt.Fprintf(&b, "# %s\n", strings.Map(func(r rune) rune {
					if r < ' ' {
						return ' '
					}
					return r
				}, s.comment))
			}
		case unset && s.value == "": // was not this lab's
		case unset || s.value == "":
			fmt.Fprintf(&b, map[string]string{"bash": "unset %s\n", "fish": "set -e %s\n", "powershell": "Remove-Item -ErrorAction SilentlyContinue Env:%s\n"}[shell], s.name)
		default:
			fmt.Fprintf(&b, map[string]string{"bash": "export %s=%s\n", "fish": "set -gx %s %s\n", "powershell": "$Env:%s = %s\n"}[shell], s.name, quoteFor(shell, s.value))
		}
	}
	option := ""
	if unset {
		option = " --unset"
	}
	fmt.Fprintf(&b, map[string]string{
		"bash":       "# In your shell: eval \"$(dcalab env%s)\"\n",
		"fish":       "# In your shell: dcalab env --shell fish%s | source\n",
		"powershell": "# In your shell: dcalab env --shell powershell%s | Out-String | Invoke-Expression\n",
	}[shell], option)
	return b.String()
}

// quoteFor writes a value so that the shell takes it as it stands.
func quoteFor(shell, value string) string {
	switch shell {
	case "fish":
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
	case "powershell":
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	return runbook.Line(value)
}

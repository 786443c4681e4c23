package dockercontext

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/dcalab/dcalab/runbook"
)

// Shells are those that RenderEnv knows; zsh reads what bash does.
func Shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

// UsualShell is the one to write for when none is named, by SHELL and GOOS.
func UsualShell(path, system string) string {
	switch {
	case strings.TrimSuffix(filepath.Base(path), ".exe") == "fish":
		return "fish"
	case path == "" && system == "windows":
		return "powershell"
	}
	return "bash"
}

// Setting is a variable, or a comment where it has no name. One without a value
// is unset.
type Setting struct{ Name, Value, Comment string }

// Environment is what points programs at the lab: dcalab, at the labs.yaml of
// this path, or at the built-in one's labs below root; ssh; and docker, where the
// lab's own context was made.
func (c Contexts) Environment(ctx context.Context, labsYAML, root string) []Setting {
	out := []Setting{{Name: "DCALAB_LAB", Value: c.Lab}}
	if labsYAML != "" {
		out = append(out, Setting{Name: "DCALAB_CONFIG", Value: labsYAML})
	} else {
		out = append(out, Setting{Comment: "labs.yaml is the built-in one: dcalab finds this lab in " + root + " and below"})
	}
	out = append(out, Setting{Name: "DCALAB_SSH_CONFIG", Value: c.State.SSHConfig()})
	name := Name(c.Lab)
	exists, err := c.Exists(ctx, name)
	if err == nil && exists {
		// DOCKER_HOST would win over the context.
		return append(out, Setting{Name: "DOCKER_HOST"}, Setting{Name: "DOCKER_CONTEXT", Value: name})
	}
	if err != nil {
		return append(out, Setting{Comment: "docker: " + err.Error()})
	}
	return append(out, Setting{Comment: "docker: first make a context of the lab: dcalab context create"})
}

// RenderEnv writes settings as commands of a shell, or with unset those that undo
// them.
func RenderEnv(shell string, unset bool, settings []Setting) string {
	if shell == "zsh" {
		shell = "bash"
	}
	var b strings.Builder
	for _, s := range settings {
		switch {
		case s.Name == "":
			if !unset {
				fmt.Fprintf(&b, "# %s\n", strings.Map(func(r rune) rune {
					if r < ' ' {
						return ' '
					}
					return r
				}, s.Comment))
			}
		case unset && s.Value == "": // was not this lab's
		case unset || s.Value == "":
			fmt.Fprintf(&b, map[string]string{"bash": "unset %s\n", "fish": "set -e %s\n", "powershell": "Remove-Item -ErrorAction SilentlyContinue Env:%s\n"}[shell], s.Name)
		default:
			fmt.Fprintf(&b, map[string]string{"bash": "export %s=%s\n", "fish": "set -gx %s %s\n", "powershell": "$Env:%s = %s\n"}[shell], s.Name, quoteFor(shell, s.Value))
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

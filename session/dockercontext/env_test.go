package dockercontext

import (
	"os/exec"
	"strings"
	"testing"
)

func TestRenderEnv(t *testing.T) {
	settings := []Setting{
		{Name: "DCALAB_LAB", Value: "dca"}, {Comment: "two\nlines"},
		{Name: "DCALAB_CONFIG", Value: `/it's \ "here"/labs.yaml`}, {Name: "DOCKER_HOST"},
	}
	for name, c := range map[string]struct {
		shell string
		unset bool
		want  string
	}{
		"bash": {"bash", false, `export DCALAB_LAB=dca
# two lines
export DCALAB_CONFIG='/it'\''s \ "here"/labs.yaml'
unset DOCKER_HOST
# In your shell: eval "$(dcalab env)"
`},
		"bash, undone": {"bash", true, `unset DCALAB_LAB
unset DCALAB_CONFIG
# In your shell: eval "$(dcalab env --unset)"
`},
		"fish": {"fish", false, `set -gx DCALAB_LAB 'dca'
# two lines
set -gx DCALAB_CONFIG '/it\'s \\ "here"/labs.yaml'
set -e DOCKER_HOST
# In your shell: dcalab env --shell fish | source
`},
		"powershell": {"powershell", false, `$Env:DCALAB_LAB = 'dca'
# two lines
$Env:DCALAB_CONFIG = '/it''s \ "here"/labs.yaml'
Remove-Item -ErrorAction SilentlyContinue Env:DOCKER_HOST
# In your shell: dcalab env --shell powershell | Out-String | Invoke-Expression
`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := RenderEnv(c.shell, c.unset, settings); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// What a real shell makes of it.
func TestEnvIsReadByAShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	const value = `/it's $HOME \ "here"; echo/labs.yaml`
	script := RenderEnv("bash", false, []Setting{{Name: "DCALAB_CONFIG", Value: value}}) + `printf %s "$DCALAB_CONFIG"`
	out, err := exec.Command(sh, "-euc", script).CombinedOutput()
	if err != nil || string(out) != value {
		t.Errorf("%q, %v; want %q", out, err, value)
	}
}

func TestUsualShell(t *testing.T) {
	for _, c := range [][3]string{
		{"/bin/bash", "linux", "bash"}, {"/usr/bin/fish", "linux", "fish"}, {"/bin/zsh", "darwin", "bash"},
		{"", "linux", "bash"}, {"", "windows", "powershell"}, {"/usr/bin/bash", "windows", "bash"},
	} {
		if got := UsualShell(c[0], c[1]); got != c[2] {
			t.Errorf("SHELL=%s on %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
	if strings.Join(Shells(), " ") != "bash zsh fish powershell" {
		t.Error("the help names other shells")
	}
}

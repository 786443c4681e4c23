package cmd

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// Docker's words are the commands themselves, with what these say and ask.
func TestAliases(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("DCALAB_DRIVER", "sandbox")
	for alias, command := range map[string]string{"ls": "list", "ps": "status", "stop": "halt", "down": "destroy", "rm": "destroy", "label ls": "label list", "image ls": "image list", "snapshot ls": "snapshot list"} {
		t.Chdir(t.TempDir())
		status, out, story := runHere(t, strings.Fields(alias)...)
		wantStatus, want, wantStory := runHere(t, strings.Fields(command)...)
		if status != wantStatus || out != want || story != wantStory || status == trouble.ExitUsage {
			t.Errorf("dcalab %s: %d\n%s%s\ndcalab %s: %d\n%s%s", alias, status, out, story, command, wantStatus, want, wantStory)
		}
	}
}

// Every list has every format, also of a lab that does not exist.
func TestEveryListHasItsFormats(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("DCALAB_DRIVER", "sandbox")
	names := map[string]string{
		"status": "master\nnode01\nnode02\n", "status node01": "node01\n", "config view": "master\nnode01\nnode02\n",
		"list": "dca\nha\n", "snapshot list": "",
	}
	for command, want := range names {
		for _, format := range ui.Formats() {
			status, out, story := run(t, append(strings.Fields(command), "-o", format)...)
			switch {
			case status != 0:
				t.Errorf("%s -o %s: exit status %d: %s", command, format, status, story)
			case format == ui.FormatName && out != want:
				t.Errorf("%s -o name: %q, want %q", command, out, want)
			case format == ui.FormatJSON && !json.Valid([]byte(out)):
				t.Errorf("%s -o json:\n%s", command, out)
			}
		}
	}
	for _, c := range []struct{ command, template, want string }{
		{"status", "{{.name}} {{.machine}}", "master absent\nnode01 absent\nnode02 absent\n"},
		{"status", `table {{.name}}\t{{.swarm.role}}`, "NAME     ROLE\nmaster\nnode01\nnode02\n"},
		{"config view", "{{.name}} {{.cpus}}", "master 2\nnode01 1\nnode02 1\n"},
		{"list", "{{.lab}} {{.nodes}}", "dca 3\nha 5\n"},
	} {
		status, out, story := run(t, append(strings.Fields(c.command), "--format", c.template)...)
		if status != 0 || out != c.want {
			t.Errorf("%s --format %s: exit status %d:\n%s%s", c.command, c.template, status, out, story)
		}
	}
}

// What cannot be shown is refused before anybody is asked.
func TestFormatsAreCheckedFirst(t *testing.T) {
	for line, want := range map[string]string{
		"status --format {{.nam}}":          "its fields are name, hostname, ip, machine, engine, swarm.state",
		"status --view --format {{.name}}":  "its fields are manager, answer",
		"list --format {{.Lab}}":            `map has no entry for key "Lab"`,
		"image list --format {{":            "unclosed action",
		"snapshot list --format {{.taken}}": "its fields are name, time, nodes",
		"doctor --format {{.x}}":            "its fields are id, what, verdict, why, fixes",
		"label list --format {{.x}}":        "its fields are node, key, value",
		"status -o json --format json":      "both say how",
		"status --exit-code --watch":        "--exit-code is for one look",
		"status --view master":              "--view shows every manager",
		"exec -it a b -- x":                 "-i and -t are for one node",
		"exec -t --all -- x":                "-i and -t are for one node",
	} {
		t.Run(line, func(t *testing.T) {
			if status, out, story := run(t, strings.Fields(line)...); status != trouble.ExitUsage || out != "" || !strings.Contains(story, want) {
				t.Errorf("exit status %d: %s%s", status, out, story)
			}
		})
	}
}

// With --exit-code the status is that of a swarm that is not there.
func TestStatusAsAnExitStatus(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("DCALAB_DRIVER", "sandbox")
	status, out, story := run(t, "status", "--exit-code")
	if status != trouble.ExitUnfinished || !strings.Contains(out, "NODE") || !strings.Contains(story, "master: its machine is absent") {
		t.Errorf("exit status %d: %s%s", status, out, story)
	}
}

// labs.yaml comes through standard input, and is read once.
func TestLabsFromStandardInput(t *testing.T) {
	t.Chdir(t.TempDir())
	text, err := os.ReadFile(repository + "/labs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	piped := func(text string, args ...string) (int, string) {
		var out, story strings.Builder
		status := Run(t.Context(), ui.Streams{In: strings.NewReader(text), Out: &out, Err: &story}, embedded(t), append([]string{"--config", "-"}, args...))
		return status, out.String() + story.String()
	}
	if status, said := piped(string(text), "config", "validate"); status != 0 || !strings.Contains(said, "standard input is valid: dca (3 nodes)") {
		t.Errorf("exit status %d: %s", status, said)
	}
	if status, said := piped("labs: []\n", "config", "view"); status != trouble.ExitConfig || !strings.Contains(said, "standard input:1:") {
		t.Errorf("exit status %d: %s", status, said)
	}
	if status, said := piped(string(text), "up"); status != trouble.ExitConfig || !strings.Contains(said, "a pipe has none") {
		t.Errorf("exit status %d: %s", status, said)
	}
}

package cmd

import (
	"embed"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/cmd/hint"
)

// What the help of the commands has beside their own words: a transcript of
// each, and what it touches.

// The transcripts are recorded from real nodes, and compared with them, by
// TestExamples in e2e: swarm_bootstrap.txt is that of dcalab swarm bootstrap.
// What a command touches is in touches/, by its name.
//
//go:embed examples touches
var helpTexts embed.FS

// touchesKey is the annotation that holds what a command touches, indented as
// the help shows it. (A function in the template would be a global of cobra's.)
const touchesKey = "touches"

// touches says what a command reads and changes, by its path; empty where that is
// not written down. A line @NAME of its file stands for that of shared_NAME.txt.
func touches(path string) string {
	if strings.HasPrefix(path, "completion ") {
		path = "shared completion"
	}
	text, err := fs.ReadFile(helpTexts, "touches/"+strings.ReplaceAll(path, " ", "_")+".txt")
	if err != nil {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if name, shared := strings.CutPrefix(strings.TrimSpace(line), "@"); shared {
			line = touches("shared "+name) + "\n"
		}
		b.WriteString(line)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{with index .Annotations "touches"}}Touches:
{{.}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`

// teach adds to the help of all commands below root.
func teach(root *cobra.Command) {
	root.SetHelpTemplate(helpTemplate)
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		_, path, _ := strings.Cut(c.CommandPath(), " ")
		if text := touches(path); text != "" {
			if c.Annotations == nil {
				c.Annotations = map[string]string{}
			}
			c.Annotations[touchesKey] = indented(text)
		}
		if text, err := fs.ReadFile(helpTexts, "examples/"+exampleFile(c)); err == nil {
			example := indented(strings.TrimRight(string(text), "\n"))
			if more := others(c.Example, example); more != "" {
				example += "\n\n" + more
			}
			c.Example = example
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
}

// others are the lines of examples that a transcript does not show.
func others(examples, transcript string) string {
	var lines []string
	for line := range strings.SplitSeq(examples, "\n") {
		if !strings.Contains(transcript+"\n", "$ "+strings.TrimSpace(line)+"\n") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// exampleFile is the name of the file with the command's transcript: of a
// group, which does nothing by itself, that of the command in it which most
// people come for.
func exampleFile(c *cobra.Command) string {
	name := hint.Path(c)
	switch name {
	case "":
		name = c.Name()
	case "swarm":
		name = "swarm bootstrap"
	case "snapshot":
		name = "snapshot save"
	case "image":
		name = "image load"
	case "context":
		name = "context create"
	case "label":
		name = "label set"
	case "config":
		name = "config validate"
	}
	return strings.ReplaceAll(name, " ", "_") + ".txt"
}

// indented puts two spaces in front of each line that is not empty.
func indented(text string) string {
	return strings.ReplaceAll("  "+strings.ReplaceAll(text, "\n", "\n  "), "\n  \n", "\n\n")
}

package dockercontext

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// The lines in ssh's configuration that lead to the lab's own.

func blockBegin(labName string) string {
	return "# dcalab " + labName + ": begin (made by dcalab context create, removed by dcalab context rm)\n"
}

func blockEnd(labName string) string { return "# dcalab " + labName + ": end\n" }

// block are the lines that lead ssh to the lab's ssh_config for the lab's names.
// An Include within a Host holds for that Host alone (ssh_config(5)); Match all
// ends it, so that what follows means what it meant before.
func (c Contexts) block() (string, error) {
	path := filepath.ToSlash(c.State.SSHConfig())
	// Include expands patterns and, in newer versions, tokens and variables.
	if node.CheckPath(path) != nil || strings.ContainsAny(path, `*?[]%$`) {
		return "", &trouble.Error{ID: "ssh-config-path", What: "context", Why: fmt.Sprintf("ssh's configuration cannot carry the path %q", path),
			Next: []string{"keep the lab in a folder with a plainer name"}, Exit: trouble.ExitRefused}
	}
	return blockBegin(c.Lab) + "Host " + node.SSHAlias(c.Lab, "*") + "\n  Include \"" + path + "\"\nMatch all\n" + blockEnd(c.Lab), nil
}

// withoutBlock removes the lab's lines from a configuration.
func withoutBlock(text, labName string) string {
	at, end, _ := findBlock(text, labName) // 0, 0 where there are none
	return text[:at] + text[end:]
}

// withBlock puts the lab's lines in front of a configuration. Where exactly these
// lines are in it they stay, also where the user moved them; others of the lab's
// are replaced.
func withBlock(text, block, labName string) string {
	if hasBlock(text, block, labName) {
		return text
	}
	return block + withoutBlock(text, labName)
}

// findBlock tells where the lab's lines are, whatever line endings an editor has
// given them.
func findBlock(text, labName string) (at, end int, ok bool) {
	line := func(s string) string { return "^" + regexp.QuoteMeta(strings.TrimSuffix(s, "\n")) + "\r?\n" }
	found := regexp.MustCompile("(?ms)" + line(blockBegin(labName)) + ".*?" + line(blockEnd(labName))).FindStringIndex(text)
	if found == nil {
		return 0, 0, false
	}
	return found[0], found[1], true
}

// hasBlock tells whether the lab's lines are these.
func hasBlock(text, block, labName string) bool {
	at, end, ok := findBlock(text, labName)
	return ok && strings.ReplaceAll(text[at:end], "\r\n", "\n") == block
}

// refuseOtherLab refuses to replace the lines of a lab of the same name in
// another folder, if that lab still exists: its names would lead to this one.
func (c Contexts) refuseOtherLab(path, text string) error {
	at, end, ok := findBlock(text, c.Lab)
	if !ok {
		return nil
	}
	_, rest, _ := strings.Cut(text[at:end], `Include "`)
	config, _, _ := strings.Cut(rest, `"`)
	dir := filepath.Dir(filepath.FromSlash(config))
	if (lab.Place{Root: dir}).Real() == (lab.Place{Root: c.State.Dir()}).Real() {
		return nil
	}
	state, err := lab.OpenState(filepath.Dir(filepath.Dir(dir)), c.Lab, c.Owner)
	if err != nil {
		return nil //nolint:nilerr // a lab that is not there, or nobody's
	}
	if _, created, err := state.ReadRecord(); err == nil && !created {
		return nil
	}
	place := filepath.Dir(filepath.Dir(dir))
	return &trouble.Error{
		ID: "context-other-lab", What: "context create", Exit: trouble.ExitRefused,
		Why:  fmt.Sprintf("in %s, the names %s lead to the lab %s of another folder, %s", path, node.SSHAlias(c.Lab, "*"), c.Lab, place),
		Next: []string{runbook.Line("cd", place) + " && dcalab --lab " + c.Lab + " context rm", "or give this lab another name in labs.yaml"},
	}
}

// prependCommands are what a person types to put a block of lines in front of a
// file; one that does not exist is made.
func prependCommands(path, block string, exists bool) []string {
	lines := runbook.Line(append([]string{"printf", `%s\n`}, strings.Split(strings.TrimSuffix(block, "\n"), "\n")...)...)
	if !exists {
		return []string{runbook.Line("mkdir", "-p", filepath.Dir(path)), lines + " >" + runbook.Line(path)}
	}
	fresh := runbook.Line(path + ".new")
	return []string{"{ " + lines + "; cat " + runbook.Line(path) + "; } >" + fresh, "mv " + fresh + " " + runbook.Line(path)}
}

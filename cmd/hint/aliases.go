package hint

import (
	_ "embed" // aliases.txt
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
)

//go:embed aliases.txt
var aliasTable string

// alias is a command of another tool, or a wrong name or flag of one of ours, and
// what to type instead; aliases.txt says how it is written.
type alias struct {
	typed string // the first words after dcalab
	next  []string
}

// AliasAdvice is every line of advice in the table of aliases, with its
// placeholders.
func AliasAdvice() []string {
	var out []string
	for _, a := range aliases() {
		out = append(out, a.next...)
	}
	return out
}

// aliases reads the table. The entry with the most words that match is taken, so
// the order does not matter.
func aliases() []alias {
	var out []alias
	first := 0 // of those that the advice is for
	for line := range strings.Lines(aliasTable) {
		line = strings.TrimSuffix(line, "\n")
		if advice, indented := strings.CutPrefix(line, "  "); indented {
			for i := range out[first:] {
				out[first+i].next = append(out[first+i].next, advice)
			}
		} else if line != "" && line[0] != '#' {
			first = len(out)
			for typed := range strings.SplitSeq(line, ", ") {
				out = append(out, alias{typed: typed})
			}
		}
	}
	return out
}

// suggestForAlias gives the advice for words that follow the command c; nil
// where no alias matches.
func (a Advisor) suggestForAlias(c *cobra.Command, args []string) []string {
	typed := append(strings.Fields(Path(c)), args...)
	if len(typed) > 1 && typed[0] == "docker" {
		typed = typed[1:]
	}
	var best *alias
	length := 0
	for _, entry := range aliases() {
		words := strings.Fields(entry.typed)
		if len(words) <= length || len(words) > len(typed) || strings.Join(typed[:len(words)], " ") != entry.typed {
			continue
		}
		best, length = &entry, len(words)
	}
	if best == nil {
		return nil
	}
	manager, name := "NODE", "LAB"
	if l := a.Lab(); l != nil {
		name = l.Name
		for _, n := range l.Nodes {
			if n.Role == lab.RoleManager {
				manager = n.Name
				break
			}
		}
	}
	words := strings.Join(typed, " ")
	if slices.ContainsFunc(a.Args, func(arg string) bool { return strings.HasPrefix(arg, "-") }) {
		words += " …"
	}
	rest := strings.Join(typed[length:], " ")
	or := func(s string) string {
		if rest != "" {
			return rest
		}
		return s
	}
	return fill(best.next,
		"{rest}", or("NODE"), "{rest:NAME}", or("NAME"), "{rest:IMAGE}", or("IMAGE"), " {rest:}", strings.TrimRight(" "+rest, " "),
		"{words}", words, "{manager}", manager, "{lab}", name,
	)
}

// fill replaces placeholders in lines of advice; pairs are as of
// strings.NewReplacer.
func fill(lines []string, pairs ...string) []string {
	var out []string
	r := strings.NewReplacer(pairs...)
	for _, line := range lines {
		out = append(out, r.Replace(line))
	}
	return out
}

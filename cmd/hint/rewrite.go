package hint

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Rewriter completes the commands that dcalab advises. The code writes such a
// command as `dcalab up NODE`; the Rewriter makes of it what works where it is
// read: with the program as it was called, and with the flags that say which
// lab is meant.
type Rewriter struct {
	// Program is how dcalab was called, quoted for a shell; Absolute is the same
	// from another folder, and Root from a shell started by sudo.
	Program, Absolute, Root string
	// Flags are those of LabFlags that were typed. What came from the
	// environment is still set when the advice is followed.
	Flags map[string]string
	// Commands are the names of dcalab's commands: any other word after its name
	// is part of a sentence.
	Commands []string
	// Quote joins words to a command line for a shell.
	Quote func(words ...string) string
}

// LabFlags are the global flags that say which lab is meant, in the order in
// which they are shown.
func LabFlags() []string { return []string{"config", "lab", "driver", "provider"} }

// NewRewriter makes one for a program that was called so (see CalledAs), with
// the global flags that were parsed; flags may be nil.
func NewRewriter(called string, flags *pflag.FlagSet, commands []string, quote func(...string) string) Rewriter {
	r := Rewriter{Program: quote(called), Flags: map[string]string{}, Commands: commands, Quote: quote}
	r.Absolute, r.Root = r.Program, r.Program
	if strings.ContainsRune(called, filepath.Separator) {
		if path, err := filepath.Abs(called); err == nil {
			r.Absolute = quote(path)
		}
	} else if path, err := exec.LookPath(called); err == nil && !slices.Contains(securePath(), filepath.Dir(path)) {
		r.Root = quote(path)
	}
	for _, name := range LabFlags() {
		if flags == nil {
			break
		}
		if f := flags.Lookup(name); f != nil && f.Changed && f.Value.String() != "" {
			r.Flags[name] = f.Value.String()
		}
	}
	return r
}

// CalledAs is the program as its user typed it, from the first of the program's
// arguments. Where sudo or a shell replaced the name by the path that PATH
// gives, it is the name again.
func CalledAs(program string) string {
	if program == "" {
		return "dcalab"
	}
	name := filepath.Base(program)
	if found, err := exec.LookPath(name); err == nil && filepath.IsAbs(program) && found == program {
		return name
	}
	return program
}

// securePath is where sudo looks for programs: secure_path of Debian, Ubuntu
// and Fedora.
func securePath() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin"}
}

// Rewrite completes the commands in a text. One that is complete already stays
// as it is.
func (r Rewriter) Rewrite(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = r.line(line)
	}
	return strings.Join(lines, "\n")
}

func (r Rewriter) line(text string) string {
	var b strings.Builder
	done := 0
	for _, found := range Find(text) {
		c := r.parse(found.Text)
		if !c.advised {
			continue
		}
		before := text[:found.Start]
		b.WriteString(text[done:found.Start])
		done = found.Start + len("dcalab")
		switch {
		case found.OtherFolder:
			b.WriteString(r.Absolute)
			continue
		case strings.HasSuffix(before, "sudo "):
			b.WriteString(r.Root)
		default:
			b.WriteString(r.Program)
		}
		for _, name := range LabFlags() {
			if value, typed := r.Flags[name]; typed && c.wants(name) {
				b.WriteString(" " + r.Quote("--"+name, value))
			}
		}
	}
	b.WriteString(text[done:])
	return b.String()
}

// Command is the word dcalab, and what follows it, in a text.
type Command struct {
	Start int    // in the text, in bytes
	Text  string // to the end of the command
	// OtherFolder: it is typed in another folder than this one, and so for
	// another lab than the one that was named here.
	OtherFolder bool
}

// Find gives the places where a text may have a command of dcalab.
func Find(text string) []Command {
	var out []Command
	for at := nextCommand(text, 0); at >= 0; at = nextCommand(text, at+1) {
		before := text[:at]
		out = append(out, Command{
			Start: at, Text: cut(text[at:]),
			OtherFolder: strings.Contains(" "+before, " cd ") || strings.Contains(text, "in its folder") || strings.Contains(text, "in its own folder"),
		})
	}
	return out
}

// nextCommand is where the next word dcalab is in a text, from a place on; -1 where
// there is none. One after a quotation mark is a quotation.
func nextCommand(text string, from int) int {
	for from < len(text) {
		at := strings.Index(text[from:], "dcalab ")
		if at < 0 {
			return -1
		}
		at += from
		if at == 0 || strings.ContainsRune(" \t(", rune(text[at-1])) {
			return at
		}
		from = at + 1
	}
	return -1
}

// cut removes what follows the command that a text begins with.
func cut(text string) string {
	end := len(text)
	if at := nextCommand(text, 1); at >= 0 {
		end = at
	}
	for _, mark := range []string{" -- ", " && ", "; ", " #", " | "} {
		if at := strings.Index(text[:end], mark); at >= 0 {
			end = at
		}
	}
	return text[:end]
}

// advised is a command as a text advises it.
type advised struct {
	advised bool     // it is a command at all
	path    []string // its words before the first argument: swarm, bootstrap
	flags   []string // the flags that it has
}

// parse reads the text of a command.
func (r Rewriter) parse(command string) advised {
	var c advised
	words := strings.Fields(command)[1:]
	for i := 0; i < len(words); i++ {
		word := strings.TrimRight(words[i], `,.;:)"`)
		if name, ok := strings.CutPrefix(word, "--"); ok {
			name, _, valued := strings.Cut(name, "=")
			c.flags = append(c.flags, name)
			if slices.Contains(LabFlags(), name) {
				c.advised = c.advised || len(c.path) == 0 // dcalab --config FILE
				if !valued {
					i++
				}
			}
			continue
		}
		if len(c.path) == 0 {
			if c.advised = slices.Contains(r.Commands, word); !c.advised {
				break
			}
		}
		c.path = append(c.path, word)
	}
	return c
}

// wants tells whether a flag that was typed has to be in the command. Driver and
// provider say how a lab is created; one that exists keeps its own.
func (c advised) wants(flag string) bool {
	has := func(flags ...string) bool {
		return slices.ContainsFunc(c.flags, func(f string) bool { return slices.Contains(flags, f) })
	}
	if len(c.path) == 0 || has("help", flag) {
		return false
	}
	switch name := c.path[0]; {
	case slices.Contains([]string{"init", "version", "completion", "help"}, name):
		return false
	case name == "config":
		schema, view := len(c.path) > 1 && c.path[1] == "schema", len(c.path) > 1 && c.path[1] == "view"
		return !schema && (flag == "config" || view)
	case flag == "config":
		return true
	case name == "list":
		return false
	case flag == "lab":
		return true
	case name == "doctor" && flag == "provider" && !has("fix"):
		return false // it lists the other providers
	}
	return slices.Contains([]string{"up", "doctor", "render"}, c.path[0]) && !has("lab", "driver", "provider")
}

// ParseLabFlags reads LabFlags from a command line that could not be parsed to
// its end, so that the advice is for that lab, too.
func ParseLabFlags(flags *pflag.FlagSet, args []string) {
	for i, arg := range args {
		if arg == "--" {
			return
		}
		name, value, valued := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !strings.HasPrefix(arg, "--") || !slices.Contains(LabFlags(), name) || flags.Changed(name) {
			continue
		}
		if !valued && i+1 < len(args) {
			value = args[i+1]
		}
		_ = flags.Set(name, value) // a string: it takes any
	}
}

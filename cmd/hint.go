package cmd

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lesson"
)

// The code writes a command that it advises as `dcalab up NODE`. What is shown
// is that command as it works where it is read: called as this program was, and
// for the lab that the command line named. hint makes the one of the other.

// hints is what is put into the commands that are advised.
type hints struct {
	// program is how dcalab was called, quoted for a shell; absolute is the same
	// from another folder, and root from a shell of sudo's.
	program, absolute, root string
	// flags are those of labFlags that were typed. What came from the
	// environment is still there when the hint is followed.
	flags map[string]string
	// commands are the names of dcalab's commands: other words after its name
	// make a sentence, and no command.
	commands []string
}

// labFlags are the global flags that say which lab is meant, in the order in
// which they are shown.
func labFlags() []string { return []string{"config", "lab", "driver", "provider"} }

// hint gives a text whose commands of dcalab can be typed as they stand.
func (a *app) hint(text string) string {
	if !strings.Contains(text, "dcalab") {
		return text
	}
	return a.hints().in(text)
}

func (a *app) hints() hints {
	called := a.calledAs()
	h := hints{program: lesson.Line(called), flags: map[string]string{}, commands: a.commands}
	h.absolute, h.root = h.program, h.program
	if strings.ContainsRune(called, filepath.Separator) {
		if path, err := filepath.Abs(called); err == nil {
			h.absolute = lesson.Line(path)
		}
	} else if path, err := exec.LookPath(called); err == nil && !slices.Contains(sudosPath(), filepath.Dir(path)) {
		h.root = lesson.Line(path)
	}
	for _, name := range labFlags() {
		if a.flags == nil {
			break
		}
		if f := a.flags.Lookup(name); f != nil && f.Changed && f.Value.String() != "" {
			h.flags[name] = f.Value.String()
		}
	}
	return h
}

// calledAs is the program as it was typed: also where sudo, or a shell, has put
// the whole path of what PATH finds in its place.
func (a *app) calledAs() string {
	called := a.embedded.Program
	if called == "" {
		return "dcalab"
	}
	name := filepath.Base(called)
	if found, err := exec.LookPath(name); err == nil && filepath.IsAbs(called) && found == called {
		return name
	}
	return called
}

// sudosPath is where sudo looks for programs, as Debian, Ubuntu and Fedora set
// secure_path.
func sudosPath() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin"}
}

// in puts them into a text. A text that has them already stays as it is.
func (h hints) in(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = h.line(line)
	}
	return strings.Join(lines, "\n")
}

func (h hints) line(text string) string {
	var b strings.Builder
	done := 0
	for at := nextCommand(text, 0); at >= 0; at = nextCommand(text, at+1) {
		c := h.read(text[at:])
		if !c.advised {
			continue
		}
		b.WriteString(text[done:at])
		done = at + len("dcalab")
		switch {
		case inAnotherFolder(text, at):
			b.WriteString(h.absolute)
			continue
		case strings.HasSuffix(text[:at], "sudo "):
			b.WriteString(h.root)
		default:
			b.WriteString(h.program)
		}
		for _, name := range labFlags() {
			if value, typed := h.flags[name]; typed && c.wants(name) {
				b.WriteString(" " + lesson.Line("--"+name, value))
			}
		}
	}
	b.WriteString(text[done:])
	return b.String()
}

// nextCommand is where the next word dcalab stands in a text, from a place on;
// -1 where there is none. One behind a quotation mark is a citation.
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

// inAnotherFolder tells whether a command in a text is for another folder than
// this one, and so for another lab than the one that was named here.
func inAnotherFolder(text string, at int) bool {
	return strings.Contains(" "+text[:at], " cd ") || strings.Contains(text, "in its folder") || strings.Contains(text, "in its own folder")
}

// advice is a command of dcalab's as it stands in a text.
type advice struct {
	advised bool     // it is a command at all
	path    []string // its words before the first argument: swarm, bootstrap
	flags   []string // the flags that it has
}

// read reads the command that a text begins with.
func (h hints) read(text string) advice {
	var c advice
	words := strings.Fields(commandIn(text))[1:]
	for i := 0; i < len(words); i++ {
		word := strings.TrimRight(words[i], `,.;:)"`)
		if name, ok := strings.CutPrefix(word, "--"); ok {
			name, _, valued := strings.Cut(name, "=")
			c.flags = append(c.flags, name)
			if slices.Contains(labFlags(), name) {
				c.advised = c.advised || len(c.path) == 0 // dcalab --config FILE
				if !valued {
					i++
				}
			}
			continue
		}
		if len(c.path) == 0 {
			if c.advised = slices.Contains(h.commands, word); !c.advised {
				break
			}
		}
		c.path = append(c.path, word)
	}
	return c
}

// commandIn cuts what follows the command that a text begins with.
func commandIn(text string) string {
	end := len(text)
	if next := nextCommand(text, 1); next >= 0 {
		end = next
	}
	for _, mark := range []string{" -- ", " && ", "; ", " #", " | "} {
		if at := strings.Index(text[:end], mark); at >= 0 {
			end = at
		}
	}
	return text[:end]
}

// wants tells whether a flag that was typed belongs into the command. Driver
// and provider say how a lab is made; one that there is has kept its own.
func (c advice) wants(flag string) bool {
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
		return false // it says which others there are
	}
	return slices.Contains([]string{"up", "doctor", "render"}, c.path[0]) && !has("lab", "driver", "provider")
}

// typedFlags reads the flags that name the lab from a command line that could
// not be read to its end: advice is for that lab, too.
func (a *app) typedFlags() {
	for i, arg := range a.args {
		if arg == "--" {
			return
		}
		name, value, valued := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !strings.HasPrefix(arg, "--") || !slices.Contains(labFlags(), name) || a.flags == nil || a.flags.Changed(name) {
			continue
		}
		if !valued && i+1 < len(a.args) {
			value = a.args[i+1]
		}
		_ = a.flags.Set(name, value) // a string: it takes any
	}
}

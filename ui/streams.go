// Package ui is the only place in dcalab that knows of a terminal: where a
// command's result and its story go, whether somebody is looking, colours,
// progress, tables, prompts, and how an error is shown. It knows nothing of
// labs, machines or engines.
package ui

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Streams are the three streams of a command. The result goes to Out and
// nothing else does, so that it can be piped; the story (progress, warnings,
// errors, questions) goes to Err.
//
// A stream is a terminal when it is an *os.File that is one. Anything else,
// a test's buffer for example, is not.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Environ is the environment, as os.Environ gives it; nil stands for the
	// process's own. TERM and NO_COLOR are read from it.
	Environ []string
}

// System gives the streams and the environment of this process.
func System() Streams {
	return Streams{In: os.Stdin, Out: os.Stdout, Err: errorStream()}
}

// InTerminal tells whether a person can be asked.
func (s Streams) InTerminal() bool { return isTerminal(s.In) }

// OutTerminal tells whether the result is read on a terminal.
func (s Streams) OutTerminal() bool { return isTerminal(s.Out) }

// ErrTerminal tells whether the story is read on a terminal.
func (s Streams) ErrTerminal() bool { return isTerminal(s.Err) }

// OutColor tells whether what goes to Out is to be coloured: it is a terminal
// that can (TERM is not dumb), and neither noColor (--no-color) nor NO_COLOR
// (https://no-color.org: set, and not empty) forbids it.
func (s Streams) OutColor(noColor bool) bool { return !noColor && s.canColor(s.Out) }

// ErrColor is OutColor for what goes to Err.
func (s Streams) ErrColor(noColor bool) bool { return !noColor && s.canColor(s.Err) }

// OutWidth is the width of Out in columns, or 80 where it has none.
func (s Streams) OutWidth() int { return width(s.Out) }

// OutFit is the width in columns that what goes to Out must fit: that of a
// terminal, and 0, no limit, for anything else.
func (s Streams) OutFit() int { return fitOf(s.Out) }

// ErrFit is OutFit for what goes to Err.
func (s Streams) ErrFit() int { return fitOf(s.Err) }

func fitOf(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	return width(w)
}

func (s Streams) canColor(w io.Writer) bool {
	return s.getenv("NO_COLOR") == "" && s.canRedraw(w)
}

// canRedraw tells whether w is a terminal on which the cursor can be moved.
func (s Streams) canRedraw(w io.Writer) bool {
	return isTerminal(w) && s.getenv("TERM") != "dumb"
}

func (s Streams) environ() []string {
	if s.Environ != nil {
		return s.Environ
	}
	return os.Environ()
}

// getenv gives the last value, which is the one that a program started with
// this environment would see.
func (s Streams) getenv(name string) string {
	env := s.environ()
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && f != nil && term.IsTerminal(int(f.Fd()))
}

// width of a terminal in columns; 80 where it is not one, or does not say (a
// serial console).
func width(stream any) int {
	if f, ok := stream.(*os.File); ok && f != nil {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

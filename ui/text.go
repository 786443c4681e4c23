package ui

import (
	"image/color"
	"strings"
	"time"
	"unicode"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/dcalab/dcalab/trouble"
)

// Duration is trouble.Duration.
func Duration(d time.Duration) string { return trouble.Duration(d) }

// plainText makes one line of s that cannot move the cursor, change colours
// or ring: much of what is shown was written by a node.
func plainText(s string) string {
	s = ansi.Strip(s)
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, s)
	return strings.TrimRight(s, " ")
}

// tone is what a colour means.
type tone int

const (
	toneNone tone = iota
	toneGood
	toneBad
	toneWarn
	toneStrong
	toneFaint
)

// color is a tone's in the palette of 256 colours, nil where it has none. The
// sixteen colours are each terminal's own, and its yellow and green on white
// have a contrast of 1.7 to 3.5. These have at least 4.5 on black and on white
// (WCAG 2.1, 1.4.3), of which there are few.
func (t tone) color() color.Color {
	switch t {
	case toneGood:
		return lipgloss.ANSIColor(29)
	case toneBad:
		return lipgloss.ANSIColor(131)
	case toneWarn:
		return lipgloss.ANSIColor(98)
	case toneFaint:
		return lipgloss.ANSIColor(243)
	}
	return nil
}

// paint puts s in the colour of a tone. What it tells, the words tell as well.
func paint(s string, t tone, color bool) string {
	if !color || s == "" || t == toneNone {
		return s
	}
	style := lipgloss.NewStyle().Bold(t == toneStrong || t == toneBad)
	if c := t.color(); c != nil {
		style = style.Foreground(c)
	}
	return style.Render(s)
}

// pad fills s with spaces to a width in columns; a wide rune takes two, an
// escape sequence none.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-lipgloss.Width(s)))
}

// Wrap breaks the lines of a text that are wider than a number of columns
// between words, so that no terminal breaks one in its middle. What follows is
// indented like the line, and by two columns more. A command of dcalab is left
// whole, to be copied; with 0 columns everything is.
func Wrap(text string, columns int) string {
	if columns <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		body := strings.TrimLeft(strings.TrimSuffix(line, "\n"), " ")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if lipgloss.Width(line) <= columns || indent > 0 && strings.HasPrefix(body, "dcalab ") {
			b.WriteString(line)
			continue
		}
		b.WriteString(wrapWords(strings.Repeat(" ", indent), body, columns, indent+2))
		if strings.HasSuffix(line, "\n") {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// wrapWords puts text after start, in lines of a number of columns of which the
// later ones are indented by hang.
func wrapWords(start, text string, columns, hang int) string {
	var b strings.Builder
	b.WriteString(start)
	at, first := lipgloss.Width(start), true
	for word := range strings.SplitSeq(text, " ") {
		w := lipgloss.Width(word)
		switch {
		case first:
		case at+1+w > columns && at > hang:
			b.WriteString("\n" + strings.Repeat(" ", hang))
			at = hang
		default:
			b.WriteByte(' ')
			at++
		}
		first = false
		b.WriteString(word)
		at += w
	}
	return b.String()
}

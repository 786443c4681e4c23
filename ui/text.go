package ui

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// Duration shows d shortly, as a person says it: 0.8s, 12s, 1m49s, 2h05m.
func Duration(d time.Duration) string {
	// Rounded to what is shown before the unit is chosen, or 59.6s would
	// read 60s.
	if tenths := d.Round(100 * time.Millisecond); tenths < 10*time.Second {
		return fmt.Sprintf("%.1fs", max(tenths, 0).Seconds())
	}
	if s := d.Round(time.Second); s < time.Hour {
		m := int(s / time.Minute)
		s -= time.Duration(m) * time.Minute
		if m == 0 {
			return fmt.Sprintf("%ds", int(s.Seconds()))
		}
		return fmt.Sprintf("%dm%02ds", m, int(s.Seconds()))
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%02dm", int(d/time.Hour), int(d%time.Hour/time.Minute))
}

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

// paint puts s in the colour of a tone, from the sixteen that follow the
// user's own theme.
func paint(s string, t tone, color bool) string {
	if !color || s == "" {
		return s
	}
	style := lipgloss.NewStyle()
	switch t {
	case toneGood:
		style = style.Foreground(lipgloss.Green)
	case toneBad:
		style = style.Foreground(lipgloss.Red)
	case toneWarn:
		style = style.Foreground(lipgloss.Yellow)
	case toneStrong:
		style = style.Bold(true)
	case toneFaint:
		style = style.Faint(true)
	default:
		return s
	}
	return style.Render(s)
}

// pad fills s with spaces to a width in columns; a wide rune takes two, an
// escape sequence none.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-lipgloss.Width(s)))
}

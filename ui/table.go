package ui

import (
	"io"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// columnGap is what Docker's own tables put between columns.
const columnGap = "   "

// statusTone colours the words of Docker, Raft and the drivers that a reader
// of a table looks for; a cell is compared as a whole, in any case.
func statusTone(cell string) tone {
	if strings.HasPrefix(cell, "≠ ") { // differs from what its neighbours say
		return toneWarn
	}
	switch strings.ToLower(cell) {
	case "ready", "running", "reachable", "ok":
		return toneGood
	case "leader":
		return toneStrong
	case "down", "unreachable", "error", "foreign", "locked", "failure":
		return toneBad
	case "halted", "absent", "unknown", "pending", "pause", "drain", "inactive", "stopped", "warning":
		return toneWarn
	}
	return toneNone
}

// Table writes rows under a header in aligned columns without borders, like
// docker node ls. A row may be shorter than the header. With color, the
// header is bold and the words that tell a state are coloured; without it,
// escape sequences in cells are removed. It is written at once, and an error
// is that of w.
func Table(w io.Writer, header []string, rows [][]string, color bool) error {
	_, err := io.WriteString(w, table(header, rows, color))
	return err
}

// Width is how many columns of a terminal the longest line of a text takes.
func Width(text string) int { return lipgloss.Width(text) }

// Cells are the rows of a table.
func Cells[T any](rows []T, of func(T) []string) [][]string {
	out := make([][]string, len(rows))
	for i, r := range rows {
		out[i] = of(r)
	}
	return out
}

func table(header []string, rows [][]string, color bool) string {
	var cells [][]string
	if len(header) > 0 {
		line := make([]string, len(header))
		for i, h := range header {
			line[i] = paint(plainText(h), toneStrong, color)
		}
		cells = append(cells, line)
	}
	for _, row := range rows {
		line := make([]string, len(row))
		for i, c := range row {
			line[i] = cell(c, color)
		}
		cells = append(cells, line)
	}

	var widths []int
	for _, line := range cells {
		for i, c := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], lipgloss.Width(c))
		}
	}
	var b strings.Builder
	for _, line := range cells {
		var l strings.Builder
		for i, c := range line {
			if i > 0 {
				l.WriteString(columnGap)
			}
			l.WriteString(pad(c, widths[i]))
		}
		b.WriteString(strings.TrimRight(l.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

func cell(s string, color bool) string {
	if color && ansi.Strip(s) != s {
		// The caller has chosen; only what would break the line goes.
		return strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(s)
	}
	s = plainText(s)
	return paint(s, statusTone(s), color)
}

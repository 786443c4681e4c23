package show

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

// Status is the table of a lab's nodes, and below it the quorum, services, ports and what
// is wrong.
func Status(w io.Writer, r report.Status, style Style) error {
	if style.Wide {
		style.Width = 0
	}
	var b bytes.Buffer
	if err := statusTable(&b, r.Nodes, style); err != nil {
		return err
	}
	b.WriteByte('\n')
	line := r.QuorumLine()
	if !slices.ContainsFunc(r.Ailments, func(p swarm.Problem) bool { return strings.HasPrefix(p.Cause, line) }) { // it says it below
		fmt.Fprintln(&b, style.Hint(line))
	}
	tables := []struct {
		header []string
		rows   [][]string
	}{
		{[]string{"SERVICE", "MODE", "REPLICAS", "IMAGE", "PORTS"}, ui.Cells(r.Services, report.Service.Cells)},
		{[]string{"SERVICE", "PORT", "MODE", "REACHED AT"}, ui.Cells(r.Ports, report.Port.Cells)},
	}
	for _, t := range tables {
		if len(t.rows) == 0 {
			continue
		}
		b.WriteByte('\n')
		if err := ui.Table(&b, t.header, t.rows, style.Color); err != nil {
			return err
		}
	}
	for _, line := range r.Notices() {
		ui.PrintWarning(&b, line, style.Color)
	}
	for _, p := range r.Ailments {
		ui.PrintWarning(&b, p.Cause, style.Color)
		for _, line := range p.Fix {
			fmt.Fprintln(&b, "  "+line)
		}
	}
	_, err := io.WriteString(w, ui.Wrap(b.String(), style.Width))
	return err
}

// statusTable leaves out, on a narrow terminal, what the live view does; before
// that, the distribution's part of the engine's version.
func statusTable(w io.Writer, nodes []report.Node, style Style) error {
	rows := ui.Cells(nodes, report.Node.Cells)
	columns := []ui.Column{
		{Title: "NODE"},
		{Title: "MACHINE", Keep: 5},
		{Title: "ENGINE", Keep: 2},
		{Title: "ROLE", Keep: 8},
		{Title: "AVAILABILITY", Keep: 3},
		{Title: "STATE", Keep: 9},
		{Title: "ADDRESS", Keep: 1},
	}
	if style.Wide {
		columns = append(columns, ui.Column{Title: "HOSTNAME"}, ui.Column{Title: "ID"}, ui.Column{Title: "CERTIFICATE"})
		for i, n := range nodes {
			rows[i] = append(rows[i], n.MoreCells()...)
		}
	}
	var whole bytes.Buffer
	if err := ui.FitTable(&whole, columns, rows, 0, false); err != nil {
		return err
	}
	if style.Width > 0 && widest(whole.String()) > style.Width {
		for _, r := range rows {
			r[2], _, _ = strings.Cut(r[2], "+")
		}
	}
	return ui.FitTable(w, columns, rows, style.Width, style.Color)
}

// widest is the width of a text's longest line.
func widest(text string) int {
	w := 0
	for line := range strings.Lines(text) {
		w = max(w, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
	}
	return w
}

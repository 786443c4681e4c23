package show

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

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
	shown := columns("NODE", "MACHINE", "ENGINE", "ROLE", "AVAILABILITY", "STATE", "ADDRESS")
	if style.Wide {
		shown = append(shown, ui.Column{Title: "HOSTNAME"}, ui.Column{Title: "ID"}, ui.Column{Title: "CERTIFICATE"})
		for i, n := range nodes {
			rows[i] = append(rows[i], n.MoreCells()...)
		}
	}
	var whole bytes.Buffer
	if err := ui.FitTable(&whole, shown, rows, 0, false); err != nil {
		return err
	}
	if style.Width > 0 && ui.Width(whole.String()) > style.Width {
		for _, r := range rows {
			r[2], _, _ = strings.Cut(r[2], "+")
		}
	}
	return ui.FitTable(w, shown, rows, style.Width, style.Color)
}

// columns are those of a node with these titles, in this order. On a narrow terminal those
// with the least Keep are left out.
func columns(titles ...string) []ui.Column {
	known := map[string]ui.Column{
		"NODE":         {Sort: 'n'},
		"STATE":        {Keep: 9, Sort: 's', WorstFirst: true},
		"ROLE":         {Keep: 8, Sort: 'r'},
		"MACHINE":      {Keep: 5},
		"TASKS":        {Keep: 4},
		"AVAILABILITY": {Keep: 3},
		"ENGINE":       {Keep: 2},
		"ADDRESS":      {Keep: 1},
	}
	out := make([]ui.Column, len(titles))
	for i, title := range titles {
		out[i] = known[title]
		out[i].Title = title
	}
	return out
}

package show

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/ui"
)

// whyColumns is how wide its text is at most, but for commands.
const whyColumns = 100

// Why is what is known of a service, a task or a node, and where it could be. Commands are
// left whole, to be copied.
func Why(w io.Writer, r report.Why, style Style) error {
	var b bytes.Buffer
	now := time.Now()
	fmt.Fprintf(&b, "%s %s: %s\n", r.Kind, r.Name, r.Summary)
	if len(r.Tasks) > 0 {
		header := []string{"TASK", "NODE", "STATE", "DESIRED", "SINCE"}
		rows := make([][]string, len(r.Tasks))
		for i, t := range r.Tasks {
			rows[i] = t.Cells(now)
			if style.Wide {
				rows[i] = append(rows[i], t.ID, t.Error)
			}
		}
		if style.Wide {
			header = append(header, "ID", "MESSAGE")
		}
		b.WriteByte('\n')
		if err := ui.Table(&b, header, rows, style.Color); err != nil {
			return err
		}
	}
	if len(r.Placements) > 0 {
		title := "NODE"
		if r.Kind == "node" {
			title = "SERVICE"
		}
		var rows [][]string
		for _, p := range r.Placements {
			name := p.Node
			if r.Kind == "node" {
				name = p.Service
			}
			rows = append(rows, p.Lines(name, style.Wide)...)
		}
		b.WriteByte('\n')
		if err := ui.Table(&b, []string{title, "FITS", "TASKS", "OF ALL", "WHY"}, rows, style.Color); err != nil {
			return err
		}
	}
	if len(r.Notes) > 0 {
		b.WriteByte('\n')
	}
	for _, line := range r.Notes {
		fmt.Fprintln(&b, line)
	}
	width := whyColumns
	if style.Width > 0 {
		width = min(width, style.Width)
	}
	if style.Wide {
		width = 0
	}
	text := ui.Wrap(b.String(), width)
	b.Reset()
	if len(r.Changes) > 0 {
		b.WriteString("\nthe smallest changes that make a node fit, any one of them (docker: on a manager):\n")
		for _, lines := range r.Changes {
			for i, line := range lines {
				if i > 0 {
					line = "  and " + line
				}
				fmt.Fprintln(&b, "  "+line)
			}
		}
	}
	_, err := io.WriteString(w, text+b.String())
	return err
}

package show

import (
	"fmt"
	"io"
	"strings"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/ui"
)

// Labs is a line for each lab, and below it how those of other folders are
// reached.
func Labs(w io.Writer, l *report.Labs, style Style) error {
	header, rows := []string{"LAB", "DRIVER", "STATE", "NODES", "PLACE"}, ui.Cells(l.Labs, report.Lab.Cells)
	below := l.Below()
	if style.Wide {
		header, below = append(header, "CREATED", "COMMAND"), nil
		for i, e := range l.Labs {
			rows[i] = append(rows[i], e.MoreCells()...)
			if e.Note != "" {
				below = append(below, e.Lab+": "+e.Note)
			}
		}
	}
	if err := ui.Table(w, header, rows, style.Color); err != nil || len(below) == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(below, "\n"))
	return err
}

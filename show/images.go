package show

import (
	"io"
	"strings"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/ui"
)

// Images is a line for each image of a lab of so many nodes.
func Images(w io.Writer, r session.Images, nodes int, style Style) error {
	rows := ui.Cells(r.Images, func(one session.NodeImage) []string {
		on := strings.Join(one.Nodes, ", ")
		if len(one.Nodes) == nodes {
			on = "all"
		}
		id := one.ID
		if !style.Wide {
			id = strings.TrimPrefix(id, "sha256:")
			id = id[:min(12, len(id))]
		}
		return []string{one.Name, id, node.Size(one.Size), on}
	})
	return ui.Table(w, []string{"IMAGE", "ID", "SIZE", "NODES"}, rows, style.Color)
}

package session

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
)

// Warnings is what is allowed in a labs.yaml and unwise, a line each: the first
// of it where it is much.
func Warnings(f *lab.File) []string {
	const most = 20
	var out []string
	for _, w := range f.Warnings {
		out = append(out, w.String())
	}
	for _, l := range f.Labs {
		for _, n := range l.Nodes {
			for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
				if warning := swarm.LabelWarning(key, n.Labels[key]); warning != "" {
					out = append(out, fmt.Sprintf("node %s of lab %s: %s", n.Name, l.Name, warning))
				}
			}
		}
	}
	if n := len(out); n > most {
		out = append(out[:most], fmt.Sprintf("and %d more like these", n-most))
	}
	return out
}

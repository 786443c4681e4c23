package swarm

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
)

// labelStep sets and takes away labels of a node in the swarm.
type labelStep struct {
	on
	ID   string
	Set  map[string]string
	Drop []string
}

func (labelStep) Kind() Kind { return KindUpdate }
func (s labelStep) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(s.Set)) {
		parts = append(parts, "set label "+k+"="+s.Set[k])
	}
	for _, k := range s.Drop {
		parts = append(parts, "remove label "+k)
	}
	return strings.Join(parts, ", ")
}

// Do waits until the swarm's list shows it.
func (s labelStep) Do(ctx context.Context, r *Run) error {
	return r.shown(ctx, s.ID, func(spec *engine.NodeSpec) {
		maps.Copy(spec.Labels, s.Set)
		for _, k := range s.Drop {
			delete(spec.Labels, k)
		}
	}, func(n engine.Node) bool {
		for k, v := range s.Set {
			if have, ok := n.Labels[k]; !ok || have != v {
				return false
			}
		}
		return !slices.ContainsFunc(s.Drop, func(k string) bool { _, ok := n.Labels[k]; return ok })
	})
}

func (s labelStep) Runbook(w *RunbookWriter) { w.update(s.Node(), s.ID, s.Set, s.Drop, "") }

package swarm

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
)

// updateStep sets labels and availability. ID is empty for a node that is
// still to join.
type updateStep struct {
	on
	ID           string
	Labels       map[string]string
	Availability engine.Availability
}

func (updateStep) Kind() Kind { return KindUpdate }
func (s updateStep) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		parts = append(parts, "label "+k+"="+s.Labels[k])
	}
	if s.Availability != "" {
		parts = append(parts, "availability "+string(s.Availability))
	}
	return "set " + strings.Join(parts, ", ")
}

func (s updateStep) Do(ctx context.Context, r *Run) error {
	id := s.ID
	if id == "" {
		e, err := r.engine(s.Node())
		if err != nil {
			return err
		}
		info, err := e.Info(ctx)
		if err != nil {
			return err
		}
		id = info.NodeID
	}
	return r.viaManagerWithRetry(ctx, func(e Engine) error {
		return e.UpdateNode(ctx, id, func(spec *engine.NodeSpec) {
			for k, v := range s.Labels {
				spec.Labels[k] = v
			}
			if s.Availability != "" {
				spec.Availability = s.Availability
			}
		})
	})
}

func (s updateStep) Runbook(w *RunbookWriter) {
	if role, arrived := w.arrived[s.Node()]; arrived && s.ID == "" {
		// Before that the list does not know its host name.
		w.ready(s.Node(), "", role == engine.RoleManager)
	}
	w.update(s.Node(), s.ID, s.Labels, nil, s.Availability)
}

// update changes what can be changed of a node that is in the swarm.
func (w *RunbookWriter) update(node, id string, set map[string]string, drop []string, availability engine.Availability) {
	line := []string{"docker", "node", "update"}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		line = append(line, "--label-add", k+"="+set[k])
	}
	for _, k := range drop {
		line = append(line, "--label-rm", k)
	}
	if availability != "" {
		line = append(line, "--availability", string(availability))
	}
	w.ask("", append(line, w.entry(node, id))...)
}

package report

import (
	"context"
	"maps"
	"slices"

	"github.com/dcalab/dcalab/session"
)

// Labels is what `dcalab label list -o json` prints.
type Labels struct {
	Lab    string  `json:"lab" yaml:"lab"`
	Labels []Label `json:"labels" yaml:"labels"`
}

// Label is one label of a node in the swarm.
type Label struct {
	Node  string `json:"node" yaml:"node"`
	Key   string `json:"key" yaml:"key"`
	Value string `json:"value" yaml:"value"`
}

// Cells are what a table shows of a label: node, key, value.
func (l Label) Cells() []string { return []string{l.Node, l.Key, l.Value} }

// ObserveLabels asks the swarm for the labels of nodes. The error is that of
// swarm.View.NeedManager where no manager can tell.
func ObserveLabels(ctx context.Context, s *session.Session, nodes []string) (Labels, error) {
	v, engines, err := s.Observe(ctx)
	if err != nil {
		return Labels{}, err
	}
	engines.Close()
	if err := v.NeedManager(); err != nil {
		return Labels{}, err
	}
	r := Labels{Lab: s.Lab().Name, Labels: []Label{}}
	for _, n := range v.Nodes {
		for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
			if slices.Contains(nodes, n.Name) {
				r.Labels = append(r.Labels, Label{n.Name, key, n.Labels[key]})
			}
		}
	}
	return r, nil
}

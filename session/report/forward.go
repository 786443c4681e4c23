package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// Target is a port of TCP that a service publishes, and the nodes of the lab on
// which it answers: at least one.
type Target struct {
	Port    uint16
	Service string
	Nodes   []lab.Node
}

// Targets finds where ports answer, in their order; all that services publish,
// where none is named.
//
// Errors: trouble.Error "port-unpublished".
func (s Status) Targets(l *lab.Lab, ports ...uint16) ([]Target, error) {
	if !s.View.Quorum.HasQuorum {
		return nil, unpublished("forward", "what services publish is not known: no manager with a quorum answers",
			"see the swarm: dcalab status", "a port of a node, whatever listens there: dcalab forward PORT --node NODE")
	}
	if len(ports) == 0 {
		ports = forwardable(s.Ports)
	}
	if len(ports) == 0 {
		return nil, unpublished("forward", "no service publishes a port of TCP that answers",
			"see what there is: dcalab status", "a port of a node, whatever listens there: dcalab forward PORT --node NODE")
	}
	var out []Target
	for _, port := range ports {
		p, err := answering(s.Ports, port)
		if err != nil {
			return nil, err
		}
		t := Target{Port: port, Service: p.Service}
		for _, name := range p.Nodes {
			if n, ok := l.Node(name); ok {
				t.Nodes = append(t.Nodes, n)
			}
		}
		if t.Nodes == nil {
			return nil, unpublished(fmt.Sprintf("forward port %d", port), "it answers only on "+strings.Join(p.Nodes, ", ")+", which labs.yaml does not have any more",
				"name the ports of other services: dcalab forward PORT")
		}
		out = append(out, t)
	}
	return out, nil
}

func unpublished(what, why string, next ...string) error {
	return &trouble.Error{ID: "port-unpublished", What: what, Why: why, Exit: trouble.ExitRefused, Next: next}
}

// forwardable are the ports of TCP that answer on some node, each once.
func forwardable(ports []Port) []uint16 {
	var out []uint16
	for _, p := range ports {
		if port := uint16(p.Published); p.Protocol == "tcp" && len(p.Nodes) > 0 && port > 0 && !slices.Contains(out, port) { //nolint:gosec // it is a port
			out = append(out, port)
		}
	}
	return out
}

// answering finds the published port of TCP that answers on some node.
func answering(ports []Port, port uint16) (Port, error) {
	why := "no service publishes it"
	for _, p := range ports {
		switch {
		case p.Protocol != "tcp" || p.Published != int(port):
		case len(p.Nodes) > 0:
			return p, nil
		default:
			why = fmt.Sprintf("service %s publishes it, and it answers on no node: %s", p.Service, p.Note)
		}
	}
	next := []string{fmt.Sprintf("whatever listens there: dcalab forward %d --node NODE", port)}
	if others := forwardable(ports); len(others) > 0 {
		next = append([]string{fmt.Sprintf("those that are: %d", others)}, next...)
	}
	return Port{}, unpublished(fmt.Sprintf("forward port %d", port), why, next...)
}

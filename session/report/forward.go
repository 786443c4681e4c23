package report

import (
	"fmt"
	"slices"

	"github.com/dcalab/dcalab/trouble"
)

// Forwardable are the ports of TCP that answer on some node, each once.
func Forwardable(ports []Port) []uint16 {
	var out []uint16
	for _, p := range ports {
		if port := uint16(p.Published); p.Protocol == "tcp" && len(p.Nodes) > 0 && port > 0 && !slices.Contains(out, port) { //nolint:gosec // it is a port
			out = append(out, port)
		}
	}
	return out
}

// Answering finds the published port of TCP that answers on some node.
//
// Errors: trouble.Error "port-unpublished".
func Answering(ports []Port, port uint16) (Port, error) {
	e := &trouble.Error{
		ID: "port-unpublished", What: fmt.Sprintf("forward port %d", port), Why: "no service publishes it", Exit: trouble.ExitRefused,
		Next: []string{fmt.Sprintf("whatever listens there: dcalab forward %d --node NODE", port)},
	}
	for _, p := range ports {
		switch {
		case p.Protocol != "tcp" || p.Published != int(port):
		case len(p.Nodes) > 0:
			return p, nil
		default:
			e.Why = fmt.Sprintf("service %s publishes it, and it answers on no node: %s", p.Service, p.Note)
		}
	}
	if others := Forwardable(ports); len(others) > 0 {
		e.Next = append([]string{fmt.Sprintf("those that are: %d", others)}, e.Next...)
	}
	return Port{}, e
}

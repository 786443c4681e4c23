package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

// portReport is a port that a service publishes, and where it answers.
type portReport struct {
	Service  string `json:"service" yaml:"service"`
	Protocol string `json:"protocol" yaml:"protocol"`
	// Published is the port on the nodes, 0 where the engines pick one and no
	// task runs; Target the one in the container.
	Published int `json:"published" yaml:"published"`
	Target    int `json:"target" yaml:"target"`
	// Mode is ingress or host.
	Mode string `json:"mode" yaml:"mode"`
	// Nodes on which the port answers, by name, and how it is reached there from
	// the host: http or https where the protocol is tcp, by a guess.
	Nodes []string `json:"nodes" yaml:"nodes"`
	URLs  []string `json:"urls" yaml:"urls"`
	// Note says why it answers nowhere; empty where it does.
	Note string `json:"note" yaml:"note"`
}

// ports asks a manager for the ports that services publish. Where none can be
// asked there are none; why is in the nodes' own lines.
func (s *session) ports(ctx context.Context, v swarm.View, targets []swarm.Target) []portReport {
	if !v.Quorum.HasQuorum {
		return nil
	}
	for i, n := range v.Nodes {
		if client, ok := targets[i].Engine.(*engine.Client); ok && n.Control && n.State == swarm.StateMember {
			if ports, err := client.Ports(ctx); err == nil {
				return portReports(ports, v, s.meshMissing(ctx))
			}
		}
	}
	return nil
}

// meshMissing says why the routing mesh does not work here; empty where it may.
func (s *session) meshMissing(ctx context.Context) string {
	if limited, ok := s.Driver().(machine.Limited); ok {
		for _, l := range limited.Limits(ctx) {
			if strings.Contains(l, "ip_vs") {
				return "this kernel has no ip_vs, so the routing mesh does not answer; publish with mode=host"
			}
		}
	}
	return ""
}

// portReports finds out where each port answers: one of host mode on the nodes
// that run a task, one on the routing mesh on every node of the swarm.
func portReports(ports []engine.Port, v swarm.View, meshMissing string) []portReport {
	var out []portReport
	for _, p := range ports {
		r := portReport{
			Service: p.Service, Protocol: p.Protocol, Published: p.Published, Target: p.Target,
			Mode: "ingress", Nodes: []string{}, URLs: []string{},
		}
		switch {
		case p.Host && len(p.NodeIDs) == 0:
			r.Note = "no task runs"
		case !p.Host:
			r.Note = meshMissing
		}
		if p.Host {
			r.Mode = "host"
		}
		for _, n := range v.Nodes {
			ready := n.State == swarm.StateMember && n.Status == engine.NodeReady
			if !ready || r.Note != "" || p.Host && !slices.Contains(p.NodeIDs, n.NodeID) {
				continue
			}
			r.Nodes = append(r.Nodes, n.Name)
			r.URLs = append(r.URLs, fmt.Sprintf("%s://%s:%d", scheme(p), n.Addr, p.Published))
		}
		if r.Note == "" && len(r.Nodes) == 0 {
			r.Note = "no node that answers has it"
		}
		out = append(out, r)
	}
	return out
}

// scheme guesses what is spoken at a port.
func scheme(p engine.Port) string {
	switch {
	case p.Protocol != "tcp":
		return p.Protocol
	case p.Target == 443 || p.Target == 8443:
		return "https"
	}
	return "http"
}

// writePorts shows the ports as a table of their own.
func writePorts(w io.Writer, ports []portReport, color bool) error {
	if len(ports) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	rows := make([][]string, len(ports))
	for i, p := range ports {
		port := fmt.Sprintf("%d → %d/%s", p.Published, p.Target, p.Protocol)
		if p.Published == 0 {
			port = fmt.Sprintf("%d/%s", p.Target, p.Protocol)
		}
		at := strings.Join(p.URLs, " ")
		if p.Note != "" {
			at = "- (" + p.Note + ")"
		}
		rows[i] = []string{p.Service, port, p.Mode, at}
	}
	return ui.Table(w, []string{"SERVICE", "PORT", "MODE", "REACHED AT"}, rows, color)
}

package report

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
)

// Service is a service of the swarm.
type Service struct {
	Name string `json:"name" yaml:"name"`
	// Mode is replicated, global, replicated-job or global-job.
	Mode string `json:"mode" yaml:"mode"`
	// Running tasks, and how many there should be.
	Running int    `json:"running" yaml:"running"`
	Desired int    `json:"desired" yaml:"desired"`
	Image   string `json:"image" yaml:"image"`
	// Ports as docker service ls shows them: *:8080->80/tcp.
	Ports []string `json:"ports" yaml:"ports"`
}

// Port is a port that a service publishes, and where it answers.
type Port struct {
	Service  string `json:"service" yaml:"service"`
	Protocol string `json:"protocol" yaml:"protocol"`
	// Published is the port on the nodes, 0 where the engines pick one and no
	// task runs; Target the one in the container.
	Published int `json:"published" yaml:"published"`
	Target    int `json:"target" yaml:"target"`
	// Mode is ingress or host.
	Mode string `json:"mode" yaml:"mode"`
	// Nodes on which the port answers, by name, and how it is reached from the host:
	// on its own loopback while dcalab forward runs, and on the nodes' addresses. It
	// is http or https where the protocol is tcp, by a guess.
	Nodes []string `json:"nodes" yaml:"nodes"`
	URLs  []string `json:"urls" yaml:"urls"`
	// Note says why it is reached nowhere; empty where it is.
	Note string `json:"note" yaml:"note"`
}

// Cells are what a table shows of a service: name, mode, replicas, image, ports.
func (s Service) Cells() []string {
	return []string{s.Name, s.Mode, fmt.Sprintf("%d/%d", s.Running, s.Desired), s.Image, dash(strings.Join(s.Ports, ", "))}
}

// Cells are what a table shows of a port: service, port, mode, where it is reached.
func (p Port) Cells() []string {
	port := fmt.Sprintf("%d → %d/%s", p.Published, p.Target, p.Protocol)
	if p.Published == 0 {
		port = fmt.Sprintf("%d/%s", p.Target, p.Protocol)
	}
	at := strings.Join(p.URLs, " ")
	if p.Note != "" {
		at = "- (" + p.Note + ")"
	}
	return []string{p.Service, port, p.Mode, at}
}

// addServices asks a manager for the services and the ports that they publish.
// Where none can be asked there are none; why is in the nodes' own lines.
func (r *Status) addServices(ctx context.Context, s *session.Session, engines *session.Engines) {
	if !r.View.Quorum.HasQuorum {
		return
	}
	for _, n := range r.View.Nodes {
		client := engines.Client(n.Name)
		if client == nil || !n.Control || n.State != swarm.StateMember {
			continue
		}
		services, err := client.Services.List(ctx)
		if err != nil {
			continue
		}
		var ports []engine.Port
		for _, one := range services {
			r.Services = append(r.Services, serviceOf(one))
			ports = append(ports, one.Ports...)
		}
		if len(ports) > 0 {
			r.Ports = append(r.Ports, reach{
				meshMissing: MeshMissing(ctx, s), private: s.Driver().Traits().Private, forwarded: s.State().Forwarded(),
			}.of(ports, r.View)...)
		}
		return
	}
}

func serviceOf(s engine.Service) Service {
	out := Service{Name: s.Name, Mode: s.Mode, Running: s.Running, Desired: s.Desired, Ports: []string{}}
	out.Image, _, _ = strings.Cut(s.Image, "@")
	for _, p := range s.Ports {
		line := fmt.Sprintf("*:%d->%d/%s", p.Published, p.Target, p.Protocol)
		if p.Published == 0 {
			line = fmt.Sprintf("%d/%s", p.Target, p.Protocol)
		}
		out.Ports = append(out.Ports, line)
	}
	return out
}

// MeshMissing says why the routing mesh does not work here; empty where it may.
func MeshMissing(ctx context.Context, s *session.Session) string {
	if limited, ok := s.Driver().(machine.Limited); ok {
		for _, l := range limited.Limits(ctx) {
			if strings.Contains(l, "ip_vs") {
				return "this kernel has no ip_vs, so the routing mesh does not answer; publish with mode=host"
			}
		}
	}
	return ""
}

// reach is what decides where a port is reached, beside the swarm.
type reach struct {
	meshMissing string // why the routing mesh does not work; empty where it may
	private     bool   // nodes' addresses are not reached from this machine
	forwarded   []lab.Forwarded
}

// of finds out where each port answers: one of host mode on the nodes that run a
// task, one on the routing mesh on every node of the swarm.
func (h reach) of(ports []engine.Port, v swarm.View) []Port {
	var out []Port
	for _, p := range ports {
		r := Port{
			Service: p.Service, Protocol: p.Protocol, Published: p.Published, Target: p.Target,
			Mode: "ingress", Nodes: []string{}, URLs: []string{},
		}
		switch {
		case p.Host && len(p.NodeIDs) == 0:
			r.Note = "no task runs"
		case !p.Host:
			r.Note = h.meshMissing
		}
		if p.Host {
			r.Mode = "host"
		}
		for _, f := range h.forwarded {
			if f.Port == p.Published && p.Protocol == "tcp" {
				r.URLs = append(r.URLs, scheme(p)+"://"+f.Local)
			}
		}
		for _, n := range v.Nodes {
			ready := n.State == swarm.StateMember && n.Status == engine.NodeReady
			if !ready || r.Note != "" || p.Host && !slices.Contains(p.NodeIDs, n.NodeID) {
				continue
			}
			r.Nodes = append(r.Nodes, n.Name)
			if !h.private {
				r.URLs = append(r.URLs, fmt.Sprintf("%s://%s:%d", scheme(p), n.Addr, p.Published))
			}
		}
		switch {
		case r.Note != "":
			r.URLs = []string{}
		case len(r.Nodes) == 0:
			r.Note, r.URLs = "no node that answers has it", []string{}
		case len(r.URLs) == 0 && p.Protocol == "tcp":
			r.Note = fmt.Sprintf("not from this machine; dcalab forward %d makes it so", p.Published)
		case len(r.URLs) == 0:
			r.Note = "not from this machine"
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

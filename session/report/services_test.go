package report

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

func TestWhereAPortAnswers(t *testing.T) {
	node := func(name string, last byte, change func(*swarm.NodeView)) swarm.NodeView {
		n := swarm.NodeView{Name: name, NodeID: "id-" + name, Addr: netip.AddrFrom4([4]byte{10, 0, 0, last}), State: swarm.StateMember, Status: engine.NodeReady}
		if change != nil {
			change(&n)
		}
		return n
	}
	v := swarm.View{Nodes: []swarm.NodeView{
		node("a", 1, nil), node("b", 2, nil),
		node("halted", 3, func(n *swarm.NodeView) { n.State = swarm.StateUnreachable }),
		node("down", 4, func(n *swarm.NodeView) { n.Status = engine.NodeDown }),
		node("foreign", 5, func(n *swarm.NodeView) { n.State = swarm.StateForeign }),
	}}
	mesh := engine.Port{Service: "web", Protocol: "tcp", Target: 80, Published: 8080}
	host := mesh
	host.Host, host.NodeIDs = true, []string{"id-b", "id-halted", "id-elsewhere"}
	for name, c := range map[string]struct {
		port    engine.Port
		missing string
		urls    []string
		note    string
	}{
		"on the mesh: every node that stands": {mesh, "", []string{"http://10.0.0.1:8080", "http://10.0.0.2:8080"}, ""},
		"on a mesh that does not work here":   {mesh, "no ip_vs", []string{}, "no ip_vs"},
		"on hosts: where a task runs":         {host, "no ip_vs", []string{"http://10.0.0.2:8080"}, ""},
		"on hosts: no task":                   {engine.Port{Host: true, Protocol: "tcp"}, "", []string{}, "no task runs"},
		"on hosts: a node that is gone":       {engine.Port{Host: true, NodeIDs: []string{"id-halted"}}, "", []string{}, "no node that answers has it"},
		"TLS, by its port":                    {engine.Port{Protocol: "tcp", Target: 443, Published: 9000}, "", []string{"https://10.0.0.1:9000", "https://10.0.0.2:9000"}, ""},
		"UDP":                                 {engine.Port{Protocol: "udp", Target: 53, Published: 53}, "", []string{"udp://10.0.0.1:53", "udp://10.0.0.2:53"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := reach{meshMissing: c.missing}.of([]engine.Port{c.port}, v)[0]
			if !reflect.DeepEqual(got.URLs, c.urls) || got.Note != c.note {
				t.Errorf("%q, %q; want %q, %q", got.URLs, got.Note, c.urls, c.note)
			}
		})
	}
}

// Where nodes are reached in their own way only, a port is reached where it is
// forwarded.
func TestForwardedPorts(t *testing.T) {
	v := swarm.View{Nodes: []swarm.NodeView{
		{Name: "a", Addr: netip.MustParseAddr("10.0.0.1"), NodeID: "id-a", State: swarm.StateMember, Status: engine.NodeReady},
	}}
	forwarded := []lab.Forwarded{{Local: "127.0.0.1:9090", Port: 8080}}
	tcp := engine.Port{Service: "web", Protocol: "tcp", Target: 80, Published: 8080, Host: true, NodeIDs: []string{"id-a"}}
	udp, idle := tcp, tcp
	udp.Protocol, idle.NodeIDs = "udp", nil
	for name, c := range map[string]struct {
		reach reach
		port  engine.Port
		urls  []string
		note  string
	}{
		"private, not forwarded":    {reach{private: true}, tcp, []string{}, "not from this machine; dcalab forward 8080 makes it so"},
		"private, forwarded":        {reach{private: true, forwarded: forwarded}, tcp, []string{"http://127.0.0.1:9090"}, ""},
		"private, UDP":              {reach{private: true, forwarded: forwarded}, udp, []string{}, "not from this machine"},
		"forwarded, without a task": {reach{forwarded: forwarded}, idle, []string{}, "no task runs"},
		"reached in two ways":       {reach{forwarded: forwarded}, tcp, []string{"http://127.0.0.1:9090", "http://10.0.0.1:8080"}, ""},
		"another port is forwarded": {reach{forwarded: []lab.Forwarded{{Local: "127.0.0.1:1", Port: 1}}}, tcp, []string{"http://10.0.0.1:8080"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.reach.of([]engine.Port{c.port}, v)[0]
			if !reflect.DeepEqual(got.URLs, c.urls) || got.Note != c.note {
				t.Errorf("%q, %q; want %q, %q", got.URLs, got.Note, c.urls, c.note)
			}
		})
	}
	ports := reach{private: true}.of([]engine.Port{tcp, udp, idle}, v)
	l := &lab.Lab{Nodes: []lab.Node{{Name: "a"}}}
	status := func(ports []Port) Status {
		return Status{Ports: ports, View: swarm.View{Quorum: swarm.Quorum{HasQuorum: true}}}
	}
	for _, named := range [][]uint16{nil, {8080}} {
		got, err := status(ports).Targets(l, named...)
		if want := []Target{{8080, "web", l.Nodes}}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	for name, c := range map[string]struct {
		status Status
		lab    *lab.Lab
		named  []uint16
	}{
		"of no service":            {status(ports), l, []uint16{80}},
		"without a task":           {status(ports[2:]), l, []uint16{8080}},
		"none at all":              {status(ports[1:]), l, nil},
		"on a node that is gone":   {status(ports), &lab.Lab{}, nil},
		"nobody knows (no quorum)": {Status{Ports: ports}, l, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var e *trouble.Error
			if got, err := c.status.Targets(c.lab, c.named...); !errors.As(err, &e) || e.ID != "port-unpublished" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

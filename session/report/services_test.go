package report

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/swarm"
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
			got := portsOf([]engine.Port{c.port}, v, c.missing)[0]
			if !reflect.DeepEqual(got.URLs, c.urls) || got.Note != c.note {
				t.Errorf("%q, %q; want %q, %q", got.URLs, got.Note, c.urls, c.note)
			}
		})
	}
}

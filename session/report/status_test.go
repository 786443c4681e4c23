package report

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
)

// What keeps a swarm from being what labs.yaml wants.
func TestUnmet(t *testing.T) {
	l := &lab.Lab{Name: "dca", Nodes: []lab.Node{
		{Name: "m1", Role: lab.RoleManager, Availability: lab.AvailabilityActive, IP: netip.MustParseAddr("10.0.0.1")},
		{Name: "w1", Role: lab.RoleWorker, Availability: lab.AvailabilityActive, IP: netip.MustParseAddr("10.0.0.2"), Labels: map[string]string{"zone": "east"}},
	}}
	for name, c := range map[string]struct {
		change func(r *Status)
		only   []string
		want   string
	}{
		"all is as wanted":       {func(*Status) {}, nil, ""},
		"a machine is halted":    {func(r *Status) { r.Nodes[1].Machine = machine.StatusHalted }, nil, "w1: its machine is halted"},
		"of others":              {func(r *Status) { r.Nodes[1].Machine = machine.StatusHalted }, []string{"m1"}, ""},
		"an engine is down":      {func(r *Status) { r.Nodes[1].Swarm.State = swarm.StateEngineDown }, nil, "w1: its engine does not answer"},
		"a node is Down":         {func(r *Status) { r.View.Nodes[1].Status = engine.NodeDown }, nil, "w1: its status is down"},
		"no leader":              {func(r *Status) { r.View.Quorum.HasQuorum = false }, []string{"m1"}, "m1: the swarm has no leader yet"},
		"a node is drained":      {func(r *Status) { r.View.Nodes[1].Availability = engine.AvailabilityDrain }, nil, "w1: "},
		"a label was taken away": {func(r *Status) { r.View.Nodes[1].Labels = nil }, nil, "w1: "},
		"a label, and others":    {func(r *Status) { r.View.Nodes[1].Labels = nil }, []string{"m1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := swarm.View{Cluster: "c", Swarms: []swarm.SwarmMembers{{Cluster: "c"}}, Quorum: swarm.QuorumOf(1, 1), Leader: "m1"}
			r := Status{}
			for _, n := range l.Nodes {
				node := swarm.NodeView{
					Name: n.Name, Addr: n.IP, Want: n.Role, NodeID: "id-" + n.Name, Cluster: "c", State: swarm.StateMember, Listed: true,
					Role: n.Role, Status: engine.NodeReady, Availability: engine.AvailabilityActive, Labels: n.Labels,
				}
				if n.Role == lab.RoleManager {
					node.Control, node.Leader, node.Reachability = true, true, engine.ReachabilityReachable
				}
				v.Nodes = append(v.Nodes, node)
				r.Nodes = append(r.Nodes, Node{Name: n.Name, Machine: machine.StatusRunning, Swarm: Membership{State: swarm.StateMember}})
			}
			r.View = v
			c.change(&r)
			r.only(c.only)
			got := strings.Join(r.Unmet(l), "; ")
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestServicesAsTheyAreShown(t *testing.T) {
	s := serviceOf(engine.Service{Name: "web", Mode: "replicated", Running: 1, Desired: 3, Image: "nginx:1@sha256:abc", Ports: []engine.Port{
		{Published: 8080, Target: 80, Protocol: "tcp"}, {Target: 53, Protocol: "udp", Host: true},
	}})
	if want := []string{"web", "replicated", "1/3", "nginx:1", "*:8080->80/tcp, 53/udp"}; !slices.Equal(s.Cells(), want) {
		t.Errorf("%q, want %q", s.Cells(), want)
	}
}

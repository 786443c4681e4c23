package doctor

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/swarm"
)

func TestWhyTheSwarmMissesANode(t *testing.T) {
	address := netip.MustParseAddr("10.20.20.110")
	manager := netip.MustParseAddrPort("10.20.20.100:2377")
	nic := func(up bool, a string) []provision.Interface {
		return []provision.Interface{{Name: "lo", Up: true, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, {Name: "enp0s8", Up: up, Addresses: []netip.Addr{netip.MustParseAddr(a)}}}
	}
	for name, c := range map[string]struct {
		net      provision.Network
		why, fix string
	}{
		"interface":       {provision.Network{Interfaces: nic(false, "10.20.20.110")}, "its interface enp0s8 (10.20.20.110) is down", "dcalab ssh node01 -- sudo ip link set enp0s8 up"},
		"another address": {provision.Network{Interfaces: nic(true, "10.20.20.7")}, "none of its interfaces has the address 10.20.20.110; it has 10.20.20.7 (enp0s8)", "dcalab halt node01"},
		"port":            {provision.Network{Interfaces: nic(true, "10.20.20.110"), Reaches: map[netip.AddrPort]bool{manager: false}}, "TCP port 2377 of a manager within 2 s: 10.20.20.100:2377", "dcalab ssh node01 -- ping"},
		"clock":           {provision.Network{Interfaces: nic(true, "10.20.20.110"), Reaches: map[netip.AddrPort]bool{manager: true}, Clock: -2 * time.Hour}, "its clock is 2h0m0s off", "date -s"},
		"nothing":         {provision.Network{Interfaces: nic(true, "10.20.20.110"), Reaches: map[netip.AddrPort]bool{manager: true}}, "it reaches the managers", "look again"},
	} {
		t.Run(name, func(t *testing.T) {
			n := swarm.NodeView{Name: "node01", Addr: address, State: swarm.StateMember, Listed: true, Role: lab.RoleWorker, Status: engine.NodeDown}
			v := swarm.View{Nodes: []swarm.NodeView{n}}
			if !missed(v, n) {
				t.Fatal("it is not missed")
			}
			a := explainCutOff(v, n, c.net, nil)
			if a.ID != "node-cut-off" || !strings.Contains(a.Cause, c.why) || !strings.Contains(strings.Join(a.Fix, "\n"), c.fix) {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestAManagerThatIsCutOffIsNamed(t *testing.T) {
	m := func(name string, r engine.Reachability) swarm.NodeView {
		return swarm.NodeView{Name: name, State: swarm.StateMember, Listed: true, Role: lab.RoleManager, Status: engine.NodeReady, Reachability: r}
	}
	v := swarm.View{Nodes: []swarm.NodeView{m("m1", engine.ReachabilityReachable), m("m2", engine.ReachabilityReachable), m("m3", engine.ReachabilityUnreachable)}}
	if missed(v, v.Nodes[0]) || !missed(v, v.Nodes[2]) {
		t.Error("who is missed?")
	}
	a := explainCutOff(v, v.Nodes[2], provision.Network{}, nil)
	if a.ID != "manager-cut-off" || !strings.HasPrefix(a.Cause, "m3 is cut off: the other managers (m1, m2) do not reach it") {
		t.Errorf("got %+v", a)
	}
}

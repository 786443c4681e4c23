package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
)

const (
	// networkTimeout is for one node to tell of its network.
	networkTimeout = 10 * time.Second
	// raftPort is where managers listen.
	raftPort = 2377
	// clockSkew is from when on a clock is told: certificates are backdated by
	// an hour, and a minute does no harm.
	clockSkew = 5 * time.Minute

	// The problems that it finds, by their ID.
	nodeCutOff    = "node-cut-off"
	managerCutOff = "manager-cut-off"
)

// missed tells whether the swarm misses a node whose engine answers.
func missed(v swarm.View, n swarm.NodeView) bool {
	return swarm.Answers(n.Name).Check(v).Holds && !swarm.Connected(n.Name).Check(v).Holds
}

// cutOff asks the nodes that the swarm misses, although their engines answer,
// what keeps them from it: over SSH, one question each. Without a leader there
// is no list to tell; then the managers are asked whether they reach each other.
func cutOff(ctx context.Context, v swarm.View, conns *session.Pool) []swarm.Problem {
	leader := swarm.HasLeader().Check(v).Holds
	ask := slices.DeleteFunc(slices.Clone(v.Nodes), func(n swarm.NodeView) bool { return !leader || !missed(v, n) })
	election := v.Election()
	if election {
		ask = v.Voters()
	}
	found := make([]provision.Network, len(ask))
	failed := make([]error, len(ask))
	var all sync.WaitGroup
	for i, n := range ask {
		conn := conns.Held(n.Name)
		if conn == nil {
			failed[i] = fmt.Errorf("%s is not connected", n.Name)
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, networkTimeout)
			defer cancel()
			found[i], failed[i] = provision.ProbeNetwork(ctx, conn, managersBeside(v, n))
		})
	}
	all.Wait()
	var out []swarm.Problem
	for i, n := range ask {
		switch {
		case election && failed[i] == nil:
			if p, ok := explainVoter(v, n, found[i]); ok {
				out = append(out, p)
			}
		case !election:
			out = append(out, explainCutOff(v, n, found[i], failed[i]))
		}
	}
	return out
}

// managersBeside are where the other managers of the swarm listen.
func managersBeside(v swarm.View, n swarm.NodeView) []netip.AddrPort {
	var out []netip.AddrPort
	for _, m := range v.Nodes {
		if addr, err := netip.ParseAddr(addressOf(v, m)); err == nil && m.Name != n.Name && m.Role == lab.RoleManager && m.State != swarm.StateUnreachable {
			out = append(out, netip.AddrPortFrom(addr, raftPort))
		}
	}
	return out
}

// addressOf is the address that a node has in the swarm, else in labs.yaml.
func addressOf(v swarm.View, n swarm.NodeView) string {
	if a := v.Engaged(n.Name); a != "" {
		return a
	}
	return n.Addr.String()
}

// explainCutOff says why the swarm misses a node, as far as its network tells.
func explainCutOff(v swarm.View, n swarm.NodeView, net provision.Network, err error) swarm.Problem {
	p := swarm.Problem{ID: nodeCutOff, Cause: n.Name + " is Down for the swarm, although its engine answers"}
	if n.Role == lab.RoleManager && n.Reachability == engine.ReachabilityUnreachable {
		var others []string
		for _, m := range v.Nodes {
			if m.Name != n.Name && m.Role == lab.RoleManager && m.Reachability == engine.ReachabilityReachable {
				others = append(others, m.Name)
			}
		}
		p.ID = managerCutOff
		p.Cause = fmt.Sprintf("%s is cut off: the other managers (%s) do not reach it, although its engine answers", n.Name, strings.Join(others, ", "))
	}
	if err != nil {
		p.Cause += "; it did not tell of its network"
		p.Fix = []string{"dcalab logs " + n.Name}
		return p
	}
	why, fix := networkTrouble(addressOf(v, n), n, net)
	p.Cause += ": " + why
	p.Fix = fix
	return p
}

// explainVoter tells of a manager that does not reach enough others to elect a
// leader with: then the election does not end.
func explainVoter(v swarm.View, n swarm.NodeView, net provision.Network) (swarm.Problem, bool) {
	reached := 1
	for _, ok := range net.Reaches {
		if ok {
			reached++
		}
	}
	if reached >= v.Quorum.Majority || len(net.Reaches) == 0 {
		return swarm.Problem{}, false
	}
	why, fix := networkTrouble(addressOf(v, n), n, net)
	return swarm.Problem{ID: managerCutOff, Cause: n.Name + " reaches too few managers to elect a leader with: " + why, Fix: fix}, true
}

// networkTrouble finds in a node's own network what keeps it from its swarm:
// the first that is wrong, from the bottom up.
func networkTrouble(address string, n swarm.NodeView, net provision.Network) (why string, fix []string) {
	on := "dcalab ssh " + n.Name + " -- "
	has := slices.IndexFunc(net.Interfaces, func(i provision.Interface) bool {
		return slices.ContainsFunc(i.Addresses, func(a netip.Addr) bool { return a.String() == address })
	})
	if has < 0 {
		var there []string
		for _, i := range net.Interfaces {
			for _, a := range i.Addresses {
				if !a.IsLoopback() && a.Is4() {
					there = append(there, a.String()+" ("+i.Name+")")
				}
			}
		}
		return fmt.Sprintf("none of its interfaces has the address %s; it has %s", address, strings.Join(there, ", ")),
			[]string{"give it back: dcalab halt " + n.Name + ", then dcalab start " + n.Name}
	}
	if i := net.Interfaces[has]; !i.Up {
		return fmt.Sprintf("its interface %s (%s) is down", i.Name, address), []string{on + "sudo ip link set " + i.Name + " up"}
	}
	var closed []string
	for p, ok := range net.Reaches {
		if !ok {
			closed = append(closed, p.String())
		}
	}
	slices.Sort(closed)
	if len(closed) > 0 {
		host, _, _ := strings.Cut(closed[0], ":")
		return "it cannot open TCP port 2377 of a manager within 2 s: " + strings.Join(closed, ", "),
			[]string{on + "ping -c 1 " + host + "    # and in the other direction", on + "sudo iptables -S    # a firewall: on both sides"}
	}
	if skew := net.Clock; skew.Abs() >= clockSkew {
		return fmt.Sprintf("its clock is %s off, and certificates may not be valid there", skew.Abs()), []string{on + "sudo date -s @$(date +%s)", on + "sudo service docker restart"}
	}
	if n.Err != nil {
		return strings.TrimPrefix(n.Err.Error(), n.Name+": "), []string{"dcalab logs " + n.Name, on + "sudo service docker restart"}
	}
	return "it reaches the managers, so its engine has not come back yet, or packets to it are dropped",
		[]string{"look again in 20 s: dcalab status", "dcalab logs " + n.Name, on + "sudo service docker restart"}
}

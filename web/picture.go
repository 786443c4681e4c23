package web

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/timeline"
)

// picture is everything that a page shows, each thing by itself, by a key such as
// "task/ID": so what has changed is told by what differs.
type picture map[string]json.RawMessage

// swarmState is what is shown of the swarm as a whole.
type swarmState struct {
	Leader  string    `json:"leader,omitempty"`
	Term    uint64    `json:"term"`
	Elected time.Time `json:"elected,omitzero"`
	// Electing is the term of an election that is under way, since Lost.
	Electing uint64    `json:"electing,omitempty"`
	Lost     time.Time `json:"lost,omitzero"`
	// Managers that there are, how many of them are a majority, how many the best
	// connected one reaches, with itself, and how many more may fail.
	Managers  int `json:"managers"`
	Majority  int `json:"majority"`
	Connected int `json:"connected"`
	Tolerates int `json:"tolerates"`
	timeline.Settings
}

// service is what is shown of one, with where its ports answer.
type service struct {
	timeline.Service
	Ports []port `json:"ports,omitempty"`
}

// port is one that a service publishes, and the nodes on which it answers.
type port struct {
	raft.Port
	Nodes []string `json:"nodes"`
}

// node is what is shown of one, with what can be typed for it.
type node struct {
	timeline.Node
	Commands []string `json:"commands"`
}

// broken is what is shown of a fault, with what heals it.
type broken struct {
	timeline.Fault
	Heal string `json:"heal"`
}

// labState is the lab, with what makes it, and its swarm.
type labState struct {
	Lab
	Up   string `json:"up"`
	Form string `json:"form"`
}

// manager is a manager's log, how far it is behind, and what it believes.
type manager struct {
	timeline.Raft
	Behind uint64 `json:"behind"`
	Leader string `json:"leader,omitempty"`
}

func (p picture) set(key string, v any) {
	p[key], _ = json.Marshal(v) // nothing in it can fail
}

// draw gives the picture of a lab.
func draw(l Lab, now *timeline.Present, hint func(string) string) picture {
	p := picture{}
	p.set("lab", labState{l, hint("dcalab up --swarm"), hint("dcalab swarm bootstrap")})
	p.set("swarm", swarmOf(now))
	for name, n := range now.Nodes {
		p.set("node/"+name, node{n, commands(name, n, hint)})
	}
	for name, b := range now.Beliefs() {
		p.set("manager/"+name, manager{now.Managers[name], now.Behind(name), b.Leader})
	}
	for id, s := range now.Services {
		p.set("service/"+id, service{s, answers(l, now, id)})
	}
	for id, t := range now.Tasks {
		p.set("task/"+id, t)
	}
	for id, f := range now.Faults {
		p.set("fault/"+id, broken{f, hint("dcalab heal " + id)})
	}
	return p
}

func swarmOf(now *timeline.Present) swarmState {
	s := swarmState{Leader: now.Leader, Term: now.Term, Elected: now.Elected, Settings: now.Settings}
	if term, since, electing := now.Electing(); electing {
		s.Leader, s.Electing, s.Lost = "", term, since
	}
	managers := map[string]bool{}
	for name := range now.Managers {
		managers[name] = true
	}
	for name, n := range now.Nodes {
		if n.Role == "manager" {
			managers[name] = true
		}
	}
	s.Managers, s.Majority = len(managers), swarm.Majority(len(managers))
	s.Connected = connected(now, slices.Sorted(maps.Keys(managers)))
	s.Tolerates = max(0, s.Connected-s.Majority)
	return s
}

// connected counts the managers that the best connected one exchanges messages with, and
// itself, as far as it is known.
func connected(now *timeline.Present, managers []string) int {
	cut := map[[2]string]bool{}
	for _, f := range now.Faults {
		for _, way := range f.Cuts {
			cut[way], cut[[2]string{way[1], way[0]}] = true, true
		}
	}
	answers := func(name string) bool {
		n := now.Nodes[name]
		return n.Away.IsZero() && !n.Locked && n.Machine != machine.StatusHalted && n.Machine != machine.StatusAbsent
	}
	most := 0
	for _, m := range managers {
		reached := 0
		for _, other := range managers {
			if answers(m) && answers(other) && !cut[[2]string{m, other}] {
				reached++
			}
		}
		most = max(most, reached)
	}
	return most
}

// answers tells on which nodes the ports of a service answer: one on the routing mesh on all
// that are in the swarm, one of the hosts where a task runs.
func answers(l Lab, now *timeline.Present, id string) []port {
	runs := map[string]bool{}
	for _, t := range now.Tasks {
		if t.Service == id && t.State == "running" {
			runs[t.Node] = true
		}
	}
	var out []port
	for _, p := range now.Services[id].Ports {
		one := port{Port: p, Nodes: []string{}}
		for _, name := range slices.Sorted(maps.Keys(now.Nodes)) {
			n := now.Nodes[name]
			if n.ID != "" && n.State != "down" && !n.Locked && n.Away.IsZero() && (p.Host && runs[name] || !p.Host && len(runs) > 0 && l.NoMesh == "") {
				one.Nodes = append(one.Nodes, name)
			}
		}
		out = append(out, one)
	}
	return out
}

// commands are what one would type for a node, as it is.
func commands(name string, n timeline.Node, hint func(string) string) []string {
	var out []string
	add := func(line string) { out = append(out, hint("dcalab "+line+" "+name)) }
	switch n.Machine {
	case machine.StatusHalted:
		add("start")
		return out
	case machine.StatusAbsent:
		add("up")
		return out
	case machine.StatusRunning, machine.StatusUnknown:
	}
	if n.Locked {
		out = append(out, hint("dcalab swarm unlock"))
	}
	add("ssh")
	add("halt")
	add("break isolate")
	switch n.Role {
	case "manager":
		add("demote")
	case "worker":
		add("promote")
	}
	switch {
	case n.Availability == "active":
		add("drain")
	case n.Availability != "":
		add("activate")
	}
	return out
}

// minus tells what of p is other than before, and what is gone.
func (p picture) minus(before picture) picture {
	changed := picture{}
	for key, value := range p {
		if string(before[key]) != string(value) {
			changed[key] = value
		}
	}
	for key := range before {
		if _, still := p[key]; !still {
			changed[key] = json.RawMessage("null")
		}
	}
	return changed
}

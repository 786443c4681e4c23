package timeline

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm/raft"
)

// Node is a node of the lab, and what the swarm's list says of it.
type Node struct {
	Machine machine.Status `json:"machine,omitempty"`
	Engine  engine.Life    `json:"engine,omitempty"`
	// Locked: its manager waits for the unlock key.
	Locked bool `json:"locked,omitempty"`
	// Away is since when its machine or its engine does not run; zero where both do.
	Away time.Time `json:"away,omitzero"`
	// Certificate is when its swarm certificate ends; zero where it was not read.
	Certificate time.Time `json:"certificate,omitzero"`
	// ID in the swarm; empty where nothing was told of it. What follows is as in
	// raft.Object.
	ID           string `json:"id,omitempty"`
	Role         string `json:"role,omitempty"`
	Desired      string `json:"desired,omitempty"`
	Availability string `json:"availability,omitempty"`
	State        string `json:"state,omitempty"`
	Message      string `json:"message,omitempty"`
}

// Service is a service of the swarm.
type Service struct {
	Name     string      `json:"name"`
	Replicas *uint64     `json:"replicas,omitempty"`
	Update   string      `json:"update,omitempty"`
	Message  string      `json:"message,omitempty"`
	Ports    []raft.Port `json:"ports,omitempty"`
}

// Task is a task of the swarm.
type Task struct {
	Name    string `json:"name"`
	Service string `json:"service"` // by id
	// Node is the lab's node that it is on, or the id of one in the swarm.
	Node    string `json:"node,omitempty"`
	State   string `json:"state"`
	Desired string `json:"desired"`
	Message string `json:"message,omitempty"`
}

// Fault is one that there is.
type Fault struct {
	Words string      `json:"words"`
	Since time.Time   `json:"since"`
	Until time.Time   `json:"until,omitzero"`
	Nodes []string    `json:"nodes,omitempty"`
	Cuts  [][2]string `json:"cuts,omitempty"`
}

// Belief is whom a manager takes for the leader, by the term that its log is in.
type Belief struct {
	Term uint64 `json:"term"`
	// Leader is who won that term; empty where nobody has, as far as is known.
	Leader string `json:"leader,omitempty"`
	// Away is since when it does not answer, as a Node has it.
	Away time.Time `json:"away,omitzero"`
}

// Beliefs are those of the managers, by node.
func (p *Present) Beliefs() map[string]Belief {
	out := map[string]Belief{}
	for name, r := range p.Managers {
		out[name] = Belief{Term: r.Term, Leader: p.Won[r.Term], Away: p.Nodes[name].Away}
	}
	return out
}

// Clone is a copy that another series of events can be taken by.
func (p *Present) Clone() *Present {
	c := *p
	c.Managers, c.Won = maps.Clone(p.Managers), maps.Clone(p.Won)
	c.Nodes, c.Services, c.Tasks, c.Faults = maps.Clone(p.Nodes), maps.Clone(p.Services), maps.Clone(p.Tasks), maps.Clone(p.Faults)
	c.News, c.story.seen = slices.Clone(p.News), maps.Clone(p.story.seen)
	return &c
}

func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

// edit changes what is known of a node.
func (p *Present) edit(name string, change func(*Node)) {
	if name == "" {
		return
	}
	n := p.Nodes[name]
	change(&n)
	put(&p.Nodes, name, n)
}

// fault takes an event of the source fault.
func (p *Present) fault(e Event) {
	switch e.Kind {
	case KindBroken:
		since := e.Since
		if since.IsZero() {
			since = e.Time
		}
		put(&p.Faults, e.Fault, Fault{Words: e.Text, Since: since, Until: e.Until, Nodes: e.Nodes, Cuts: e.Cuts})
	case KindHealed:
		delete(p.Faults, e.Fault)
	}
}

// change takes what is later than what is known of an object.
func (p *Present) change(c Change) {
	switch c.Kind {
	case raft.KindNode:
		p.member(c)
	case raft.KindService:
		if c.Action == raft.ActionRemove {
			delete(p.Services, c.ID)
			return
		}
		put(&p.Services, c.ID, Service{Name: c.Name, Replicas: c.Replicas, Update: c.State, Message: c.Message, Ports: c.Ports})
	case raft.KindTask:
		if c.Action == raft.ActionRemove {
			delete(p.Tasks, c.ID)
			return
		}
		put(&p.Tasks, c.ID, Task{Name: c.Name, Service: c.Service, Node: cmp.Or(c.On, c.Node), State: c.State, Desired: c.Desired, Message: c.Message})
	case raft.KindNetwork:
	}
}

// member takes an entry of the swarm's list. A node that has joined again has an old
// entry as well, which is down.
func (p *Present) member(c Change) {
	p.edit(cmp.Or(c.On, c.Name), func(n *Node) {
		another := n.ID != "" && n.ID != c.ID
		switch {
		case c.Action == raft.ActionRemove && another, another && c.State == "down" && n.State != "down":
		case c.Action == raft.ActionRemove:
			*n = Node{Machine: n.Machine, Engine: n.Engine, Away: n.Away}
		default:
			n.ID, n.Role, n.Desired, n.Availability, n.State, n.Message = c.ID, c.Role, c.Desired, c.Availability, c.State, c.Message
		}
	})
}

// dissolved is that no manager is left: there is no swarm.
func (p *Present) dissolved() {
	p.Leader, p.Term, p.lost, p.Settings = "", 0, time.Time{}, Settings{}
	p.Won, p.Services, p.Tasks, p.story = nil, nil, nil, Story{} // an older state of it may come back
	for name := range p.Nodes {
		p.edit(name, func(n *Node) { *n = Node{Machine: n.Machine, Engine: n.Engine, Away: n.Away} })
	}
}

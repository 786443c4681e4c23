package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// Selector says which nodes are meant: all that any of its fields means.
type Selector struct {
	All bool
	// Managers, Workers and Leader are what the swarm calls nodes now.
	Managers, Workers, Leader bool
	Names                     []string
}

// None tells whether no node at all is meant.
func (o Selector) None() bool { return !o.All && !o.ByRole() && len(o.Names) == 0 }

// ByRole tells whether the swarm has to be asked.
func (o Selector) ByRole() bool { return !o.All && (o.Managers || o.Workers || o.Leader) }

// Selection are the nodes that a selector means, in the lab's order.
type Selection struct {
	Nodes []lab.Node
	// Guessed are nodes whose role the swarm does not tell: they were taken for
	// what labs.yaml says.
	Guessed []string
}

// Nodes gives nodes of the lab by their names, each once; without a name, all of
// them.
func (s *OnDisk) Nodes(names ...string) ([]lab.Node, error) {
	nodes, err := s.lab.Pick(names)
	var unknown *lab.UnknownNodeError
	if errors.As(err, &unknown) {
		return nil, s.NoSuchNode(unknown.Name)
	}
	return nodes, err
}

// NoSuchNode is the error for a name that no node of the lab has, with the one
// that may have been meant.
func (s *OnDisk) NoSuchNode(name string) error {
	names, addresses := s.lab.NodeNames(), map[string]string{}
	for _, n := range s.lab.Nodes {
		addresses[n.IP.String()] = n.Name
	}
	next := lab.NodeMeant(name, names, addresses)
	if s.file != nil && slices.ContainsFunc(s.file.Labs, func(l *lab.Lab) bool { return l.Name == name }) {
		next = append(next, name+" is a lab: dcalab --lab "+name+" status")
	}
	return &trouble.Error{
		ID: "unknown-node", Why: fmt.Sprintf("lab %s has no node %q", s.lab.Name, name),
		Next: append(next, "its nodes are "+strings.Join(names, ", ")), Exit: trouble.ExitUsage,
		Err: &lab.UnknownNodeError{Lab: s.lab.Name, Name: name},
	}
}

// Select gives the nodes that a selector means; none is an error. Where roles
// are asked for, it connects to the lab's nodes, over the session's pool.
func (s *Session) Select(ctx context.Context, o Selector) ([]lab.Node, error) {
	selection, err := s.own().Select(ctx, o)
	return selection.Nodes, err
}

// Select is Session.Select over this pool, and tells what was guessed.
func (p *Pool) Select(ctx context.Context, o Selector) (Selection, error) {
	s := p.session
	var out Selection
	take := map[string]bool{}
	if len(o.Names) > 0 {
		named, err := s.Nodes(o.Names...)
		if err != nil {
			return out, err
		}
		for _, n := range named {
			take[n.Name] = true
		}
	}
	roles, leader := map[string]lab.Role{}, ""
	if o.ByRole() {
		engines, err := s.AllEngines(ctx, p)
		if err != nil {
			return out, err
		}
		v := engines.Cluster(swarm.Options{}).Observe(ctx)
		engines.Release()
		roles, out.Guessed = rolesNow(v)
		leader = v.Leader
	}
	for _, n := range s.lab.Nodes {
		role := roles[n.Name]
		if take[n.Name] || o.All || o.Managers && role == lab.RoleManager || o.Workers && role == lab.RoleWorker || o.Leader && n.Name == leader {
			out.Nodes = append(out.Nodes, n)
		}
	}
	if len(out.Nodes) == 0 {
		what := "leader"
		if o.Managers {
			what = "manager"
		}
		if o.Workers {
			what = "worker"
		}
		return out, &trouble.Error{ID: "no-such-nodes", Why: fmt.Sprintf("lab %s has no %s", s.lab.Name, what), Next: []string{"the role of each node: dcalab status"}}
	}
	return out, nil
}

// rolesNow is the role of each node that the swarm says, else labs.yaml; and
// the nodes of which it is only labs.yaml that does.
func rolesNow(v swarm.View) (roles map[string]lab.Role, guessed []string) {
	roles = map[string]lab.Role{}
	for _, n := range v.Nodes {
		roles[n.Name] = n.Role
		// What a node is in somebody else's swarm says nothing about this one.
		if n.Role == "" || n.State == swarm.StateForeign || n.State == swarm.StateRemoved {
			roles[n.Name] = n.Want
			if n.Want == lab.RoleManager || n.Want == lab.RoleWorker {
				guessed = append(guessed, n.Name)
			}
		}
	}
	return roles, guessed
}

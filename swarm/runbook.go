package swarm

import (
	"cmp"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/runbook"
)

// Runbook gives the commands that a person would type for these steps, in
// order, where the nodes are as v shows them. It is pure.
func (v View) Runbook(steps []Step) runbook.Runbook {
	t := newRunbookWriter(v, steps)
	for _, s := range steps {
		s.Runbook(t)
	}
	return t.out
}

// Manager gives the short name of the node of the lab on which commands on the
// swarm are typed: the leader, where it is one of the lab's, else the first
// that takes them; empty where there is none.
func (v View) Manager() string { return newRunbookWriter(v, nil).manager() }

// AssumeCreated is the view when the machines of these nodes, by short name, were
// just made: their engines answer, and are in no swarm.
func (v View) AssumeCreated(names ...string) View {
	facts := slices.Clone(v.facts)
	for i, t := range v.labNodes {
		if slices.Contains(names, t.Name) {
			facts[i] = fact{reached: true, info: engine.Info{State: engine.StateInactive, Hostname: t.Hostname}}
		}
	}
	return classify(v.labNodes, facts, nil)
}

// RunbookWriter writes a runbook, and follows on the way what the commands that were
// typed so far have made of the swarm.
type RunbookWriter struct {
	v    View
	plan []Step
	out  runbook.Runbook
	// managers are nodes that take commands on the swarm, the best first.
	managers []string
	// arrived are nodes that came into the swarm on the way, and their roles.
	arrived map[string]engine.Role
	// left are entries of the list, by id, that are no more.
	left map[string]bool
	// shown are placeholders that stand for something by now, and waits that
	// are over.
	shown map[string]bool
}

func newRunbookWriter(v View, plan []Step) *RunbookWriter {
	t := &RunbookWriter{v: v, plan: plan, arrived: map[string]engine.Role{}, left: map[string]bool{}, shown: map[string]bool{}}
	for _, n := range v.Nodes {
		if v.Cluster != "" && n.Cluster == v.Cluster && n.Control {
			t.managers = append(t.managers, n.Name)
		}
	}
	// Managers that stay until the end are asked first, the leader before the others.
	rank := func(name string) int {
		if at := slices.IndexFunc(plan, func(s Step) bool {
			return s.Node() == name && (s.Kind() == KindDemote || s.Kind() == KindLeave)
		}); at >= 0 {
			return at
		}
		if n, _ := v.Node(name); n.Leader {
			return len(plan) + 1
		}
		return len(plan)
	}
	slices.SortStableFunc(t.managers, func(a, b string) int { return cmp.Compare(rank(b), rank(a)) })
	return t
}

// manager is the node on which commands on the swarm are typed now.
func (w *RunbookWriter) manager() string {
	if len(w.managers) == 0 {
		return ""
	}
	return w.managers[0]
}

func (w *RunbookWriter) add(c runbook.Command) { w.out = append(w.out, c) }

// ask adds a command on the swarm.
func (w *RunbookWriter) ask(why string, words ...string) {
	w.add(runbook.Command{Node: w.manager(), Text: runbook.Template(words...), Why: why})
}

// await adds a command that is typed until it says so; once.
func (w *RunbookWriter) await(c runbook.Command) {
	if key := c.Node + " " + c.Text; !w.shown[key] {
		w.shown[key] = true
		w.add(c)
	}
}

// give adds a command on the swarm that gives a placeholder; once.
func (w *RunbookWriter) give(placeholder string, words ...string) {
	if !w.shown[placeholder] {
		w.shown[placeholder] = true
		w.add(runbook.Command{Node: w.manager(), Text: runbook.Template(words...), Gives: placeholder})
	}
}

// entry is how the swarm's list calls a node: by its host name where that
// means nobody else, else by its id.
func (w *RunbookWriter) entry(node, id string) string {
	host := ""
	if at := find(w.v.entries(), id); at >= 0 && id != "" {
		host = w.v.entries()[at].Hostname
	} else if n, ok := w.v.Node(node); ok {
		host = n.Hostname
		if at := slices.IndexFunc(w.v.labNodes, func(m Node) bool { return m.Name == n.Name }); at >= 0 && w.v.facts[at].info.Hostname != "" {
			host = w.v.facts[at].info.Hostname
		}
	}
	for _, e := range w.v.entries() {
		if strings.EqualFold(e.Hostname, host) && e.ID != id && !w.left[e.ID] {
			host = ""
		}
	}
	switch {
	case host != "":
		return host
	case id != "":
		return id
	}
	placeholder := "<" + node + "-id>"
	if !w.shown[placeholder] {
		w.shown[placeholder] = true
		w.add(runbook.Command{Node: node, Text: runbook.Template("docker", "info", "--format", "{{.Swarm.NodeID}}"), Why: "its host name is not unique in the swarm", Gives: placeholder})
	}
	return placeholder
}

// ready waits until the swarm calls a node Ready, and a manager Reachable.
func (w *RunbookWriter) ready(node, id string, manager bool) {
	name := w.entry(node, id)
	format, until := "{{.Status.State}}", "ready"
	if manager {
		format, until = "{{.Status.State}} {{.ManagerStatus.Reachability}}", "ready reachable"
	}
	w.await(runbook.Command{Node: w.manager(), Text: runbook.Template("docker", "node", "inspect", "--format", format, name), Until: until})
}

// outOfRaft waits until a manager takes no part in raft any more: by its own
// word where it answers, else by the list's.
func (w *RunbookWriter) outOfRaft(node, id, name string) {
	if n, ok := w.v.Node(node); ok && n.NodeID == id && n.State.Answered() {
		w.add(runbook.Command{Node: node, Text: runbook.Template("docker", "info", "--format", "{{.Swarm.ControlAvailable}}"), Why: "is it still a manager?", Until: "false"})
		return
	}
	w.add(runbook.Command{Node: w.manager(), Text: runbook.Template("docker", "node", "inspect", "--format", "{{.ManagerStatus}}", name), Why: "is it still a manager?", Until: "<nil>"})
}

// gone follows that a node takes no commands on the swarm any more.
func (w *RunbookWriter) gone(node string) {
	w.managers = slices.DeleteFunc(w.managers, func(m string) bool { return m == node })
}

// arrive follows that a node came into the swarm.
func (w *RunbookWriter) arrive(node string, role engine.Role) {
	w.arrived[node] = role
	if role == engine.RoleManager && !slices.Contains(w.managers, node) {
		w.managers = append(w.managers, node)
	}
}

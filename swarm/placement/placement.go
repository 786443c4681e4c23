// Package placement judges, as SwarmKit's scheduler does, which nodes a task may
// be placed on, why not on the others, and what would change that. It asks nobody:
// plain data in, plain data out.
package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
)

// Filter is one of the scheduler's checks of a node.
type Filter string

// The filters, in the order in which the scheduler applies them. It counts a node
// under the first that fails.
const (
	FilterReady       Filter = "ready"
	FilterResources   Filter = "resources"
	FilterPlugins     Filter = "plugins"
	FilterConstraints Filter = "constraints"
	FilterPlatform    Filter = "platform"
	FilterHostPorts   Filter = "host-ports"
	FilterMaxReplicas Filter = "max-replicas"
)

// Swarm is what is decided by.
type Swarm struct {
	Nodes []Node
	Tasks []engine.ScheduleTask
}

// Node is a node of the swarm, with the name that people know it by.
type Node struct {
	engine.ScheduleNode
	Name string
	// Foreign: it is no node of the lab.
	Foreign bool
}

// Question is which nodes fit a task.
type Question struct {
	// Service is the id of the task's service, Name its name.
	Service, Name string
	Needs         engine.Requirements
	// Without is the id of a task that is counted nowhere: the one that is asked
	// about, where it is on a node already.
	Without string
	// Now is when it is asked: failures of the last minutes count.
	Now time.Time
}

// Reason is why a node does not fit.
type Reason struct {
	Filter Filter `json:"filter" yaml:"filter"`
	Text   string `json:"text" yaml:"text"`
}

// Verdict is what the scheduler thinks of one node.
type Verdict struct {
	Node string
	// Reasons why it does not fit, in the scheduler's order; none where it fits.
	Reasons []Reason
	// Changes that make it fit when all of them are made; none where nothing does.
	Changes []Change
	// Tasks of the service and of all services on the node, by which the scheduler
	// chooses among nodes that fit.
	Tasks, AllTasks int
	// Failures of the service's tasks on the node in the last five minutes.
	Failures int
}

// Fits tells whether the scheduler may place the task there.
func (v Verdict) Fits() bool { return len(v.Reasons) == 0 }

const (
	failuresLast = 5 * time.Minute // how long the scheduler remembers a failure
	manyFailures = 5               // and how many of them make it avoid a node
)

// load is what the tasks on a node take of it.
type load struct {
	verdict  Verdict
	reserved engine.Resources
	ports    map[string]string // protocol/port: the task that has it
}

// loadOf counts the tasks of a node as the scheduler does: what they reserve
// until they have ended, and how many there are by what is wanted of them.
func loadOf(s Swarm, q Question, n Node) load {
	l := load{ports: map[string]string{}, reserved: engine.Resources{Generic: map[string]int64{}}}
	l.verdict.Node = n.Name
	for _, t := range s.Tasks {
		if t.NodeID != n.ID || t.ID == q.Without {
			continue
		}
		if failed := t.State == "failed" || t.State == "rejected"; failed && t.Service == q.Service && q.Now.Sub(t.Since) < failuresLast {
			l.verdict.Failures++
		}
		if !Assigned(t.Task) {
			continue
		}
		l.reserved.NanoCPUs += t.Needs.Reserved.NanoCPUs
		l.reserved.Memory += t.Needs.Reserved.Memory
		for kind, count := range t.Needs.Reserved.Generic {
			l.reserved.Generic[kind] += count
		}
		for _, p := range t.Needs.HostPorts {
			l.ports[port(p)] = t.Name
		}
		if t.Wanted() || t.Desired == "complete" {
			l.verdict.AllTasks++
			if t.Service == q.Service {
				l.verdict.Tasks++
			}
		}
	}
	return l
}

// Assigned tells whether a task takes a place on its node: it was given to it, and
// has not ended there.
func Assigned(t engine.Task) bool {
	return t.NodeID != "" && !slices.Contains([]string{"new", "allocated", "pending"}, t.State) && t.Running()
}

func port(p engine.HostPort) string { return fmt.Sprintf("%d/%s", p.Port, p.Protocol) }

// Judge gives the verdict on each node, in the order of the nodes.
func Judge(s Swarm, q Question) []Verdict {
	out := make([]Verdict, len(s.Nodes))
	for i, n := range s.Nodes {
		found := failing(s, q, n)
		out[i] = loadOf(s, q, n).verdict
		for _, f := range found {
			out[i].Reasons = append(out[i].Reasons, f.Reason)
		}
		if len(found) > 0 {
			out[i].Changes = changesFor(s, q, n)
		}
	}
	return out
}

// failure is a reason, and what could be changed against it, the best first.
type failure struct {
	Reason
	remedies []Change
}

// failing applies all filters to a node, in the scheduler's order.
func failing(s Swarm, q Question, n Node) []failure {
	l := loadOf(s, q, n)
	var out []failure
	for _, one := range [][]failure{
		notReady(n), tooFew(q, n, l), withoutPlugins(q, n), notMatching(q, n), otherPlatform(q, n), portsTaken(q, l), tooMany(q, l),
	} {
		out = append(out, one...)
	}
	return out
}

func notReady(n Node) []failure {
	var out []failure
	if n.Status != engine.NodeReady {
		out = append(out, failure{Reason{FilterReady, "the node is " + string(n.Status)}, []Change{{Kind: Return, Node: n.Name}}})
	}
	if n.Availability != engine.AvailabilityActive {
		out = append(out, failure{Reason{FilterReady, "its availability is " + string(n.Availability)}, []Change{{Kind: Activate, Node: n.Name}}})
	}
	return out
}

func tooFew(q Question, n Node, l load) []failure {
	var out []failure
	want := q.Needs.Reserved
	for _, r := range []struct {
		what         string
		kind         Kind
		need, has    int64
		shown        func(int64) string
		reservedHere int64
	}{
		{"CPUs", ReserveCPU, want.NanoCPUs, n.Resources.NanoCPUs, CPUs, l.reserved.NanoCPUs},
		{"of memory", ReserveMemory, want.Memory, n.Resources.Memory, Memory, l.reserved.Memory},
	} {
		free := r.has - r.reservedHere
		// What others reserve is compared also where nothing is asked for, as long as
		// anything is.
		if !asks(want) || r.need <= free {
			continue
		}
		reason := fmt.Sprintf("the task reserves %s %s, and %s of %s are free", r.shown(r.need), r.what, r.shown(max(free, 0)), r.shown(r.has))
		var remedies []Change
		if free >= 0 {
			remedies = []Change{{Kind: r.kind, Service: q.Name, Amount: free}}
		}
		out = append(out, failure{Reason{FilterResources, reason}, remedies})
	}
	for _, kind := range sortedKinds(want.Generic) {
		need, free := want.Generic[kind], max(n.Resources.Generic[kind]-l.reserved.Generic[kind], 0)
		if need <= free && free > 0 { // a kind that is used up is one that the node does not have
			continue
		}
		reason := fmt.Sprintf("the task reserves %d %s, and %d of %d are free", need, kind, free, n.Resources.Generic[kind])
		out = append(out, failure{Reason{FilterResources, reason}, []Change{{Kind: ReserveGeneric, Service: q.Name, Key: kind, Amount: free}}})
	}
	return out
}

// asks tells whether anything is reserved: without, the filter is not applied.
func asks(r engine.Resources) bool { return r.NanoCPUs != 0 || r.Memory != 0 || len(r.Generic) > 0 }

func sortedKinds(m map[string]int64) []string {
	out := make([]string, 0, len(m))
	for kind := range m {
		out = append(out, kind)
	}
	slices.Sort(out)
	return out
}

func withoutPlugins(q Question, n Node) []failure {
	var out []failure
	for _, want := range q.Needs.Plugins {
		typed := slices.ContainsFunc(n.Plugins, func(p engine.Plugin) bool { return p.Type == want.Type })
		has := slices.ContainsFunc(n.Plugins, func(p engine.Plugin) bool {
			return p.Type == want.Type && (p.Name == want.Name || p.Name == want.Name+":latest")
		})
		// Old engines do not tell which drivers of logs they have.
		if has || want.Type == "Log" && !typed {
			continue
		}
		out = append(out, failure{Reason{FilterPlugins, fmt.Sprintf("it lacks the %s plugin %s", strings.ToLower(want.Type), want.Name)},
			[]Change{{Kind: InstallPlugin, Node: n.Name, Key: want.Type, Value: want.Name}}})
	}
	return out
}

func notMatching(q Question, n Node) []failure {
	constraints, ok := parse(q.Needs.Constraints)
	if !ok {
		return nil // the scheduler applies none then
	}
	var out []failure
	for _, c := range constraints {
		if c.matches(n) {
			continue
		}
		f := failure{Reason: Reason{FilterConstraints, c.text + c.against(n)}}
		if label, ok := c.nodeLabel(); ok {
			if c.not {
				f.remedies = append(f.remedies, Change{Kind: LabelRemove, Node: n.Name, Key: label})
			} else {
				f.remedies = append(f.remedies, Change{Kind: LabelSet, Node: n.Name, Key: label, Value: c.value})
			}
		}
		f.remedies = append(f.remedies, Change{Kind: DropConstraint, Service: q.Name, Value: c.text})
		out = append(out, f)
	}
	return out
}

func otherPlatform(q Question, n Node) []failure {
	if len(q.Needs.Platforms) == 0 {
		return nil
	}
	var wanted []string
	for _, p := range q.Needs.Platforms {
		if runs(p, n.Platform) {
			return nil
		}
		wanted = append(wanted, cmp.Or(p.OS, "any")+"/"+cmp.Or(p.Arch, "any"))
	}
	return []failure{{Reason{FilterPlatform, fmt.Sprintf("it is %s/%s, and the image is for %s", n.Platform.OS, n.Platform.Arch, strings.Join(wanted, ", "))}, nil}}
}

func runs(image, node engine.Platform) bool {
	same := func(arch string) string {
		switch arch {
		case "x86_64":
			return "amd64"
		case "aarch64":
			return "arm64"
		}
		return arch
	}
	return (image.Arch == "" || same(image.Arch) == same(node.Arch)) && (image.OS == "" || image.OS == node.OS)
}

func portsTaken(q Question, l load) []failure {
	var out []failure
	for _, p := range q.Needs.HostPorts {
		if by, taken := l.ports[port(p)]; taken {
			out = append(out, failure{Reason{FilterHostPorts, fmt.Sprintf("port %s is taken by %s", port(p), by)}, nil})
		}
	}
	return out
}

func tooMany(q Question, l load) []failure {
	limit := q.Needs.MaxReplicas
	if limit == 0 || uint64(l.verdict.Tasks) < limit { //nolint:gosec // a count
		return nil
	}
	return []failure{{Reason{FilterMaxReplicas, fmt.Sprintf("it has %d of its tasks, and at most %d are allowed on a node", l.verdict.Tasks, limit)},
		[]Change{{Kind: MaxReplicas, Service: q.Name, Amount: int64(l.verdict.Tasks) + 1}}}}
}

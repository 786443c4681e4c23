package placement_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/swarm/placement"
)

func anyNeeds(t *rapid.T) engine.Requirements {
	var out engine.Requirements
	some := func(what string) bool { return rapid.IntRange(0, 2).Draw(t, what) == 0 }
	if some("constrained") {
		out.Constraints = rapid.SliceOfN(rapid.SampledFrom([]string{
			"node.labels.zone==a", "node.labels.zone==b", "node.labels.zone!=a", "node.labels.disk==ssd", "node.role==manager", "node.hostname!=n1.example", "node.nothing==x",
		}), 1, 3).Draw(t, "constraints")
	}
	if some("spread") {
		out.Preferences = rapid.SliceOfN(rapid.SampledFrom([]string{"node.labels.zone", "node.labels.disk", "node.id"}), 1, 2).Draw(t, "preferences")
	}
	if some("reserves") {
		out.Reserved = engine.Resources{NanoCPUs: rapid.Int64Range(0, 6e9).Draw(t, "cpus"), Memory: rapid.Int64Range(0, 12*gib).Draw(t, "memory")}
		if some("generic") {
			out.Reserved.Generic = map[string]int64{"gpu": rapid.Int64Range(1, 3).Draw(t, "gpus")}
		}
	}
	if some("most") {
		out.MaxReplicas = rapid.Uint64Range(1, 2).Draw(t, "max")
	}
	if some("port") {
		port := rapid.IntRange(80, 82).Draw(t, "port")
		out.HostPorts = []engine.HostPort{{Protocol: rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, "protocol"), Port: port, Target: port}}
	}
	if some("plugin") {
		out.Plugins = []engine.Plugin{{Type: rapid.SampledFrom([]string{"Volume", "Network", "Log"}).Draw(t, "type"), Name: rapid.SampledFrom([]string{"overlay", "json-file", "x"}).Draw(t, "plugin")}}
	}
	if some("platform") {
		out.Platforms = []engine.Platform{{OS: "linux", Arch: rapid.SampledFrom([]string{"amd64", "arm64", ""}).Draw(t, "arch")}}
	}
	return out
}

func anySwarm(t *rapid.T) placement.Swarm {
	var s placement.Swarm
	for i := range rapid.IntRange(0, 4).Draw(t, "nodes") {
		s.Nodes = append(s.Nodes, node(fmt.Sprintf("n%d", i+1), func(n *placement.Node) {
			n.Availability = rapid.SampledFrom([]engine.Availability{engine.AvailabilityActive, engine.AvailabilityActive, engine.AvailabilityPause, engine.AvailabilityDrain}).Draw(t, "availability")
			n.Status = rapid.SampledFrom([]engine.NodeStatus{engine.NodeReady, engine.NodeReady, engine.NodeDown}).Draw(t, "status")
			n.Labels = rapid.MapOfN(rapid.SampledFrom([]string{"zone", "disk"}), rapid.SampledFrom([]string{"a", "b", "ssd"}), 0, 2).Draw(t, "labels")
			n.Resources.Generic = map[string]int64{"gpu": rapid.Int64Range(0, 2).Draw(t, "has")}
			if rapid.Bool().Draw(t, "manager") {
				n.Role = engine.RoleManager
			}
		}))
	}
	if len(s.Nodes) == 0 {
		return s
	}
	for i := range rapid.IntRange(0, 8).Draw(t, "tasks") {
		task := on(rapid.SampledFrom(s.Nodes).Draw(t, "on").Name, rapid.SampledFrom([]string{"web", "other"}).Draw(t, "of"),
			rapid.SampledFrom([]string{"pending", "assigned", "running", "running", "failed", "complete", "shutdown"}).Draw(t, "state"),
			rapid.SampledFrom([]string{"running", "running", "ready", "shutdown", "complete"}).Draw(t, "desired"), anyNeeds(t))
		task.ID = fmt.Sprint("task", i)
		s.Tasks = append(s.Tasks, task)
	}
	return s
}

func fitting(s placement.Swarm, q placement.Question) []string {
	var out []string
	for _, v := range placement.Judge(s, q) {
		if v.Fits() {
			out = append(out, v.Node)
		}
	}
	return out
}

func subset(small, large []string) bool {
	return !slices.ContainsFunc(small, func(name string) bool { return !slices.Contains(large, name) })
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySwarm(t)
		q := placement.Question{Service: "web", Name: "web", Needs: anyNeeds(t), Now: time.Unix(1, 0)}
		fit := fitting(s, q)
		for _, v := range placement.Judge(s, q) {
			if v.Fits() != (len(v.Changes) == 0) && !hopeless(s, v) {
				t.Errorf("%s fits: %v, and its changes are %v", v.Node, v.Fits(), v.Changes)
			}
			after, asked := s, q
			for _, c := range v.Changes {
				after, asked = c.Apply(after, asked)
			}
			if len(v.Changes) > 0 && !slices.Contains(fitting(after, asked), v.Node) {
				t.Errorf("%s does not fit after %v", v.Node, v.Changes)
			}
			for i := range v.Changes { // none of them is for nothing
				after, asked := s, q
				for _, c := range slices.Delete(slices.Clone(v.Changes), i, i+1) {
					after, asked = c.Apply(after, asked)
				}
				if v.Changes[i].Kind != placement.LabelSet && v.Changes[i].Kind != placement.LabelRemove && slices.Contains(fitting(after, asked), v.Node) {
					t.Errorf("%s fits without %v of %v", v.Node, v.Changes[i], v.Changes)
				}
			}
		}
		smallest := placement.Smallest(s, q)
		if len(fit) > 0 && len(smallest) > 0 {
			t.Errorf("%v fit, and %v is proposed", fit, smallest)
		}
		for _, changes := range smallest {
			after, asked := s, q
			for _, c := range changes {
				after, asked = c.Apply(after, asked)
			}
			if len(fitting(after, asked)) == 0 {
				t.Errorf("no node fits after %v", changes)
			}
		}
		next := placement.Next(s, q)
		if !subset(next, fit) || (len(next) == 0) != (len(fit) == 0) {
			t.Errorf("next are %v, and %v fit", next, fit)
		}

		// What asks for less, and what frees something, keeps no node away.
		less := q
		less.Needs.MaxReplicas, less.Needs.Reserved = 0, engine.Resources{}
		more := s
		if len(s.Tasks) > 0 {
			gone := rapid.IntRange(0, len(s.Tasks)-1).Draw(t, "gone")
			more.Tasks = slices.Delete(slices.Clone(s.Tasks), gone, gone+1)
		}
		for what, now := range map[string][]string{"it asks for less": fitting(s, less), "a task is gone": fitting(more, q)} {
			if !subset(fit, now) {
				t.Errorf("%s, and %v of %v fit", what, now, fit)
			}
		}
		// A label that nobody names, and the order of nodes and tasks, do not count.
		named := s
		named.Nodes, named.Tasks = slices.Clone(s.Nodes), slices.Clone(s.Tasks)
		for i := range named.Nodes {
			named.Nodes[i].Labels = maps.Clone(named.Nodes[i].Labels)
			named.Nodes[i].Labels["nobody"] = fmt.Sprint(i)
		}
		slices.Reverse(named.Nodes)
		slices.Reverse(named.Tasks)
		if got := placement.Next(named, q); !slices.Equal(got, next) {
			t.Errorf("next are %v, and with another label and in another order %v", next, got)
		}
	})
}

// hopeless tells whether no change is known: for another platform, for a port of the host that is taken, and where tasks
// reserve more than a node has.
func hopeless(s placement.Swarm, v placement.Verdict) bool {
	if slices.ContainsFunc(v.Reasons, func(r placement.Reason) bool {
		return r.Filter == placement.FilterPlatform || r.Filter == placement.FilterHostPorts
	}) {
		return true
	}
	return slices.ContainsFunc(s.Nodes, func(n placement.Node) bool {
		var cpus, memory int64
		for _, task := range s.Tasks {
			if task.NodeID == n.ID && placement.Assigned(task.Task) {
				cpus, memory = cpus+task.Needs.Reserved.NanoCPUs, memory+task.Needs.Reserved.Memory
			}
		}
		return n.Name == v.Node && (cpus > n.Resources.NanoCPUs || memory > n.Resources.Memory)
	})
}

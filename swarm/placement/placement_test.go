package placement_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/swarm/placement"
)

const gib = 1 << 30

func node(name string, edit ...func(*placement.Node)) placement.Node {
	n := placement.Node{Name: name, ScheduleNode: engine.ScheduleNode{
		Node: engine.Node{
			ID: "id-" + name, Hostname: name + ".example", Addr: "10.0.0.1", Role: engine.RoleWorker,
			Status: engine.NodeReady, Availability: engine.AvailabilityActive,
		},
		Platform:  engine.Platform{OS: "linux", Arch: "x86_64"},
		Resources: engine.Resources{NanoCPUs: 4e9, Memory: 8 * gib},
		Plugins:   []engine.Plugin{{Type: "Volume", Name: "local"}, {Type: "Network", Name: "overlay"}, {Type: "Log", Name: "json-file"}},
	}}
	for _, e := range edit {
		e(&n)
	}
	return n
}

func on(name, service, state, desired string, needs engine.Requirements) engine.ScheduleTask {
	return engine.ScheduleTask{
		Task:    engine.Task{ID: service + name + state, Name: service + ".1", NodeID: "id-" + name, State: state, Desired: desired},
		Service: service, Needs: needs,
	}
}

func TestFilters(t *testing.T) {
	tcp := engine.Requirements{HostPorts: []engine.HostPort{{Protocol: "tcp", Port: 80, Target: 8080}}}
	half := engine.Requirements{Reserved: engine.Resources{Memory: 5 * gib, NanoCPUs: 3e9, Generic: map[string]int64{"gpu": 1}}}
	withGPU := func(n *placement.Node) { n.Resources.Generic = map[string]int64{"gpu": 1} }
	for name, c := range map[string]struct {
		node  func(*placement.Node)
		needs engine.Requirements
		tasks []engine.ScheduleTask
		want  string // filters that fail, in order
		fix   string // commands that make it fit
	}{
		"nothing asked":        {},
		"down":                 {node: func(n *placement.Node) { n.Status = engine.NodeDown }, want: "ready", fix: "dcalab start a"},
		"unknown after a vote": {node: func(n *placement.Node) { n.Status = engine.NodeUnknown }, want: "ready", fix: "dcalab start a"},
		"paused":               {node: func(n *placement.Node) { n.Availability = engine.AvailabilityPause }, want: "ready", fix: "dcalab activate a"},
		"memory":               {needs: engine.Requirements{Reserved: engine.Resources{Memory: 9 * gib}}, want: "resources", fix: "docker service update --reserve-memory 8G web"},
		"memory that others reserve": {needs: half, node: withGPU, tasks: []engine.ScheduleTask{on("a", "other", "running", "running", engine.Requirements{Reserved: engine.Resources{Memory: 4 * gib}})},
			want: "resources", fix: "docker service update --reserve-memory 4G web"},
		"reserved until it has ended": {needs: half, node: withGPU, tasks: []engine.ScheduleTask{on("a", "other", "running", "shutdown", engine.Requirements{Reserved: engine.Resources{NanoCPUs: 2e9}})},
			want: "resources", fix: "docker service update --reserve-cpu 2 web"},
		"free when it has ended": {needs: half, node: withGPU, tasks: []engine.ScheduleTask{on("a", "other", "shutdown", "shutdown", half), on("a", "other", "complete", "complete", half)}},
		"not given yet":          {needs: half, node: withGPU, tasks: []engine.ScheduleTask{on("a", "other", "pending", "running", half)}},
		"no such kind":           {needs: half, want: "resources", fix: "docker service update --generic-resource-rm gpu web"},
		"a kind that is used up": {needs: engine.Requirements{Reserved: engine.Resources{Generic: map[string]int64{"gpu": 1}}}, node: withGPU,
			tasks: []engine.ScheduleTask{on("a", "other", "running", "running", engine.Requirements{Reserved: engine.Resources{Generic: map[string]int64{"gpu": 1}}})},
			want:  "resources", fix: "docker service update --generic-resource-rm gpu web"},
		"a volume's plugin": {needs: engine.Requirements{Plugins: []engine.Plugin{{Type: "Volume", Name: "sshfs"}}}, want: "plugins", fix: "dcalab exec a -- docker plugin install sshfs"},
		"a plugin's tag": {needs: engine.Requirements{Plugins: []engine.Plugin{{Type: "Volume", Name: "sshfs"}}},
			node: func(n *placement.Node) {
				n.Plugins = append(n.Plugins, engine.Plugin{Type: "Volume", Name: "sshfs:latest"})
			}},
		"logs of an old engine": {needs: engine.Requirements{Plugins: []engine.Plugin{{Type: "Log", Name: "fluentd"}}}, node: func(n *placement.Node) { n.Plugins = nil }},
		"a platform":            {needs: engine.Requirements{Platforms: []engine.Platform{{OS: "linux", Arch: "arm64"}}}, want: "platform"},
		"a platform's names":    {needs: engine.Requirements{Platforms: []engine.Platform{{OS: "linux", Arch: "arm64"}, {OS: "linux", Arch: "amd64"}}}},
		"a port":                {needs: tcp, tasks: []engine.ScheduleTask{on("a", "other", "starting", "running", tcp)}, want: "host-ports"},
		"the same of udp":       {needs: tcp, tasks: []engine.ScheduleTask{on("a", "other", "running", "running", engine.Requirements{HostPorts: []engine.HostPort{{Protocol: "udp", Port: 80}}})}},
		"a port of what ends":   {needs: tcp, tasks: []engine.ScheduleTask{on("a", "other", "running", "shutdown", tcp)}, want: "host-ports"},
		"most on a node":        {needs: engine.Requirements{MaxReplicas: 1}, tasks: []engine.ScheduleTask{on("a", "web", "running", "running", tcp)}, want: "max-replicas", fix: "docker service update --replicas-max-per-node 2 web"},
		"most, one is going":    {needs: engine.Requirements{MaxReplicas: 1}, tasks: []engine.ScheduleTask{on("a", "web", "running", "shutdown", tcp), on("a", "other", "running", "running", tcp)}},
		"all at once": {
			needs: engine.Requirements{Reserved: engine.Resources{Memory: 9 * gib}, Constraints: []string{"node.labels.zone==x"}, MaxReplicas: 1},
			node:  func(n *placement.Node) { n.Availability = engine.AvailabilityDrain },
			tasks: []engine.ScheduleTask{on("a", "web", "running", "running", tcp)},
			want:  "ready resources constraints max-replicas",
			fix:   "dcalab activate a; docker service update --reserve-memory 8G web; dcalab label set a zone=x; docker service update --replicas-max-per-node 2 web",
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := node("a")
			if c.node != nil {
				c.node(&n)
			}
			v := placement.Judge(placement.Swarm{Nodes: []placement.Node{n}, Tasks: c.tasks}, placement.Question{Service: "web", Name: "web", Needs: c.needs})[0]
			var filters, commands []string
			for _, r := range v.Reasons {
				filters = append(filters, string(r.Filter))
			}
			for _, c := range v.Changes {
				commands = append(commands, c.Command())
			}
			if got := strings.Join(filters, " "); got != c.want {
				t.Errorf("failed: %q, want %q (%v)", got, c.want, v.Reasons)
			}
			if got := strings.Join(commands, "; "); got != c.fix {
				t.Errorf("changes:\n%s\nwant:\n%s", got, c.fix)
			}
		})
	}
}

func TestConstraints(t *testing.T) {
	n := node("a", func(n *placement.Node) {
		n.Labels, n.EngineLabels, n.Addr = map[string]string{"zone": "East", "k": "v"}, map[string]string{"disk": "ssd"}, "10.20.20.110"
	})
	manager := node("m", func(n *placement.Node) { n.Reachability = engine.ReachabilityReachable })
	for text, want := range map[string]bool{
		"node.labels.zone==east":          true, // values in any case
		"node.labels.zone == East":        true,
		"node.labels.zone!=east":          false,
		"NODE.LABELS.zone==east":          true,
		"node.labels.Zone==east":          false, // labels are not
		"node.labels.none!=x":             true,
		"node.labels.none==x":             false,
		"engine.labels.disk==ssd":         true,
		"engine.labels.disk!=ssd":         false,
		"node.hostname==A.example":        true,
		"node.hostname==a":                false, // nothing but the whole of it
		"node.id==id-a":                   true,
		"node.role==worker":               true,
		"node.role!=manager":              true,
		"node.ip==10.20.20.110":           true,
		"node.ip==10.20.20.0/24":          true,
		"node.ip!=10.20.20.0/24":          false,
		"node.ip==x":                      false,
		"node.ip!=x":                      false,
		"node.platform.os==linux":         true,
		"node.platform.arch==x86_64":      true,
		"node.platform.arch==amd64":       false, // as the node says it, unlike the image's platform
		"node.zone==x":                    false, // no such thing: no node
		"node.zone!=x":                    false,
		"not a constraint":                true, // not understood: none is applied
		"node.labels.k==v!=w":             true,
		"node.labels.zone==$(reboot) ; x": true,
	} {
		q := placement.Question{Service: "web", Name: "web", Needs: engine.Requirements{Constraints: []string{text}}}
		if v := placement.Judge(placement.Swarm{Nodes: []placement.Node{n}}, q)[0]; v.Fits() != want {
			t.Errorf("%s fits: %v (%v)", text, v.Fits(), v.Reasons)
		}
	}
	q := placement.Question{Service: "web", Name: "web", Needs: engine.Requirements{Constraints: []string{"node.role==worker"}}}
	if placement.Judge(placement.Swarm{Nodes: []placement.Node{manager}}, q)[0].Fits() {
		t.Error("a manager that is to be demoted is a worker already")
	}
}

func TestSmallest(t *testing.T) {
	zone := func(z string) func(*placement.Node) {
		return func(n *placement.Node) { n.Labels = map[string]string{"zone": z} }
	}
	paused := func(n *placement.Node) { n.Availability = engine.AvailabilityPause }
	other := engine.Requirements{Reserved: engine.Resources{Memory: 6 * gib}}
	for name, c := range map[string]struct {
		nodes []placement.Node
		tasks []engine.ScheduleTask
		needs engine.Requirements
		want  []string
	}{
		"a node fits": {nodes: []placement.Node{node("a"), node("b", paused)}},
		"a label, or no constraint": {
			nodes: []placement.Node{node("a", zone("x")), node("b", zone("y"), paused)}, needs: engine.Requirements{Constraints: []string{"node.labels.zone==y"}},
			want: []string{"dcalab activate b", "dcalab label set a zone=y", "docker service update --constraint-rm node.labels.zone==y web"},
		},
		"what is not to be": {
			nodes: []placement.Node{node("a", zone("x"))}, needs: engine.Requirements{Constraints: []string{"node.labels.zone!=x"}},
			want: []string{"dcalab label rm a zone", "docker service update --constraint-rm 'node.labels.zone!=x' web"},
		},
		"no label helps": {
			nodes: []placement.Node{node("a", zone("x"))}, needs: engine.Requirements{Constraints: []string{"node.labels.zone==x", "node.labels.zone!=x"}},
			want: []string{"docker service update --constraint-rm 'node.labels.zone!=x' web"},
		},
		"the larger of two": {
			nodes: []placement.Node{node("a"), node("b")}, needs: engine.Requirements{Reserved: engine.Resources{Memory: 9 * gib}},
			tasks: []engine.ScheduleTask{on("a", "other", "running", "running", other)},
			want:  []string{"docker service update --reserve-memory 8G web"},
		},
		"another image": {nodes: []placement.Node{node("a")}, needs: engine.Requirements{Platforms: []engine.Platform{{OS: "windows"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, changes := range placement.Smallest(placement.Swarm{Nodes: c.nodes, Tasks: c.tasks}, placement.Question{Service: "web", Name: "web", Needs: c.needs}) {
				var lines []string
				for _, one := range changes {
					lines = append(lines, one.Command())
				}
				got = append(got, strings.Join(lines, "; "))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNext(t *testing.T) {
	now := time.Now()
	zone := func(z string) func(*placement.Node) {
		return func(n *placement.Node) { n.Labels = map[string]string{"zone": z} }
	}
	many := func(n int, node, service, state string) []engine.ScheduleTask {
		out := make([]engine.ScheduleTask, n)
		for i := range out {
			out[i] = on(node, service, state, "running", engine.Requirements{})
			out[i].Since = now.Add(-time.Minute)
		}
		return out
	}
	over := engine.Requirements{Preferences: []string{"node.labels.zone"}}
	zones := []placement.Node{node("a", zone("x")), node("b", zone("x")), node("c", zone("y"))}
	for name, c := range map[string]struct {
		nodes []placement.Node
		tasks []engine.ScheduleTask
		needs engine.Requirements
		want  string
	}{
		"none has any":            {nodes: []placement.Node{node("a"), node("b")}, want: "a b"},
		"fewest of the service":   {nodes: []placement.Node{node("a"), node("b")}, tasks: slices.Concat(many(1, "a", "web", "running"), many(5, "b", "other", "running")), want: "b"},
		"fewest of all":           {nodes: []placement.Node{node("a"), node("b")}, tasks: many(1, "b", "other", "running"), want: "a"},
		"failed four times":       {nodes: []placement.Node{node("a"), node("b")}, tasks: slices.Concat(many(4, "a", "web", "failed"), many(1, "b", "web", "running")), want: "a"},
		"failed again and again":  {nodes: []placement.Node{node("a"), node("b")}, tasks: slices.Concat(many(5, "a", "web", "failed"), many(1, "b", "web", "running")), want: "b"},
		"spread over zones":       {nodes: zones, tasks: many(1, "a", "web", "running"), needs: over, want: "c"},
		"the zone has no room":    {nodes: []placement.Node{zones[0], zones[1], node("c", zone("y"), func(n *placement.Node) { n.Status = engine.NodeDown })}, tasks: many(1, "a", "web", "running"), needs: over, want: "b"},
		"zones that are uneven":   {nodes: []placement.Node{node("a", zone("x")), node("b", zone("y")), node("c", zone("z"))}, tasks: slices.Concat(many(2, "b", "web", "running"), many(4, "c", "web", "running")), needs: over, want: "a b"},
		"without a label":         {nodes: []placement.Node{node("a"), node("b", zone("y"))}, tasks: many(1, "b", "web", "running"), needs: over, want: "a"},
		"a preference of nothing": {nodes: zones[:2], needs: engine.Requirements{Preferences: []string{"node.hostname"}}, want: "a b"},
		"no node":                 {want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := placement.Next(placement.Swarm{Nodes: c.nodes, Tasks: c.tasks}, placement.Question{Service: "web", Name: "web", Needs: c.needs, Now: now})
			if strings.Join(got, " ") != c.want {
				t.Errorf("next is %v, want %s", got, c.want)
			}
		})
	}
}

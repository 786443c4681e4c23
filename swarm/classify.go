package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// unknownCluster is the id of a swarm whose id is not known.
const unknownCluster = "(unknown)"

// classify puts together what the nodes said. Nodes in taken are not counted
// when it is decided which swarm is the lab's: they are to leave theirs.
func classify(labNodes []Node, facts []fact, taken []string) View {
	v := View{Nodes: make([]NodeView, len(labNodes)), labNodes: labNodes, facts: facts}
	for i, t := range labNodes {
		v.Nodes[i] = identify(t, facts[i], facts)
		v.Nodes[i].dissolved = slices.Contains(t.Dissolved, v.Nodes[i].Cluster) && !listedBy(v.Nodes[i].Cluster, facts)
	}
	v.Swarms = groupBySwarm(v.Nodes, func(NodeView) bool { return true })
	v.Cluster, v.CandidateSwarms = choose(v.Nodes, nil)
	if v.Cluster == "" && len(v.CandidateSwarms) == 0 {
		v.Cluster = managedBySilent(v)
	}
	if v.Cluster == "" && len(v.CandidateSwarms) == 0 {
		// What was the lab's is the lab's still, whatever its nodes are called now.
		if left := groupBySwarm(v.Nodes, func(n NodeView) bool { return n.Orphan && !n.dissolved }); len(left) == 1 {
			v.Cluster = left[0].Cluster
		}
	}
	// Which of several swarms is kept is decided by who is taken over, and so is
	// whether to stay in one that strangers manage. A swarm that is plainly the
	// lab's own is never given up that way.
	if len(taken) > 0 && (len(v.CandidateSwarms) > 0 || !slices.ContainsFunc(v.Nodes, func(n NodeView) bool {
		return n.Cluster == v.Cluster && n.Role == lab.RoleManager
	})) {
		v.Cluster, v.CandidateSwarms = choose(v.Nodes, taken)
	}

	list, haveList := v.list()
	for i := range v.Nodes {
		n := &v.Nodes[i]
		n.State = nodeState(*n, facts[i], v, list, haveList)
	}
	v.readList(list)
	v.Quorum = v.quorum(haveList)
	for i, f := range facts {
		if f.info.Settings != nil && f.info.ClusterID == v.Cluster && (v.Settings == nil || v.Nodes[i].Leader) {
			v.Settings = f.info.Settings
		}
	}
	v.Warnings = warningsOf(v)
	return v
}

// identify finds the node's id, swarm and role: from its own engine, from the
// managers' lists, from its certificate, from the managers that it knows.
func identify(t Node, f fact, all []fact) NodeView {
	n := NodeView{Name: t.Name, Hostname: t.Hostname, Addr: t.Addr, Want: t.Role, Orphan: t.Orphan, Err: f.err}
	if own, err := netip.ParseAddr(f.info.Addr); err == nil && !n.Addr.IsValid() {
		n.Addr = own
	}
	if !f.answered() {
		n.NodeID, n.Cluster, n.Role = f.cert.NodeID, f.cert.Cluster, f.cert.Role
		return n
	}
	in := f.info
	n.Engine, n.Control, n.engineState = in.EngineVersion, in.Control, in.State
	if in.Error != "" {
		n.Err = errors.New(in.Error)
	} else if f.nodesErr != nil {
		n.Err = f.nodesErr
	}
	if in.State == engine.StateInactive {
		n.Err = nil
		return n
	}
	n.NodeID = in.NodeID
	if n.NodeID == "" {
		n.NodeID = f.cert.NodeID
	}
	for _, c := range []string{in.ClusterID, clusterListing(n.NodeID, all), f.cert.Cluster, clusterOfPeers(in.Remotes, all)} {
		if n.Cluster == "" {
			n.Cluster = c
		}
	}
	active := in.State == engine.StateActive
	switch {
	case in.Control:
		n.Role = lab.RoleManager
	case f.cert.Role != "":
		n.Role = f.cert.Role
	case active:
		n.Role = lab.RoleWorker
	}
	if n.Cluster == "" && (active || in.Control) {
		n.Cluster = unknownCluster
	}
	return n
}

// listedBy tells whether a manager of that swarm has a leader: it lives, whatever
// was done to it.
func listedBy(cluster string, all []fact) bool {
	return slices.ContainsFunc(all, func(f fact) bool { return f.listed && f.info.ClusterID == cluster })
}

func clusterOfPeers(peers []engine.Peer, all []fact) string {
	for _, p := range peers {
		if c := clusterListing(p.ID, all); c != "" {
			return c
		}
	}
	return ""
}

// choose finds the lab's swarm: the one in which a node that labs.yaml calls
// manager is a member, whatever its role there. An engine that gave up on its
// swarm (error) counts only where no other does.
func choose(nodes []NodeView, taken []string) (cluster string, candidates []SwarmMembers) {
	candidate := func(n NodeView) bool {
		return n.Want == lab.RoleManager && n.Cluster != "" && !n.dissolved && !slices.Contains(taken, n.Name)
	}
	found := groupBySwarm(nodes, func(n NodeView) bool { return candidate(n) && !n.failed() })
	if len(found) == 0 {
		found = groupBySwarm(nodes, candidate)
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0].Cluster, nil
	}
	for _, f := range found {
		candidates = append(candidates, groupBySwarm(nodes, func(n NodeView) bool { return n.Cluster == f.Cluster })...)
	}
	return "", candidates
}

// managedBySilent finds the swarm, if it is one, that nodes of the lab are in
// whose managers they know at the address of a node that labs.yaml calls
// manager and that cannot tell itself: it does not answer, or is in error.
func managedBySilent(v View) string {
	silent := func(addr string) bool {
		return slices.ContainsFunc(v.Nodes, func(n NodeView) bool {
			at := slices.IndexFunc(v.labNodes, func(t Node) bool { return t.Name == n.Name })
			return n.Want == lab.RoleManager && n.Cluster == "" && n.Addr.String() == addr && (!v.facts[at].answered() || n.failed())
		})
	}
	found := map[string]bool{}
	for i, n := range v.Nodes {
		for _, p := range v.facts[i].info.Remotes {
			if host, _, err := net.SplitHostPort(p.Addr); err == nil && n.Cluster != "" && !n.dissolved && silent(host) {
				found[n.Cluster] = true
			}
		}
	}
	if len(found) != 1 {
		return ""
	}
	return slices.Collect(maps.Keys(found))[0]
}

// failed: the engine reports swarm state error. A silent node is not one.
func (n NodeView) failed() bool { return n.engineState == engine.StateError }

// Hangs tells whether its engine let a call run out of time.
func (n NodeView) Hangs() bool {
	return n.State == StateEngineDown && errors.Is(n.Err, context.DeadlineExceeded)
}

// hung: a manager, by its certificate or the list, whose engine hangs.
func (n NodeView) hung() bool { return n.Hangs() && n.Role == lab.RoleManager && n.Cluster != "" }

// Hanging tells whether a manager let a call run out of time: it was asked while
// its swarm had no leader, and says more when it is asked again.
func (v View) Hanging() bool { return slices.ContainsFunc(v.Nodes, NodeView.hung) }

func groupBySwarm(nodes []NodeView, keep func(NodeView) bool) []SwarmMembers {
	by := map[string][]string{}
	for _, n := range nodes {
		if n.Cluster != "" && keep(n) {
			by[n.Cluster] = append(by[n.Cluster], n.Name)
		}
	}
	var out []SwarmMembers
	for _, c := range slices.Sorted(maps.Keys(by)) {
		out = append(out, SwarmMembers{Cluster: c, Nodes: by[c]})
	}
	return out
}

// list gives the list of nodes of the lab's swarm. Every manager gets it from
// the leader, but not at the same moment: while a node joins, one list may
// hold it and another not yet. The one that knows most of the lab's nodes is
// the newest.
func (v View) list() (list []engine.Node, ok bool) {
	most := -1
	for _, f := range v.facts {
		if !f.listed || v.Cluster == "" || f.info.ClusterID != v.Cluster {
			continue
		}
		known := 0
		for _, n := range v.Nodes {
			if n.NodeID != "" && find(f.nodes, n.NodeID) >= 0 {
				known++
			}
		}
		if known > most {
			most, list, ok = known, f.nodes, true
		}
	}
	return list, ok
}

func nodeState(n NodeView, f fact, v View, list []engine.Node, haveList bool) State {
	switch {
	case !f.answered() && !f.reached:
		return StateUnreachable
	case !f.answered():
		return StateEngineDown
	case f.info.State == engine.StateInactive:
		return StateInactive
	case n.dissolved:
		return StateRemoved
	}
	ours := n.Cluster == v.Cluster || n.Cluster == ""
	if v.Cluster == "" && n.Cluster != "" {
		ours = slices.ContainsFunc(v.CandidateSwarms, func(h SwarmMembers) bool { return h.Cluster == n.Cluster })
	}
	if !ours {
		return StateForeign
	}
	removed := haveList && n.NodeID != "" && n.Cluster == v.Cluster && find(list, n.NodeID) < 0 && clusterListing(n.NodeID, v.facts) == ""
	switch f.info.State {
	case engine.StatePending:
		if removed {
			return StateRemoved // it asks to come back, and is always refused
		}
		return StatePending
	case engine.StateLocked:
		return StateLocked
	case engine.StateError:
		return StateError
	}
	if haveList && n.NodeID != "" && find(list, n.NodeID) < 0 && clusterListing(n.NodeID, v.facts) == "" {
		return StateRemoved
	}
	return StateMember
}

// readList gives each node what the swarm's list says of it, and sorts the
// rest of the list into stale and unknown entries.
func (v *View) readList(list []engine.Node) {
	used := map[string]bool{}
	take := func(n *NodeView, e engine.Node) {
		used[e.ID] = true
		n.Listed = true
		n.NodeID = e.ID
		n.WantedRole = lab.Role(e.Role)
		n.Role = lab.RoleWorker
		if e.IsManager() {
			n.Role = lab.RoleManager
		}
		n.Leader, n.Reachability = e.Leader, e.Reachability
		n.Availability, n.Status, n.Labels = e.Availability, e.Status, e.Labels
		if n.Engine == "" {
			n.Engine = e.EngineVersion
		}
		if e.Leader {
			v.Leader = n.Name
		}
	}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		if at := find(list, n.NodeID); at >= 0 && n.NodeID != "" {
			n.Cluster = v.Cluster
			take(n, list[at])
		}
	}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		if n.State.Answered() || n.NodeID != "" {
			continue
		}
		if e, ok := guessEntry(*n, list, used); ok {
			n.Cluster = v.Cluster
			take(n, e)
		}
	}
	for _, e := range list {
		if used[e.ID] {
			continue
		}
		at := slices.IndexFunc(v.Nodes, func(n NodeView) bool { return n.named(e.Hostname) })
		if at < 0 {
			v.Unknown = append(v.Unknown, Entry{Node: e})
			if e.Leader {
				v.Leader = e.Hostname
			}
			continue
		}
		if n := v.Nodes[at]; n.settled() && (e.Status != engine.NodeReady || e.Addr == "" || e.Addr == n.Addr.String()) {
			v.Stale = append(v.Stale, Entry{Node: e, Lab: n.Name})
		}
	}
}

func (n NodeView) named(hostname string) bool {
	return strings.EqualFold(hostname, n.Hostname) || strings.EqualFold(hostname, n.Name)
}

// settled: the node's own engine told who it is, so that another entry with
// its host name is certainly not it. The list alone would not do: a node that
// left stays Ready there until its heartbeats are missed, 13 to 17 s.
func (n NodeView) settled() bool {
	switch n.State {
	case StateInactive, StateForeign, StateRemoved:
		return true
	case StateMember:
		return n.NodeID != ""
	case StatePending, StateLocked, StateError:
		return n.NodeID != "" && n.Listed
	}
	return false
}

// guessEntry finds the entry of a node that does not answer, by its host name: of
// several the one that takes part in raft, else the one that is not down.
func guessEntry(n NodeView, list []engine.Node, used map[string]bool) (engine.Node, bool) {
	var named []engine.Node
	for _, e := range list {
		if !used[e.ID] && n.named(e.Hostname) {
			named = append(named, e)
		}
	}
	for _, better := range []func(engine.Node) bool{
		engine.Node.IsManager,
		func(e engine.Node) bool { return e.Status == engine.NodeReady },
	} {
		if some := slices.DeleteFunc(slices.Clone(named), func(e engine.Node) bool { return !better(e) }); len(some) > 0 {
			named = some
		}
	}
	if len(named) != 1 {
		return engine.Node{}, false
	}
	return named[0], true
}

func (v View) quorum(haveList bool) Quorum {
	if v.Cluster == "" {
		return Quorum{}
	}
	if haveList {
		q := quorumOf(v.entries())
		q.Reachable = 0
		for _, e := range v.entries() {
			if e.IsManager() && v.reaches(e) {
				q.Reachable++
			}
		}
		return q
	}
	// Without a leader, nobody has the list; but every node knows the managers.
	managers := map[string]bool{}
	reachable := 0
	for i, n := range v.Nodes {
		if n.Cluster != v.Cluster {
			continue
		}
		for _, p := range v.facts[i].info.Remotes {
			managers[p.ID] = true
		}
		if n.Role == lab.RoleManager {
			managers[n.NodeID] = true
			if n.Control {
				reachable++
			}
		}
	}
	for _, n := range presumedManagers(v) {
		managers[n.Name] = true
	}
	q := QuorumOf(len(managers), reachable)
	q.HasQuorum = false
	return q
}

// presumedManagers are the nodes that labs.yaml calls managers, whose machines exist,
// and which cannot tell themselves, where nobody else tells who the managers
// are.
func presumedManagers(v View) (out []NodeView) {
	if v.Cluster == "" {
		return nil
	}
	for i, n := range v.Nodes {
		switch {
		case n.Cluster == v.Cluster && i < len(v.facts) && len(v.facts[i].info.Remotes) > 0:
			return nil
		case n.Want == lab.RoleManager && n.Cluster == "" && !n.State.Answered() && !errors.Is(n.Err, ErrAbsent):
			out = append(out, n)
		}
	}
	return out
}

// quorumOf counts the managers of a swarm's list, as its leader sees them.
func quorumOf(list []engine.Node) Quorum {
	managers, reachable := 0, 0
	for _, n := range list {
		if n.IsManager() {
			managers++
			if n.Reachability == engine.ReachabilityReachable {
				reachable++
			}
		}
	}
	return QuorumOf(managers, reachable)
}

// reaches tells whether a manager takes part: the leader reaches it, and it
// does not leave us without an answer. A new leader calls every manager
// reachable until it has missed one for some seconds.
func (v View) reaches(m engine.Node) bool {
	if m.Reachability != engine.ReachabilityReachable {
		return false
	}
	at := slices.IndexFunc(v.Nodes, func(n NodeView) bool { return n.NodeID == m.ID })
	return at < 0 || v.Nodes[at].State != StateUnreachable && v.Nodes[at].State != StateEngineDown
}

func (v View) entries() []engine.Node {
	list, _ := v.list()
	return list
}

func warningsOf(v View) []string {
	out := v.Quorum.Warnings()
	if len(v.CandidateSwarms) > 0 {
		out = append(out, "split: nodes of the lab are in two different swarms: "+describeSwarms(v.CandidateSwarms))
	}
	for _, n := range v.Nodes {
		switch {
		case n.State == StateForeign && n.Want != lab.RoleNone:
			what := "that is not the lab's"
			if left := formerManagers(v, n.Cluster); len(left) > 0 {
				what = "that its managers have left: " + strings.Join(left, ", ")
			}
			out = append(out, fmt.Sprintf("%s is in a swarm %s (%s)", n.Name, what, n.Cluster))
		case n.outOfRaft() && n.State == StatePending:
			out = append(out, fmt.Sprintf("%s was a manager, and the swarm goes on without it (docker swarm init --force-new-cluster): if it stays pending for more than a minute, it must rejoin: dcalab swarm bootstrap --take-over %s", n.Name, n.Name))
		case n.outOfRaft() && !n.State.Answered():
			out = append(out, fmt.Sprintf("%s was a manager, and the swarm goes on without it (docker swarm init --force-new-cluster): do not start it as it is; recreate it: dcalab destroy --force %s, then dcalab up --swarm", n.Name, n.Name))
		case n.State == StateRemoved && n.dissolved:
			out = append(out, fmt.Sprintf("%s came back into a swarm that was dissolved (%s): to take it out, dcalab swarm dissolve; to take it into the new one, dcalab swarm bootstrap", n.Name, n.Cluster))
		case n.State == StateMember && n.Want == lab.RoleNone && !n.Orphan:
			out = append(out, fmt.Sprintf("%s is in the swarm, although labs.yaml gives it no role there", n.Name))
		}
	}
	for _, e := range v.Stale {
		out = append(out, fmt.Sprintf("the swarm's node list has a stale entry for %s (%s)", e.Lab, e.ID))
	}
	for _, e := range v.Unknown {
		out = append(out, fmt.Sprintf("the swarm's node list has a node that does not belong to the lab: %s (%s)", e.Hostname, e.ID))
	}
	return out
}

// outOfRaft: the swarm's list wants it as a manager, and it takes no part in
// raft: what is left of the managers after docker swarm init
// --force-new-cluster. Started, it may come back as a manager by itself, or be
// pending for good (20.10).
func (n NodeView) outOfRaft() bool {
	return n.Listed && n.WantedRole == lab.RoleManager && n.Role != lab.RoleManager && !errors.Is(n.Err, ErrAbsent)
}

// formerManagers are the managers of a swarm as its nodes remember them, where all
// of them are nodes of the lab that are not in it any more (docker swarm leave
// --force): nobody can change that swarm again.
func formerManagers(v View, cluster string) []string {
	left := map[string]bool{}
	for i, n := range v.Nodes {
		if n.Cluster != cluster {
			continue
		}
		if n.Role == lab.RoleManager {
			return nil
		}
		for _, p := range v.facts[i].info.Remotes {
			host, _, err := net.SplitHostPort(p.Addr)
			at := slices.IndexFunc(v.Nodes, func(m NodeView) bool { return m.Addr.String() == host })
			if err != nil || at < 0 || !v.Nodes[at].settled() || v.Nodes[at].Cluster == cluster {
				return nil
			}
			left[v.Nodes[at].Name] = true
		}
	}
	return slices.Sorted(maps.Keys(left))
}

func describeSwarms(hs []SwarmMembers) string {
	var parts []string
	for _, h := range hs {
		parts = append(parts, fmt.Sprintf("%s in swarm %s", strings.Join(h.Nodes, ", "), h.Cluster))
	}
	return strings.Join(parts, "; ")
}

package swarm

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
)

// Lesson gives the commands that a person would type for these steps, in
// order, where the nodes are as v shows them. It is pure.
func (v View) Lesson(steps []Step) lesson.Lesson {
	t := newTeacher(v, steps)
	for _, s := range steps {
		s.plain(t)
	}
	return t.out
}

// Manager gives the short name of the node of the lab on which commands on the
// swarm are typed: the leader, where it is one of the lab's, else the first
// that takes them; empty where there is none.
func (v View) Manager() string { return newTeacher(v, nil).manager() }

// Imagine is the view when the machines of these nodes, by short name, were
// just made: their engines answer, and are in no swarm.
func (v View) Imagine(names ...string) View {
	facts := slices.Clone(v.facts)
	for i, t := range v.labNodes {
		if slices.Contains(names, t.Name) {
			facts[i] = fact{reached: true, info: engine.Info{State: engine.StateInactive, Hostname: t.Hostname}}
		}
	}
	return assemble(v.labNodes, facts, nil)
}

// teacher writes a lesson, and follows on the way what the commands that were
// typed so far have made of the swarm.
type teacher struct {
	v    View
	plan []Step
	out  lesson.Lesson
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

func newTeacher(v View, plan []Step) *teacher {
	t := &teacher{v: v, plan: plan, arrived: map[string]engine.Role{}, left: map[string]bool{}, shown: map[string]bool{}}
	for _, n := range v.Nodes {
		if v.Cluster != "" && n.Cluster == v.Cluster && n.Control {
			t.managers = append(t.managers, n.Name)
		}
	}
	// Who stays a manager to the end is asked first, of these the leader.
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
func (t *teacher) manager() string {
	if len(t.managers) == 0 {
		return ""
	}
	return t.managers[0]
}

func (t *teacher) add(c lesson.Command) { t.out = append(t.out, c) }

// ask adds a command on the swarm.
func (t *teacher) ask(why string, words ...string) {
	t.add(lesson.Command{Node: t.manager(), Text: lesson.Template(words...), Why: why})
}

// await adds a command that is typed until it says so; once.
func (t *teacher) await(c lesson.Command) {
	if key := c.Node + " " + c.Text; !t.shown[key] {
		t.shown[key] = true
		t.add(c)
	}
}

// give adds a command on the swarm that gives a placeholder; once.
func (t *teacher) give(placeholder string, words ...string) {
	if !t.shown[placeholder] {
		t.shown[placeholder] = true
		t.add(lesson.Command{Node: t.manager(), Text: lesson.Template(words...), Gives: placeholder})
	}
}

// entry is how the swarm's list calls a node: by its host name where that
// means nobody else, else by its id.
func (t *teacher) entry(node, id string) string {
	host := ""
	if at := find(t.v.entries(), id); at >= 0 && id != "" {
		host = t.v.entries()[at].Hostname
	} else if n, ok := t.v.Node(node); ok {
		host = n.Hostname
		if at := slices.IndexFunc(t.v.labNodes, func(m Node) bool { return m.Name == n.Name }); at >= 0 && t.v.facts[at].info.Hostname != "" {
			host = t.v.facts[at].info.Hostname
		}
	}
	for _, e := range t.v.entries() {
		if strings.EqualFold(e.Hostname, host) && e.ID != id && !t.left[e.ID] {
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
	if !t.shown[placeholder] {
		t.shown[placeholder] = true
		t.add(lesson.Command{Node: node, Text: lesson.Template("docker", "info", "--format", "{{.Swarm.NodeID}}"), Why: "its host name is not unique in the swarm", Gives: placeholder})
	}
	return placeholder
}

// ready waits until the swarm calls a node Ready, and a manager Reachable.
func (t *teacher) ready(node, id string, manager bool) {
	name := t.entry(node, id)
	format, until := "{{.Status.State}}", "ready"
	if manager {
		format, until = "{{.Status.State}} {{.ManagerStatus.Reachability}}", "ready reachable"
	}
	t.await(lesson.Command{Node: t.manager(), Text: lesson.Template("docker", "node", "inspect", "--format", format, name), Until: until})
}

// outOfRaft waits until a manager takes no part in raft any more: by its own
// word where it answers, else by the list's.
func (t *teacher) outOfRaft(node, id, name string) {
	if n, ok := t.v.Node(node); ok && n.NodeID == id && n.State.Answered() {
		t.add(lesson.Command{Node: node, Text: lesson.Template("docker", "info", "--format", "{{.Swarm.ControlAvailable}}"), Why: "whether it is a manager still", Until: "false"})
		return
	}
	t.add(lesson.Command{Node: t.manager(), Text: lesson.Template("docker", "node", "inspect", "--format", "{{.ManagerStatus}}", name), Why: "whether it is a manager still", Until: "<nil>"})
}

// gone follows that a node takes no commands on the swarm any more.
func (t *teacher) gone(node string) {
	t.managers = slices.DeleteFunc(t.managers, func(m string) bool { return m == node })
}

// arrive follows that a node came into the swarm.
func (t *teacher) arrive(node string, role engine.Role) {
	t.arrived[node] = role
	if role == engine.RoleManager && !slices.Contains(t.managers, node) {
		t.managers = append(t.managers, node)
	}
}

func (s awaitQuorumStep) plain(t *teacher) {
	t.await(lesson.Command{Node: t.manager(), Text: lesson.Template("docker", "node", "ls", "--format", "{{.ManagerStatus}}"), Until: "Leader"})
}

func (s unlockStep) plain(t *teacher) {
	if !s.keyless {
		t.give(lesson.UnlockKey, "docker", "swarm", "unlock-key", "--quiet")
	}
	t.add(lesson.Command{Node: s.Node(), Text: "docker swarm unlock", Asks: lesson.UnlockKey})
}

func (s waitStep) plain(t *teacher) {
	if s.hung {
		t.add(lesson.Command{Node: s.Node(), Text: lesson.Template("docker", "info", "--format", "{{.Swarm.LocalNodeState}}"), Why: "it answers once it knows its part in the swarm"})
		return
	}
	t.await(lesson.Command{Node: s.Node(), Text: lesson.Template("docker", "info", "--format", "{{.Swarm.LocalNodeState}}"), Until: "active"})
}

func (s dropStep) plain(t *teacher) {
	name := t.entry(s.Node(), s.ID)
	if t.arrived[s.Node()] != "" {
		name = s.ID // the node has a new entry by now, with the same host name
	}
	if s.Manager {
		t.ask("a lost manager counts towards the quorum until it is demoted", "docker", "node", "demote", name)
		t.outOfRaft("", s.ID, name)
	}
	t.ask("remove its entry", "docker", "node", "rm", "--force", name)
	t.left[s.ID] = true
}

func (s leaveStep) plain(t *teacher) {
	// Without force goes a worker, and what was demoted on the way.
	n, _ := t.v.Node(s.Node())
	line := []string{"docker", "swarm", "leave"}
	manages := slices.Contains(t.managers, s.Node()) || n.Role == lab.RoleManager && t.arrived[s.Node()] != engine.RoleWorker
	if manages || s.failed || n.State != StateMember && n.State != StateForeign {
		line = append(line, "--force")
	}
	t.add(lesson.Command{Node: s.Node(), Text: lesson.Template(line...), Why: s.Why})
	t.gone(s.Node())
}

func (s initStep) plain(t *teacher) {
	o := s.Options
	line := []string{"docker", "swarm", "init", "--advertise-addr", o.Advertise}
	option := func(given bool, flag string, value any) {
		if given {
			line = append(line, flag, fmt.Sprint(value))
		}
	}
	for _, p := range o.Pools {
		option(true, "--default-addr-pool", p)
	}
	// What Docker does by itself is not written.
	option(o.SubnetSize != 0 && o.SubnetSize != dockerSubnetSize, "--default-addr-pool-mask-length", o.SubnetSize)
	option(o.DataPathPort != 0 && o.DataPathPort != dockerDataPathPort, "--data-path-port", o.DataPathPort)
	option(o.CertExpiry != 0 && o.CertExpiry != dockerCertExpiry, "--cert-expiry", inHours(o.CertExpiry))
	option(o.TaskHistory >= 0 && o.TaskHistory != dockerTaskHistory, "--task-history-limit", o.TaskHistory)
	option(o.Availability != "" && o.Availability != engine.AvailabilityActive, "--availability", o.Availability)
	why := "start the swarm"
	if o.Autolock {
		line = append(line, "--autolock")
		why += ", and keep the unlock key that it shows"
	}
	t.add(lesson.Command{Node: s.Node(), Text: lesson.Template(line...), Why: why})
	t.arrive(s.Node(), engine.RoleManager)
}

// Docker's own defaults of docker swarm init.
const (
	dockerSubnetSize   = 24
	dockerDataPathPort = 4789
	dockerCertExpiry   = 90 * 24 * time.Hour
	dockerTaskHistory  = 5
)

// inHours writes a time as docker takes it.
func inHours(d time.Duration) string {
	if d%time.Hour == 0 {
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	}
	return d.String()
}

func (s joinStep) plain(t *teacher) {
	// Both tokens at once, where both are wanted: it spares a way.
	for _, want := range t.plan {
		if j, ok := want.(joinStep); ok {
			t.give(token(j.Role), "docker", "swarm", "join-token", "--quiet", string(j.Role))
		}
	}
	line := []string{"docker", "swarm", "join", "--token", token(s.Role), "--advertise-addr", s.Advertise}
	if s.Availability != "" && s.Availability != engine.AvailabilityActive {
		line = append(line, "--availability", string(s.Availability))
	}
	t.add(lesson.Command{Node: s.Node(), Text: lesson.Template(append(line, t.address())...), Why: "join as " + string(s.Role)})
	t.arrive(s.Node(), s.Role)
}

func token(role engine.Role) string {
	if role == engine.RoleManager {
		return lesson.ManagerToken
	}
	return lesson.WorkerToken
}

// address is where nodes join.
func (t *teacher) address() string {
	n, _ := t.v.Node(t.manager())
	if at := find(t.v.entries(), n.NodeID); at >= 0 && n.NodeID != "" {
		if a := t.v.entries()[at].ManagerAddr; a != "" {
			return a
		}
	}
	return net.JoinHostPort(n.Addr.String(), RaftPort)
}

func (s promoteStep) plain(t *teacher) {
	t.ask("", "docker", "node", "promote", t.entry(s.Node(), s.ID))
	t.ready(s.Node(), s.ID, true)
	if _, ours := t.v.Node(s.Node()); ours {
		t.arrive(s.Node(), engine.RoleManager)
	}
}

func (s demoteStep) plain(t *teacher) {
	name := t.entry(s.Node(), s.ID)
	t.ask("", "docker", "node", "demote", name)
	t.gone(s.Node())
	t.outOfRaft(s.Node(), s.ID, name)
	t.arrived[s.Node()] = engine.RoleWorker
}

func (s updateStep) plain(t *teacher) {
	if role, arrived := t.arrived[s.Node()]; arrived && s.ID == "" {
		// Before that the list does not know its host name.
		t.ready(s.Node(), "", role == engine.RoleManager)
	}
	t.update(s.Node(), s.ID, s.Labels, nil, s.Availability)
}

// update changes what can be changed of a node that is in the swarm.
func (t *teacher) update(node, id string, set map[string]string, drop []string, availability engine.Availability) {
	line := []string{"docker", "node", "update"}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		line = append(line, "--label-add", k+"="+set[k])
	}
	for _, k := range drop {
		line = append(line, "--label-rm", k)
	}
	if availability != "" {
		line = append(line, "--availability", string(availability))
	}
	t.ask("", append(line, t.entry(node, id))...)
}

func (s configureStep) plain(t *teacher) {
	line := []string{"docker", "swarm", "update"}
	why := ""
	if e := s.Want.CertExpiry; e != nil {
		line = append(line, "--cert-expiry", inHours(*e))
	}
	if h := s.Want.TaskHistory; h != nil {
		line = append(line, "--task-history-limit", strconv.Itoa(*h))
	}
	if on := s.Want.Autolock; on != nil {
		line = append(line, fmt.Sprintf("--autolock=%t", *on))
		if *on {
			why = "keep the unlock key that it shows"
		}
	}
	t.ask(why, line...)
}

func (s awaitStep) plain(t *teacher) {
	for _, name := range s.Ready {
		n, _ := t.v.Node(name)
		manager := slices.Contains(s.Reachable, name)
		_, arrived := t.arrived[name]
		stands := n.Status == engine.NodeReady && (!manager || n.Reachability == engine.ReachabilityReachable)
		switch {
		case arrived && n.State != StateMember:
			t.ready(name, "", manager)
		case arrived || !stands:
			t.ready(name, n.NodeID, manager)
		}
	}
}

func (s availabilityStep) plain(t *teacher) { t.update(s.Node(), s.ID, nil, nil, s.Want) }

func (s emptyStep) plain(t *teacher) {
	line := []string{"docker", "node", "ps"}
	// What a node that does not answer last told says nothing.
	if n, ours := t.v.Node(s.Node()); ours && !n.State.Answered() {
		line = append(line, "--filter", "desired-state=running")
	}
	text := lesson.Template(append(line, "--format", "{{.CurrentState}}", t.entry(s.Node(), s.ID))...) + " | grep -c Running"
	t.await(lesson.Command{Node: t.manager(), Text: text, Why: "how many tasks run there", Until: "0"})
}

func (s labelStep) plain(t *teacher) { t.update(s.Node(), s.ID, s.Set, s.Drop, "") }

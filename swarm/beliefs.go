package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm/raft"
)

// Answer is how far a manager could tell what it believes.
type Answer string

// The answers of a manager.
const (
	AnswerList   Answer = "list"    // it gave the swarm's list of nodes
	AnswerNoList Answer = "no-list" // its engine answers, and has no list: Error says why
	AnswerSilent Answer = "silent"  // neither: Error says why
)

// Belief is what one manager holds true of its swarm. A list is the leader's:
// a manager passes the question on. So managers of one side of a partition
// agree, and the other side has no list, or for some seconds the old leader's.
type Belief struct {
	Manager string `json:"manager" yaml:"manager"`
	Answer  Answer `json:"answer" yaml:"answer"`
	// State is what the engine calls its own state in the swarm; empty where it
	// is silent.
	State   engine.LocalNodeState `json:"state" yaml:"state"`
	Error   string                `json:"error" yaml:"error"`
	ID      string                `json:"id" yaml:"id"`
	Cluster string                `json:"cluster" yaml:"cluster"`
	// Leader is the node that the list calls the leader, by name; empty where
	// it calls none so, or there is no list.
	Leader string `json:"leader" yaml:"leader"`
	Raft   `yaml:",inline"`
	// NoRaft is why the raft log could not be read, where its node was reached.
	NoRaft string `json:"raft_error" yaml:"raft_error"`
	// Knows are the managers that its engine remembers, with or without a
	// list, by name where they are the lab's, else by address.
	Knows   []string `json:"knows" yaml:"knows"`
	Members []Member `json:"members" yaml:"members"`

	hangs bool
}

// Leaderless tells whether a manager's engine runs, and knows of no leader: it says
// so, or what was asked hangs, as it does while a leader is elected.
func (b Belief) Leaderless() bool {
	return b.Answer == AnswerNoList || b.Answer == AnswerList && b.Leader == "" || b.hangs
}

// Raft is what a manager's raft log tells of it, with or without a leader; zero
// where it could not be read.
type Raft struct {
	// Term that the manager was last in, and the manager that it voted for in it, by
	// name, or by the id in raft of one that the lab does not know; empty for none.
	Term uint64 `json:"term" yaml:"term"`
	Vote string `json:"vote" yaml:"vote"`
	// Commit is the index of the last entry that it knows to be committed; LastTerm
	// and LastIndex are of the last entry that it has.
	Commit    uint64 `json:"commit" yaml:"commit"`
	LastTerm  uint64 `json:"last_term" yaml:"last_term"`
	LastIndex uint64 `json:"last_index" yaml:"last_index"`
	// Behind is how many entries the longest log of all has more.
	Behind uint64 `json:"behind" yaml:"behind"`
}

// Member is a node as one manager's list has it.
type Member struct {
	// Name is the lab's for the node, with the id where the list has several of
	// that name; the host name of a node that is not the lab's.
	Name         string              `json:"name" yaml:"name"`
	ID           string              `json:"id" yaml:"id"`
	Role         lab.Role            `json:"role" yaml:"role"`
	Leader       bool                `json:"leader" yaml:"leader"`
	Reachability engine.Reachability `json:"reachability" yaml:"reachability"`
	Status       engine.NodeStatus   `json:"status" yaml:"status"`
	Availability engine.Availability `json:"availability" yaml:"availability"`
}

// Disagreement is a matter on which managers do not believe the same.
type Disagreement struct {
	// About is "leader", "term", "cluster", or a member's name.
	About string `json:"about" yaml:"about"`
	// Beliefs has what each manager that knows of the matter believes, by the
	// manager's name.
	Beliefs map[string]string `json:"beliefs" yaml:"beliefs"`
}

// Views are the beliefs of all managers, side by side.
type Views struct {
	// Managers in the order of the targets.
	Managers []Belief `json:"managers" yaml:"managers"`
	// Disagreements: the leader, the term, the swarm, then members.
	Disagreements []Disagreement `json:"disagreements" yaml:"disagreements"`
}

// ManagerViews asks every manager at once what it believes. log reads the raft log
// of a node (the Engine API does not tell of it), and may be nil. It takes as long
// as the slowest, some seconds where a manager waits for a leader, and never fails:
// what could not be asked is in the view.
func (c *Cluster) ManagerViews(ctx context.Context, log func(ctx context.Context, node string) (raft.State, error)) Views {
	targets := c.targets
	facts := make([]fact, len(targets))
	logs, noLogs := make([]raft.State, len(targets)), make([]error, len(targets))
	each(2*len(targets), func(i int) {
		ctx, cancel := context.WithTimeout(ctx, beliefTimeout)
		defer cancel()
		at := i / 2
		switch {
		case i%2 == 0:
			facts[at] = probe(ctx, targets[at])
		case log != nil:
			logs[at], noLogs[at] = log(ctx, targets[at].Name) // without it a manager has all else
		}
	})
	w := observations{targets, facts}
	v := Views{Managers: []Belief{}}
	seen := w.raft(logs)
	for i := range targets {
		if w.manages(i) {
			b := w.belief(i)
			b.Raft = seen[i]
			if err := noLogs[i]; err != nil && !errors.Is(err, ErrAbsent) {
				b.NoRaft = strings.TrimPrefix(err.Error(), b.Manager+": ")
			}
			v.Managers = append(v.Managers, b)
		}
	}
	v.Disagreements = disagreements(v.Managers)
	return v
}

// Electing tells whether no manager that answers has a leader, and enough of them to
// elect one answer; term is the newest that one of these is in, 0 where no log could
// be read. Whether they reach each other is not known.
func (v Views) Electing() (term uint64, ok bool) {
	voters := 0
	for _, b := range v.Managers {
		switch {
		case b.Leaderless():
			voters++
			term = max(term, b.Term)
		case b.Answer == AnswerList:
			return 0, false
		}
	}
	return term, voters > 0 && voters >= Majority(len(v.Managers))
}

// raft puts the logs side by side.
func (w observations) raft(logs []raft.State) []Raft {
	names := map[uint64]string{}
	longest := uint64(0)
	for i, l := range logs {
		if w.manages(i) {
			names[l.ID] = w.targets[i].Name
			longest = max(longest, l.Last.Index)
		}
	}
	out := make([]Raft, len(logs))
	for i, l := range logs {
		if l == (raft.State{}) || !w.manages(i) {
			continue
		}
		r := Raft{Term: l.Term, Commit: l.Commit, LastTerm: l.Last.Term, LastIndex: l.Last.Index, Behind: longest - l.Last.Index}
		if l.Vote != 0 {
			r.Vote = cmp.Or(names[l.Vote], strconv.FormatUint(l.Vote, 16))
		}
		out[i] = r
	}
	return out
}

// observations are nodes and what each said.
type observations struct {
	targets []Target
	facts   []fact
}

// manages tells whether a node is a manager: by what it says itself, by a list, or,
// for one that cannot tell, by labs.yaml.
func (w observations) manages(i int) bool {
	f := w.facts[i]
	switch {
	case f.info.Control || f.info.State == engine.StateLocked:
		return true
	case f.answered() && f.info.State == engine.StateInactive:
		return false
	case f.answered() && f.info.State == engine.StateActive:
		return false
	}
	// One that hangs is in a swarm, whether others tell of it or not.
	known := f.reached && errors.Is(f.err, context.DeadlineExceeded)
	for _, other := range w.facts {
		known = known || other.info.Control || len(other.info.Remotes) > 0
		for _, n := range other.nodes {
			if w.named(i, n) {
				return n.IsManager()
			}
		}
	}
	return known && w.targets[i].Role == lab.RoleManager
}

// named tells whether an entry of a list is a node: by id where its engine
// told it, else by host name.
func (w observations) named(i int, n engine.Node) bool {
	if id := w.facts[i].info.NodeID; id != "" {
		return id == n.ID
	}
	t := w.targets[i]
	return !w.facts[i].answered() && (strings.EqualFold(n.Hostname, t.Hostname) || strings.EqualFold(n.Hostname, t.Name))
}

func (w observations) belief(i int) Belief {
	f := w.facts[i]
	b := Belief{
		Manager: w.targets[i].Name, State: f.info.State, ID: f.info.NodeID, Cluster: f.info.ClusterID,
		Knows: []string{}, Members: []Member{},
	}
	for _, p := range f.info.Remotes {
		b.Knows = append(b.Knows, w.peerName(p))
	}
	slices.Sort(b.Knows)
	switch {
	case f.err != nil:
		b.Answer, b.Error = AnswerSilent, f.err.Error()
		if f.reached && errors.Is(f.err, context.DeadlineExceeded) {
			b.Error += ", as of a manager that waits for a leader"
			b.hangs = true
		}
	case f.listed:
		b.Answer = AnswerList
	default:
		b.Answer, b.Error = AnswerNoList, f.info.Error
		if b.Error == "" && f.nodesErr != nil {
			b.Error = f.nodesErr.Error()
		}
		if b.Error == "" {
			b.Error = "its state in the swarm is " + string(f.info.State)
		}
	}
	b.Error = strings.TrimPrefix(b.Error, b.Manager+": ")
	names := w.memberNames(f.nodes)
	for at, n := range f.nodes {
		m := Member{
			Name: names[at], ID: n.ID, Role: lab.Role(n.Role), Leader: n.Leader, Reachability: n.Reachability,
			Status: n.Status, Availability: n.Availability,
		}
		if m.Leader {
			b.Leader = m.Name
		}
		b.Members = append(b.Members, m)
	}
	slices.SortStableFunc(b.Members, func(x, y Member) int { return w.place(x.Name) - w.place(y.Name) })
	return b
}

// place is a member's position in the output: the lab's nodes first, in their order.
func (w observations) place(name string) int {
	name, _, _ = strings.Cut(name, " ")
	at := slices.IndexFunc(w.targets, func(t Target) bool { return t.Name == name })
	if at < 0 {
		return len(w.targets)
	}
	return at
}

// memberNames gives each entry of a list a name of its own.
func (w observations) memberNames(list []engine.Node) []string {
	out := make([]string, len(list))
	for at, n := range list {
		out[at] = n.Hostname
		for i, t := range w.targets {
			if strings.EqualFold(n.Hostname, t.Hostname) || strings.EqualFold(n.Hostname, t.Name) {
				out[at] = t.Name
				// An entry of what the node was before it was recreated.
				if id := w.facts[i].info.NodeID; id != "" && id != n.ID {
					out[at] += " " + n.ID
				}
			}
		}
	}
	for at, name := range out {
		for other := at + 1; other < len(out); other++ {
			if out[other] == name {
				out[at], out[other] = name+" "+list[at].ID, name+" "+list[other].ID
			}
		}
	}
	return out
}

func (w observations) peerName(p engine.Peer) string {
	host, _, _ := net.SplitHostPort(p.Addr)
	for i, t := range w.targets {
		if p.ID != "" && p.ID == w.facts[i].info.NodeID || host == t.Addr.String() {
			return t.Name
		}
	}
	return p.Addr
}

// NoLeader is what a Disagreement has for a manager that knows of no leader.
const NoLeader = "none"

// NotListed is what a Disagreement has for a manager whose list lacks a node.
const NotListed = "not listed"

func disagreements(bs []Belief) []Disagreement {
	out := []Disagreement{}
	weigh := func(about string, believes func(Belief) string) {
		d := Disagreement{About: about, Beliefs: map[string]string{}}
		differ := map[string]bool{}
		for _, b := range bs {
			if text := believes(b); text != "" {
				d.Beliefs[b.Manager] = text
				differ[text] = true
			}
		}
		if len(differ) > 1 {
			out = append(out, d)
		}
	}
	weigh("leader", Belief.LeaderText)
	weigh("term", func(b Belief) string {
		if b.Term == 0 {
			return ""
		}
		return strconv.FormatUint(b.Term, 10)
	})
	weigh("cluster", func(b Belief) string { return b.Cluster })
	for _, name := range MemberNames(bs) {
		weigh(name, func(b Belief) string {
			if b.Answer != AnswerList {
				return ""
			}
			if m, ok := b.Member(name); ok {
				return m.String()
			}
			return NotListed
		})
	}
	return out
}

// LeaderText names the leader that the manager believes in, NoLeader, or is
// empty for one that is silent.
func (b Belief) LeaderText() string {
	switch {
	case b.Answer == AnswerSilent:
		return ""
	case b.Leader == "":
		return NoLeader
	}
	return b.Leader
}

// Member finds a node in the manager's list.
func (b Belief) Member(name string) (Member, bool) {
	for _, m := range b.Members {
		if m.Name == name {
			return m, true
		}
	}
	return Member{}, false
}

// MemberNames are the names of all that any of the lists holds, each once: the
// order of the lists, the longest first.
func MemberNames(bs []Belief) []string {
	bs = slices.Clone(bs)
	slices.SortStableFunc(bs, func(a, b Belief) int { return len(b.Members) - len(a.Members) })
	var out []string
	for _, b := range bs {
		for _, m := range b.Members {
			if !slices.Contains(out, m.Name) {
				out = append(out, m.Name)
			}
		}
	}
	return out
}

// String reads "leader, ready, active" or "worker, down, drain"; a role that
// is wished for and not yet true is told.
func (m Member) String() string {
	role := string(lab.RoleWorker)
	switch {
	case m.Leader:
		role = "leader"
	case m.Reachability != "":
		role = "manager " + string(m.Reachability)
	}
	switch {
	case m.Reachability != "" && m.Role == lab.RoleWorker:
		role += " (to be worker)"
	case m.Reachability == "" && m.Role == lab.RoleManager:
		role += " (to be manager)"
	}
	return fmt.Sprintf("%s, %s, %s", role, m.Status, m.Availability)
}

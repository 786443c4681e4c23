package timeline

import (
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/raft"
)

// Present is how a lab is, as far as the events tell that were taken, in their order.
// The zero Present knows nothing.
type Present struct {
	// Managers are the raft logs, by node.
	Managers map[string]Raft
	// Leader is who won the newest election, Term the one that it was won in, and
	// Elected when that was learnt; empty and zero where it is not known.
	Leader  string
	Term    uint64
	Elected time.Time
	// Won are the managers that won elections, by the term.
	Won map[uint64]string
	// Nodes by their names, Services and Tasks by their ids in the swarm, Faults by
	// their own.
	Nodes    map[string]Node
	Services map[string]Service
	Tasks    map[string]Task
	Faults   map[string]Fault
	Settings Settings
	// News are the newest events that a live view has a line for; the newest is last.
	News []Event

	lost time.Time // since when nobody leads; zero where somebody does
	// before is the election that was known when a listener began, which may be the newest still.
	before election
	hung   bool // the leader's engine hangs, and may still lead when it goes on
	story  Story
}

// election is one that was won.
type election struct {
	leader string
	term   uint64
	at     time.Time
}

func (p *Present) elected() election {
	if p.Leader == "" {
		return p.before
	}
	return election{p.Leader, p.Term, p.Elected}
}

// newsMax is how many events a Present keeps.
const newsMax = 30

// Take goes on to what is after an event, and tells whether that is worth a line, as a
// Story does.
func (p *Present) Take(e Event) (isNew bool) {
	if e.Kind == KindBegins { // whatever was before, what follows begins with all that there is
		*p = Present{News: p.News, before: p.elected()}
		return true
	}
	isNew, later := p.story.take(e)
	switch {
	case later:
		p.change(*e.Change)
	case e.Source == SourceFault:
		p.fault(e)
	}
	p.take(e)
	if isNew && e.IsNews() {
		p.News = append(p.News, e)
		p.News = slices.Delete(p.News, 0, max(0, len(p.News)-newsMax))
	}
	return isNew
}

// take goes on to what is after an event of raft, an engine or a machine.
func (p *Present) take(e Event) {
	switch e.Kind {
	case KindState, KindTerm, KindLog, KindLeader:
		if e.Raft != nil && e.Source == SourceRaft {
			put(&p.Managers, e.Node, *e.Raft)
		}
		if e.Kind == KindLeader && e.Raft != nil {
			p.Leader, p.Term, p.Elected, p.lost, p.hung = e.Node, e.Raft.Term, e.Time, time.Time{}, false
			if p.before.leader == p.Leader && p.before.term == p.Term {
				p.Elected = p.before.at
			}
			put(&p.Won, p.Term, p.Leader)
		}
	case KindLeft:
		p.forget(e.Node)
	case KindSettings:
		if e.Settings != nil {
			p.Settings = *e.Settings
		}
	case KindLocked, KindUnlocked:
		p.edit(e.Node, func(n *Node) { n.Locked = e.Kind == KindLocked })
	case KindCertificate:
		p.edit(e.Node, func(n *Node) { n.Certificate = e.Until })
	case KindEngine:
		p.edit(e.Node, func(n *Node) { n.Engine, n.Locked = e.Engine, n.Locked && e.Engine != engine.LifeDown })
		if e.Engine == engine.LifeUp {
			p.back(e.Node)
			// A leader that hung, and was not missed, still leads; one that stopped does not.
			if e.Node == p.Leader && p.hung && !p.outvoted() {
				p.lost = time.Time{}
			}
		} else {
			p.gone(e.Node, e.Time)
		}
		if e.Node == p.Leader {
			p.hung = e.Engine == engine.LifeHangs
		}
	case KindMachine:
		p.edit(e.Node, func(n *Node) {
			if n.Machine = e.Machine; e.Machine != machine.StatusRunning {
				n.Engine, n.Locked, n.Certificate = "", false, time.Time{}
			}
		})
		switch e.Machine {
		case machine.StatusAbsent:
			p.forget(e.Node)
			p.gone(e.Node, e.Time)
		case machine.StatusHalted:
			p.gone(e.Node, e.Time)
		case machine.StatusRunning:
			p.back(e.Node)
		}
	}
	switch {
	case p.Leader == "" || !p.lost.IsZero():
	case !p.Nodes[p.Leader].Away.IsZero():
		p.lost = p.Nodes[p.Leader].Away
	case p.outvoted():
		p.lost = e.Time
	}
}

func (p *Present) forget(node string) {
	delete(p.Managers, node)
	if len(p.Managers) == 0 {
		p.dissolved()
	}
}

func (p *Present) gone(node string, at time.Time) {
	p.edit(node, func(n *Node) {
		if n.Away.IsZero() {
			n.Away = at
		}
	})
}

func (p *Present) back(node string) {
	p.edit(node, func(n *Node) { n.Away = time.Time{} })
}

// outvoted tells whether a majority has gone on to a term that nobody has won yet. One
// manager alone, as one that is cut off, does not unseat a leader.
func (p *Present) outvoted() bool {
	later := 0
	for _, r := range p.Managers {
		if r.Term > p.Term {
			later++
		}
	}
	return later >= swarm.Majority(len(p.Managers))
}

// Electing gives the newest term that managers are in while nobody leads, and since
// when that is so. Where there is a leader, or it is not known, ok is false.
func (p *Present) Electing() (term uint64, since time.Time, ok bool) {
	if p.lost.IsZero() {
		return 0, time.Time{}, false
	}
	term = p.Term
	for name, r := range p.Managers {
		if p.Nodes[name].Away.IsZero() {
			term = max(term, r.Term)
		}
	}
	return term, p.lost, true
}

// IsNews tells which events a live view has a line for: not those whose effect its table
// shows, machines, nodes and certificates.
func (e Event) IsNews() bool {
	if e.Kind == KindCertificate {
		return false
	}
	switch e.Source {
	case SourceSwarm:
		return e.Change == nil || e.Change.Kind == raft.KindTask || e.Change.Kind == raft.KindService
	case SourceRaft:
		return e.Kind != KindState
	case SourceMachine:
		return e.Text != ""
	}
	return true
}

// About is the node that an event is about, for a line: of a task its own, and none where
// it does not matter which manager has told it first.
func (e Event) About() string {
	switch {
	case e.Change == nil:
		return e.Node
	case e.Change.Kind == raft.KindTask:
		return e.Change.On
	}
	return ""
}

// Sentence is Words for a line that begins with what it is about.
func (e Event) Sentence() string { return strings.TrimPrefix(e.Words(), e.Node+": ") }

// Behind is how many entries the longest log has more than that of a manager.
func (p *Present) Behind(name string) uint64 {
	longest := uint64(0)
	for _, r := range p.Managers {
		longest = max(longest, r.LastIndex)
	}
	return longest - p.Managers[name].LastIndex
}

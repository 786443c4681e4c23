package timeline

import (
	"slices"
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
	// News are the newest events that a live view has a line for; the newest is last.
	News []Event

	away  map[string]time.Time // nodes that cannot lead, and since when
	lost  time.Time            // since when nobody leads; zero where somebody does
	hung  bool                 // the leader's engine hangs, and may still lead when it goes on
	story Story
}

// newsMax is how many events a Present keeps.
const newsMax = 30

// Take goes on to what is after an event, and tells whether that is worth a line, as a
// Story does.
func (p *Present) Take(e Event) (isNew bool) {
	isNew = p.story.New(e)
	switch e.Kind {
	case KindBegins: // whatever was before, what follows begins with all that there is
		*p = Present{News: p.News}
		return true
	case KindState, KindTerm, KindLog, KindLeader:
		if e.Raft != nil && e.Source == SourceRaft {
			if p.Managers == nil {
				p.Managers = map[string]Raft{}
			}
			p.Managers[e.Node] = *e.Raft
		}
		if e.Kind == KindLeader && e.Raft != nil {
			p.Leader, p.Term, p.Elected, p.lost, p.hung = e.Node, e.Raft.Term, e.Time, time.Time{}, false
		}
	case KindLeft:
		p.forget(e.Node)
	case KindEngine:
		if e.Engine == engine.LifeUp {
			delete(p.away, e.Node)
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
		switch e.Machine {
		case machine.StatusAbsent:
			p.forget(e.Node)
			p.gone(e.Node, e.Time)
		case machine.StatusHalted:
			p.gone(e.Node, e.Time)
		case machine.StatusRunning:
			delete(p.away, e.Node)
		}
	}
	switch {
	case p.Leader == "" || !p.lost.IsZero():
	case !p.away[p.Leader].IsZero():
		p.lost = p.away[p.Leader]
	case p.outvoted():
		p.lost = e.Time
	}
	if isNew && e.news() {
		p.News = append(p.News, e)
		p.News = slices.Delete(p.News, 0, max(0, len(p.News)-newsMax))
	}
	return isNew
}

func (p *Present) forget(node string) {
	delete(p.Managers, node)
	if len(p.Managers) == 0 {
		p.Leader, p.Term, p.lost = "", 0, time.Time{}
	}
}

func (p *Present) gone(node string, at time.Time) {
	if p.away == nil {
		p.away = map[string]time.Time{}
	}
	if p.away[node].IsZero() {
		p.away[node] = at
	}
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
		if p.away[name].IsZero() {
			term = max(term, r.Term)
		}
	}
	return term, p.lost, true
}

// news tells which events a live view has a line for: not those whose effect its table
// shows, machines and nodes.
func (e Event) news() bool {
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

// Behind is how many entries the longest log has more than that of a manager.
func (p *Present) Behind(name string) uint64 {
	longest := uint64(0)
	for _, r := range p.Managers {
		longest = max(longest, r.LastIndex)
	}
	return longest - p.Managers[name].LastIndex
}

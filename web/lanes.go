package web

import (
	"slices"
	"strconv"
	"time"

	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/timeline"
)

// The lanes of the time line.
const (
	laneFaults   = "faults"
	laneTerms    = "terms"
	laneTasks    = "tasks"
	laneMachines = "machines"
	laneSteps    = "steps"
)

// marksMax is how many marks a time line keeps.
const marksMax = 4000

// mark is something on a lane: at a time, or from it until another one.
type mark struct {
	ID    int       `json:"id"`
	Lane  string    `json:"lane"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"`
	// Open: it has not ended.
	Open bool   `json:"open,omitempty"`
	Kind string `json:"kind"`
	Node string `json:"node,omitempty"`
	Text string `json:"text"`
}

// lanes are made by a series of events.
type lanes struct {
	marks   []mark
	last    int            // id
	changed map[int]bool   // ids, since they were told
	faults  map[string]int // marks of those that there are, by their ids
	term    int            // mark of the term that lasts, 0 before one
	known   map[string]string
	at      time.Time // of the last event
}

func newLanes() *lanes {
	return &lanes{changed: map[int]bool{}, faults: map[string]int{}, known: map[string]string{}}
}

func (l *lanes) add(m mark) int {
	l.last++
	m.ID = l.last
	l.marks = append(l.marks, m)
	l.marks = slices.Delete(l.marks, 0, max(0, len(l.marks)-marksMax))
	l.changed[m.ID] = true
	return m.ID
}

// edit changes a mark, if it is still kept.
func (l *lanes) edit(id int, change func(*mark)) {
	if at, ok := slices.BinarySearchFunc(l.marks, id, func(m mark, id int) int { return m.ID - id }); ok {
		change(&l.marks[at])
		l.changed[id] = true
	}
}

func (l *lanes) end(id int, at time.Time) {
	l.edit(id, func(m *mark) { m.Open, m.Until = false, at })
}

// take takes an event, with what holds after it, and whether it is worth a line.
func (l *lanes) take(e timeline.Event, now *timeline.Present, isNew bool) {
	switch {
	case e.Kind == timeline.KindBegins: // whatever ended meanwhile, nobody saw it
		for id, m := range l.faults {
			l.end(m, l.at)
			delete(l.faults, id)
		}
	case e.Source == timeline.SourceFault:
		l.fault(e)
	case e.Source == timeline.SourceMachine || e.Kind == timeline.KindEngine:
		if key := string(e.Source) + e.Node; l.known[key] != e.Words() {
			l.known[key] = e.Words()
			l.add(mark{Lane: laneMachines, At: e.Time, Kind: string(e.Machine) + string(e.Engine), Node: e.Node, Text: e.Words()})
		}
	case e.Kind == timeline.KindLocked || e.Kind == timeline.KindUnlocked:
		l.add(mark{Lane: laneMachines, At: e.Time, Kind: string(e.Kind), Node: e.Node, Text: e.Words()})
	case isNew && e.Change != nil && e.Change.Kind == raft.KindTask:
		l.add(mark{Lane: laneTasks, At: e.Time, Kind: e.Change.State, Node: e.Change.On, Text: e.Words()})
	case e.Source == timeline.SourceCommand && e.Kind != timeline.KindNote:
		l.add(mark{Lane: laneSteps, At: e.Time, Kind: string(e.Kind), Node: e.Node, Text: e.Text})
	}
	_, _, electing := now.Electing()
	if e.Source != timeline.SourceSwarm && (now.Leader != "" || electing || e.Kind == timeline.KindLeft) {
		l.terms(e.Time, now)
	}
	l.at = e.Time
}

func (l *lanes) fault(e timeline.Event) {
	if id, known := l.faults[e.Fault]; known {
		l.end(id, e.Time)
		delete(l.faults, e.Fault)
	}
	if e.Kind != timeline.KindBroken {
		return
	}
	at := e.Time
	if !e.Since.IsZero() {
		at = e.Since
	}
	for _, m := range slices.Backward(l.marks) { // another listener tells of it
		if m.Lane == laneFaults && m.Text == e.Text && m.At.Equal(at) {
			l.edit(m.ID, func(m *mark) { m.Open, m.Until = true, e.Until })
			l.faults[e.Fault] = m.ID
			return
		}
	}
	l.faults[e.Fault] = l.add(mark{Lane: laneFaults, At: at, Until: e.Until, Open: true, Kind: e.Fault, Text: e.Text})
}

// terms goes on to the term that lasts now, or the election.
func (l *lanes) terms(at time.Time, now *timeline.Present) {
	m := mark{Lane: laneTerms, At: at, Open: true, Kind: "leader", Node: now.Leader, Text: strconv.FormatUint(now.Term, 10)}
	if term, since, electing := now.Electing(); electing {
		m.Kind, m.Node, m.Text, m.At = "electing", "", strconv.FormatUint(term, 10), since
	}
	last := l.of(l.term)
	if last.Open && last.Kind == m.Kind && last.Node == m.Node && last.Text == m.Text {
		return
	}
	if last.Kind == m.Kind && m.Kind == "electing" || m.At.Before(last.At) {
		m.At = at
	}
	l.end(l.term, m.At)
	if m.Kind == "electing" || m.Node != "" {
		l.term = l.add(m)
	}
}

func (l *lanes) of(id int) mark {
	if at, ok := slices.BinarySearchFunc(l.marks, id, func(m mark, id int) int { return m.ID - id }); ok {
		return l.marks[at]
	}
	return mark{}
}

// news are the marks that have changed since the last call.
func (l *lanes) news() []mark {
	var out []mark
	for _, m := range l.marks {
		if l.changed[m.ID] {
			out = append(out, m)
		}
	}
	clear(l.changed)
	return out
}

// since are the marks that reach beyond a time.
func (l *lanes) since(at time.Time) []mark {
	out := []mark{}
	for _, m := range l.marks {
		if m.Open || !m.At.Before(at) || m.Until.After(at) {
			out = append(out, m)
		}
	}
	return out
}

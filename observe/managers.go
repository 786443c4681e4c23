package observe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/timeline"
)

const (
	// behindBy is how many entries a manager lacks that is behind, once it has lacked them
	// for lagTime, and nearBy how many one may lack that is not any more: some are always
	// under way.
	behindBy, nearBy = 10, 2
	lagTime          = 2 * time.Second
)

// managers is what the raft logs of the managers tell.
type managers struct {
	logs     map[string]timeline.Raft
	leader   string
	won      uint64 // the term in which it was elected
	newest   uint64 // term of any manager
	behind   map[string]bool
	lagging  map[string]time.Time // since when a manager lacks many entries
	election election
}

// election is the newest that was heard of: since when, and what is the first write that was
// accepted since, if it is not known yet who has won.
type election struct {
	term         uint64
	begun, wrote time.Time
}

// heard tells whether the logs of these managers were read, and who leads.
func (m *managers) heard(names []string) bool {
	for _, name := range names {
		if _, read := m.logs[name]; !read {
			return false
		}
	}
	return m.leader != ""
}

// left forgets a manager that is none any more.
func (m *managers) left(name string) {
	delete(m.logs, name)
	delete(m.behind, name)
}

// elected notes who leads, and tells whether that is new.
func (m *managers) elected(name string, term uint64) bool {
	if term < m.won { // another swarm, or an older state of this one
		m.newest = term
	}
	again := name == m.leader && term == m.won
	m.leader, m.won = name, term
	m.newest = max(m.newest, m.won)
	return !again
}

// victory says in which term the leader leads, who has voted for it, and which of the
// managers whose machines run have an older term.
func (m *managers) victory(runs func(name string) bool) string {
	var voters, old []string
	for _, name := range slices.Sorted(maps.Keys(m.logs)) {
		r := m.logs[name]
		if name == m.leader || r.Term == m.won && r.Vote == m.leader {
			voters = append(voters, name)
		}
		if r.Term < m.won && runs(name) {
			old = append(old, fmt.Sprintf("%s still has term %d", name, r.Term))
		}
	}
	text := fmt.Sprintf("leads in term %d, with the votes of %s", m.won, strings.Join(voters, ", "))
	if len(old) > 0 {
		text += "; " + strings.Join(old, ", ")
	}
	return text
}

// catchUp finds which managers lack what the leader has, and gives those that do not any more.
func (m *managers) catchUp(at time.Time) []string {
	lead, known := m.logs[m.leader]
	if !known {
		return nil
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m.logs)) {
		r := m.logs[name]
		switch {
		case name == m.leader:
			delete(m.behind, name)
		case r.Term < m.won:
			m.behind[name] = true
		case r.Commit+behindBy < lead.Commit:
			if m.lagging[name].IsZero() {
				m.lagging[name] = at
			}
			m.behind[name] = m.behind[name] || at.Sub(m.lagging[name]) > lagTime
		case m.behind[name] && r.Term == lead.Term && r.Commit+nearBy >= lead.Commit:
			delete(m.behind, name)
			out = append(out, name)
		}
		if r.Commit+behindBy >= lead.Commit {
			delete(m.lagging, name)
		}
	}
	return out
}

// state is that of a manager whose machine runs.
func (m *managers) state(name string) string {
	switch r := m.logs[name]; {
	case name == m.leader && r.Term == m.won:
		return stateLeader
	case r.Term > m.won && r.Vote == name:
		return stateCandidate
	case m.behind[name]:
		return stateBehind
	}
	return stateFollower
}

package observe

import (
	"maps"
	"slices"
	"time"
)

// The states of tracks.
const (
	stateLeader    = "leader"
	stateFollower  = "follower"
	stateCandidate = "candidate"
	stateBehind    = "behind"
	stateOff       = "off"
	stateAccepted  = "accepted"
	stateRefused   = "not accepted"
	stateReady     = "ready"
	stateRuns      = "runs" // and nothing was told of it in the swarm
)

// tracks are how something of each node was, in its order.
type tracks map[string][]stretch

// stretch is a span before the beginning is known.
type stretch struct {
	from        time.Time
	state, text string
}

// note adds a state, unless it is the one that a node has; with most, half of what is older
// goes once there are as many.
func (t tracks) note(at time.Time, node, state, text string, most int) {
	spans := t[node]
	if n := len(spans); n > 0 && spans[n-1].state == state && spans[n-1].text == text {
		return
	}
	if most > 0 && len(spans) >= most {
		spans = slices.Clone(spans[most/2:])
	}
	t[node] = append(spans, stretch{at, state, text})
}

// forget removes what was over before a time.
func (t tracks) forget(before time.Time) {
	for name, list := range t {
		over := 0
		for over+1 < len(list) && !list[over+1].from.After(before) {
			over++
		}
		t[name] = slices.Clone(list[over:])
	}
}

// report is what was between two times, in milliseconds since began.
func (t tracks) report(from, end, began time.Time) []Track {
	ms := func(at time.Time) int64 { return at.Sub(began).Milliseconds() }
	out := []Track{}
	for _, node := range slices.Sorted(maps.Keys(t)) {
		one := Track{Node: node, Spans: []Span{}}
		list := t[node]
		for i, s := range list {
			to := end
			if i+1 < len(list) {
				to = list[i+1].from
			}
			if to.Before(from) {
				continue
			}
			if s.from.Before(from) {
				s.from = from
			}
			one.Spans = append(one.Spans, Span{ms(s.from), ms(to), s.state, s.text})
		}
		out = append(out, one)
	}
	return out
}

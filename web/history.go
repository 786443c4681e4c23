package web

import (
	"sort"
	"time"

	"github.com/dcalab/dcalab/timeline"
)

const (
	// keyEvery is how many events are folded at most to show a time that is past, and
	// eventsMax how many are kept.
	keyEvery  = 500
	eventsMax = 60_000
)

// history is the events that there were, and every now and then what they amounted to.
type history struct {
	events []timeline.Event
	keys   []timeline.Present // before the events 0, keyEvery, and so on
}

// add takes an event, and what held before it.
func (h *history) add(e timeline.Event, before *timeline.Present) {
	if len(h.events)%keyEvery == 0 {
		h.keys = append(h.keys, *before.Clone())
	}
	h.events = append(h.events, e)
	if len(h.events) > eventsMax {
		h.events = append([]timeline.Event(nil), h.events[eventsMax/2:]...)
		h.keys = append([]timeline.Present(nil), h.keys[eventsMax/2/keyEvery:]...)
	}
}

// at gives what held at a time.
func (h *history) at(at time.Time) *timeline.Present {
	n := sort.Search(len(h.events), func(i int) bool { return h.events[i].Time.After(at) })
	if n == 0 {
		return &timeline.Present{}
	}
	key := (n - 1) / keyEvery
	now := h.keys[key].Clone()
	for _, e := range h.events[key*keyEvery : n] {
		now.Take(e)
	}
	return now
}

// span is from the first to the last event.
func (h *history) span() (from, to time.Time) {
	if len(h.events) > 0 {
		from, to = h.events[0].Time, h.events[len(h.events)-1].Time
	}
	return from, to
}

package web

import (
	"net/http"
	"time"

	"github.com/dcalab/dcalab/observe"
)

// milestonesMax is how many of what has come of a fault pages are told.
const milestonesMax = 100

// milestone is one, with the rule behind the time that it took.
type milestone struct {
	observe.Milestone
	Why string `json:"why,omitempty"`
}

// observe draws what has come of what was broken last. The caller holds the lock.
func (h *hub) observe() []milestone {
	list := h.observer.Milestones()
	out := []milestone{}
	for _, m := range list[max(0, len(list)-milestonesMax):] {
		out = append(out, milestone{m, m.ID.Rule()})
	}
	return out
}

// report is the same as a page of its own, which can be kept.
func (h *hub) report(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	broken, r := h.observer.Broken(), h.observer.Report(time.Now())
	h.mu.Unlock()
	if !broken {
		http.Error(w, "nothing was broken yet", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'") // it has no script
	_ = observe.WritePage(w, r)
}

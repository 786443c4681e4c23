package web

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/observe"
	"github.com/dcalab/dcalab/timeline"
)

const (
	// gather is how long changes are gathered before they are told, and gatherOld where
	// they are what a recording has had for long.
	gather    = 16 * time.Millisecond
	gatherOld = 100 * time.Millisecond
	oldAfter  = 3 * time.Second
	// settling is how long the last picture stays when a listener begins, which learns
	// anew how everything is.
	settling = 3 * time.Second
	// heartbeat is between two signs of life of a stream in which nothing happens.
	heartbeat = 10 * time.Second
	// resumable is how many messages a page may have missed and still go on.
	resumable = 200
)

// message is what pages are told: the whole picture, or what of it has changed. A thing
// that is null is gone.
type message struct {
	Whole bool    `json:"whole,omitempty"`
	Now   string  `json:"now"` // by this machine's clock
	Set   picture `json:"set"`
	Marks []mark  `json:"marks,omitempty"`
	News  []news  `json:"news,omitempty"`
}

// news is a sentence.
type news struct {
	At    time.Time `json:"at"`
	About string    `json:"about,omitempty"`
	Text  string    `json:"text"`
}

// hub folds events, and tells pages what has changed.
type hub struct {
	hint  func(string) string
	epoch string // of this process: another one's messages cannot be resumed

	mu      sync.Mutex
	lab     Lab
	now     timeline.Present
	history history
	lanes   *lanes
	fresh   []news
	// observer observes what is broken, of which observed is what pages are told.
	observer *observe.Observer
	observed []milestone
	shown    picture // what pages were told
	pending  *time.Timer
	gathers  time.Time // since when it is pending
	hold     time.Time // until when a listener that has just begun may not know how things are
	closed   chan struct{}

	seq  int // of the last message
	past [][]byte
	more chan struct{} // closed when there is another message
}

func newHub(hint func(string) string) *hub {
	return &hub{hint: hint, epoch: rand.Text()[:8], lanes: newLanes(), observer: observe.Newest(""), shown: picture{}, more: make(chan struct{}), closed: make(chan struct{})}
}

func (h *hub) begin(l Lab) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.Acts, l.Explains = h.lab.Acts, h.lab.Explains
	h.lab, h.now, h.history, h.lanes, h.fresh = l, timeline.Present{}, history{}, newLanes(), nil
	h.observer, h.observed = observe.Newest(l.Name), nil
	h.past = nil // what is told next is the whole
	h.tellAfter(gather)
}

// offer is that pages may do more.
func (h *hub) offer(more func(*Lab)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	more(&h.lab)
}

func (h *hub) leader() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return swarmOf(&h.now).Leader
}

// has tells whether the lab has a node.
func (h *hub) has(node string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.lab.Nodes, func(n LabNode) bool { return n.Name == node })
}

func (h *hub) trouble(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lab.Trouble != why {
		h.lab.Trouble = why
		h.tellAfter(gather)
	}
}

func (h *hub) take(e timeline.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Kind == timeline.KindBegins {
		h.show() // how it was last, until it is known how it is
		h.hold = e.Time.Add(settling)
	}
	h.history.add(e, &h.now)
	isNew := h.now.Take(e)
	h.lanes.take(e, &h.now, isNew)
	if found := h.observer.Add(e); len(found) > 0 || len(h.observed) > 0 && !h.observer.Broken() {
		h.observed = h.observe()
	}
	if time.Since(e.Time) > oldAfter {
		h.tellAfter(gatherOld)
		return
	}
	if isNew && e.IsNews() {
		h.fresh = append(h.fresh, newsOf(e))
	}
	h.tellAfter(gather)
}

func newsOf(e timeline.Event) news {
	return news{At: e.Time, About: e.About(), Text: e.Sentence()}
}

// tellAfter has pages told soon. The caller holds the lock.
func (h *hub) tellAfter(d time.Duration) {
	switch {
	case h.pending == nil:
		h.pending, h.gathers = time.AfterFunc(d, h.tell), time.Now()
	case d == gatherOld && time.Since(h.gathers) < oldAfter:
		h.pending.Reset(d)
	}
}

// tell tells pages what has changed.
func (h *hub) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = nil
	if time.Now().Before(h.hold) && !settled(&h.now) {
		h.tellAfter(gatherOld)
		return
	}
	h.hold = time.Time{}
	h.show()
}

// settled tells whether a listener has told who leads, and which nodes there are.
func settled(now *timeline.Present) bool {
	for _, n := range now.Nodes {
		if n.ID != "" {
			return now.Leader != ""
		}
	}
	return false
}

// show tells what has changed now. The caller holds the lock.
func (h *hub) show() {
	now := draw(h.lab, &h.now, h.hint)
	if len(h.observed) > 0 {
		now.set("observed", h.observed)
	}
	m := message{Now: stamp(time.Now()), Set: now.minus(h.shown), Marks: h.lanes.news(), News: h.fresh}
	h.fresh, h.shown = nil, now
	if len(m.Set) == 0 && len(m.Marks) == 0 && len(m.News) == 0 {
		return
	}
	text, _ := json.Marshal(m) // nothing in it can fail
	if h.past == nil {
		text = h.whole()
	}
	h.seq++
	h.past = append(h.past, text)
	h.past = h.past[max(0, len(h.past)-resumable):]
	close(h.more)
	h.more = make(chan struct{})
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// whole is everything. The caller holds the lock.
func (h *hub) whole() []byte {
	text, _ := json.Marshal(wholeOf(time.Now(), h.shown, &h.now)) // nothing in it can fail
	return text
}

// wholeOf is everything, at a time.
func wholeOf(at time.Time, shown picture, now *timeline.Present) message {
	m := message{Whole: true, Now: stamp(at), Set: shown}
	for _, e := range now.News {
		m.News = append(m.News, newsOf(e))
	}
	return m
}

// since gives the messages after one that a page has had, and the channel that tells of
// more.
func (h *hub) since(last string) (texts [][]byte, seq int, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	epoch, number, _ := strings.Cut(last, "-")
	n, err := strconv.Atoi(number)
	missed := h.seq - n
	if err != nil || epoch != h.epoch || missed < 0 || missed > len(h.past) {
		return [][]byte{h.whole()}, h.seq, h.more
	}
	return append(texts, h.past[len(h.past)-missed:]...), h.seq, h.more
}

// events is a stream for one page.
func (h *hub) events(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	last := r.Header.Get("Last-Event-ID")
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		texts, seq, more := h.since(last)
		for i, text := range texts {
			last = fmt.Sprintf("%s-%d", h.epoch, seq-len(texts)+1+i)
			if _, err := fmt.Fprintf(w, "id: %s\ndata: %s\n\n", last, text); err != nil {
				return
			}
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		case <-h.closed:
			return
		case <-beat.C:
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil {
				return
			}
		}
	}
}

func (h *hub) close() { close(h.closed) }

func (h *hub) at(at time.Time) message {
	h.mu.Lock()
	l, now := h.lab, h.history.at(at)
	h.mu.Unlock()
	return wholeOf(at, draw(l, now, h.hint), now)
}

// timeLine is the marks, and the time that is known.
type timeLine struct {
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to,omitzero"`
	Marks []mark    `json:"marks"`
}

func (h *hub) marks(since time.Time) timeLine {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := timeLine{Marks: h.lanes.since(since)}
	t.From, t.To = h.history.span()
	return t
}

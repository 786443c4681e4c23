package cmd

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// following listens to the lab that there is, whichever that is.
type following struct {
	recorded bool // what was recorded before is told, too
	begin    func(*session)
	take     func(timeline.Event)
	failed   func(error)

	lab    string // that is listened to; empty before the first
	cancel context.CancelFunc
	ended  sync.WaitGroup
	broken atomic.Bool // listening has failed
}

// from listens to the lab of s, once it exists, in place of another one: the lab may
// be made, changed and destroyed meanwhile. It is called by one goroutine.
func (t *following) from(ctx context.Context, s *session) {
	lab := "none"
	if s.Created() {
		lab = s.Record().ID + " " + strings.Join(s.Lab().NodeNames(), " ")
	}
	if failed := t.broken.Swap(false); lab == t.lab && !failed {
		return
	}
	t.stop()
	t.lab = lab
	t.begin(s)
	if !s.Created() {
		return
	}
	ctx, t.cancel = context.WithCancel(ctx)
	since := time.Now()
	if t.recorded || s.State().Recording().Runs() { // by another process, which has told how things are
		since = time.Time{}
	}
	t.ended.Go(func() {
		err := s.followTimeline(ctx, since, t.take)
		t.failed(err)
		t.broken.Store(err != nil)
	})
}

// stop ends listening. It is called by the goroutine of from, or after it.
func (t *following) stop() {
	if t.cancel != nil {
		t.cancel()
		t.cancel = nil
	}
	t.ended.Wait()
}

// stream is the timeline of a lab, as a live view wants it: how things are now, and a
// sign when something has happened.
type stream struct {
	following
	happened chan struct{}
	all      bool // also what is not worth a line: that a log has grown

	mu      sync.Mutex
	since   time.Time // when this lab was begun to be listened to
	present timeline.Present
	trouble error
}

func newStream(all bool) *stream {
	t := &stream{happened: make(chan struct{}, 1), all: all}
	t.take = t.happen
	t.begin = func(*session) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.present, t.trouble, t.since = timeline.Present{}, nil, time.Now()
	}
	t.failed = func(err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.trouble = err
	}
	return t
}

func (t *stream) happen(e timeline.Event) {
	t.mu.Lock()
	isNew := t.present.Take(e)
	t.mu.Unlock()
	if !isNew && !t.all {
		return
	}
	select {
	case t.happened <- struct{}{}:
	default:
	}
}

// add adds what the timeline tells to a picture of the lab.
func (t *stream) add(p *ui.Picture, r report.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trouble != nil {
		p.Warnings = append(p.Warnings, "elections and tasks are not shown as they happen: "+trouble.OneLine(t.trouble))
	}
	addPresent(p, &t.present, r, t.since)
}

// addPresent is what a live view shows of the timeline: the election, each manager's
// raft log, and what has happened since the view began.
func addPresent(p *ui.Picture, now *timeline.Present, r report.Status, began time.Time) {
	if fact, ok := raftFact(now, r); ok {
		at := slices.IndexFunc(p.Facts, func(f ui.Fact) bool { return f.Label == "leader" })
		p.Facts = slices.Insert(p.Facts, at+1, fact)
	}
	if len(now.Managers) > 0 {
		table := ui.Section{Header: []string{"MANAGER", "TERM", "VOTED FOR", "COMMITTED", "LAST ENTRY", "BEHIND"}}
		for _, name := range slices.Sorted(maps.Keys(now.Managers)) {
			m := now.Managers[name]
			table.Rows = append(table.Rows, []string{
				name, number(m.Term), cmp.Or(m.Vote, "-"), number(m.Commit), number(m.LastIndex), number(now.Behind(name)),
			})
		}
		p.Tables = append(p.Tables, table)
	}
	for _, e := range now.News {
		if e.Time.Before(began) {
			continue
		}
		p.News = append(p.News, ui.News{At: e.Time.Local(), About: e.About(), Text: e.Sentence()})
	}
}

// raftFact is the line on the election that is under way, or the term that was won.
func raftFact(now *timeline.Present, r report.Status) (ui.Fact, bool) {
	fact := ui.Fact{Label: "raft"}
	term, since, electing := now.Electing()
	switch {
	case len(now.Managers) == 0:
		return fact, false
	case electing && (r.Leader() != "" || r.View.Election()):
		fact.Value, fact.From = "electing, term "+number(term), since
	case electing: // too few to elect one
		fact.Value, fact.From = "no leader, term "+number(term), since
	case now.Leader != "":
		fact.Value = "term " + number(now.Term) + ", won by " + now.Leader
	default:
		for _, m := range now.Managers {
			term = max(term, m.Term)
		}
		fact.Value = "term " + number(term)
	}
	return fact, true
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

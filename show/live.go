package show

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// LiveOptions say what a live view shows, and how.
type LiveOptions struct {
	Open  func() (*session.Session, error) // the lab, which may be made and destroyed meanwhile
	Nodes []string                         // nil is all of them
	// Style, but for Wide and Width: it has the whole screen.
	Style
}

const lookInterval = 500 * time.Millisecond

// Live shows a lab on the whole screen, until somebody leaves or ctx ends. What is shown
// is asked for again and again; what happens meanwhile comes from the timeline, and wakes
// it.
func Live(ctx context.Context, streams ui.Streams, o LiveOptions) error {
	events := newStream(true)
	var mu sync.Mutex
	var last report.Picture
	watched := report.NewLive(func() (*session.Session, error) {
		s, err := o.Open()
		if err == nil {
			events.From(ctx, s)
		}
		return s, err
	}, report.Options{Nodes: o.Nodes, Advise: o.Hint})
	defer watched.Close()
	defer events.Stop()
	drawn := func(seen report.Picture) ui.Picture {
		p := picture(seen, o.Hint, time.Now())
		events.add(&p, seen.Status)
		return p
	}
	return ui.Live(ctx, streams, ui.LiveOptions{
		Look: func(ctx context.Context) (ui.Picture, error) {
			seen, err := watched.Look(ctx)
			if err != nil {
				return ui.Picture{}, err
			}
			mu.Lock()
			defer mu.Unlock()
			last = seen
			return drawn(seen), nil
		},
		Happened: events.happened,
		Again: func() ui.Picture {
			mu.Lock()
			defer mu.Unlock()
			return drawn(last)
		},
		Interval: lookInterval, Color: o.Color,
	})
}

// Watch shows what printed writes of a lab, again when something happens in it, and every
// two seconds, until ctx ends. The lab may be made and destroyed meanwhile.
func Watch(ctx context.Context, streams ui.Streams, open func() (*session.Session, error), printed func(context.Context, *session.Session, io.Writer) error) error {
	events := newStream(false)
	defer events.Stop()
	return ui.Watch(ctx, streams, 2*time.Second, events.happened, func(ctx context.Context, _ int) (string, error) {
		s, err := open()
		if err != nil {
			return "", err
		}
		events.From(ctx, s)
		var b bytes.Buffer
		err = printed(ctx, s, &b)
		return b.String(), err
	})
}

// stream is the timeline of a lab, as a live view wants it: how things are now, and a
// sign when something has happened.
type stream struct {
	timeline.Following
	happened chan struct{}
	all      bool // also what is not worth a line: that a log has grown

	mu      sync.Mutex
	since   time.Time // when this lab was begun to be listened to
	present timeline.Present
	trouble error
}

func newStream(all bool) *stream {
	t := &stream{happened: make(chan struct{}, 1), all: all}
	t.Take = t.happen
	t.Begin = func(*session.Session) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.present, t.trouble, t.since = timeline.Present{}, nil, time.Now()
	}
	t.Failed = func(err error) {
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

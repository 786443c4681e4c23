package web

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"io"
	"text/template"
	"time"

	"github.com/dcalab/dcalab/timeline"
)

// What happens within the grain of a page is one moment of it: pastGrain, and where there
// would be more than pastMax moments, twice as much until there are not.
const (
	pastGrain = 100 * time.Millisecond
	pastMax   = 10_000
)

//go:embed past.html
var pastText string

// past is what a page shows by itself: what a Server would tell in each moment, as what has
// changed since the one before, and the time line.
type past struct {
	Moments []message `json:"moments"`
	Lanes   timeLine  `json:"lanes"`
}

// WritePast writes the page of a time that is past, as one file that needs neither dcalab
// nor a network: events, in their order, from a time on; those before tell how it was then.
// report is a page of its own, and what is seen where no script runs.
func WritePast(w io.Writer, l Lab, events []timeline.Event, from time.Time, report string) error {
	// Names in it are anybody's: json.Marshal leaves no <, > or & as they are.
	history, err := json.Marshal(pastOf(l, events, from, pastMax))
	if err != nil {
		return err
	}
	script, err := dist.ReadFile("dist/page.js")
	if err != nil {
		return err
	}
	style, err := dist.ReadFile("dist/page.css")
	if err != nil {
		return err
	}
	t, err := template.New("past").Parse(pastText)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(script)
	return t.Execute(w, map[string]string{
		"Lab": l.Name, "Report": report, "History": string(history),
		"Style": string(style), "Script": string(script), "Sum": base64.StdEncoding.EncodeToString(sum[:]),
	})
}

// pastOf makes at most so many moments.
func pastOf(l Lab, events []timeline.Event, from time.Time, most int) past {
	var p past
	var now timeline.Present
	var fresh []news
	var hold, began time.Time // hold: until when a listener may not know how things are
	lanes, shown, grain := newLanes(), picture{}, grainOf(events, from, most)
	tell := func(at time.Time) {
		began = time.Time{}
		if at.Before(hold) && !settled(&now) {
			return
		}
		is := draw(l, &now, func(line string) string { return line })
		m := message{Whole: len(p.Moments) == 0, Now: stamp(at), Set: is.minus(shown), News: fresh}
		fresh = nil
		if shown = is; len(m.Set) > 0 || len(m.News) > 0 {
			p.Moments = append(p.Moments, m)
		}
	}
	for i, e := range events {
		inside := !e.Time.Before(from)
		if inside && p.Lanes.From.IsZero() {
			if p.Lanes.From = from; i == 0 {
				p.Lanes.From = e.Time
			} else {
				tell(from) // how it was then
			}
		}
		if !began.IsZero() && (e.Time.Sub(began) >= grain || e.Kind == timeline.KindBegins) {
			tell(p.Lanes.To)
		}
		if e.Kind == timeline.KindBegins {
			hold = e.Time.Add(settling)
		}
		isNew := now.Take(e)
		lanes.take(e, &now, isNew)
		if !inside {
			continue
		}
		if isNew && e.IsNews() {
			fresh = append(fresh, newsOf(e))
		}
		if e.Time.After(p.Lanes.To) { // the clock may have been set back
			p.Lanes.To = e.Time
		}
		if began.IsZero() {
			began = p.Lanes.To
		}
	}
	hold = time.Time{}
	if !began.IsZero() || len(p.Moments) == 0 {
		tell(p.Lanes.To)
	}
	p.Lanes.Marks = lanes.since(from)
	return p
}

// grainOf is how much time is one moment.
func grainOf(events []timeline.Event, from time.Time, most int) time.Duration {
	for grain := pastGrain; ; grain *= 2 {
		moments, began := 0, time.Time{}
		for _, e := range events {
			if !e.Time.Before(from) && e.Time.Sub(began) >= grain {
				moments, began = moments+1, e.Time
			}
		}
		if moments <= most {
			return grain
		}
	}
}

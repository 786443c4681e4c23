package observe

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dcalab/dcalab/ui/picture"
)

//go:embed page.html
var pageText string

// before is how much of the time before the first fault is drawn, and letter how wide one
// of the text in a bar is.
const (
	before = 5 * time.Second
	letter = 6.5
)

// page is what the template sees.
type page struct {
	Report
	Day     string
	Picture picture.Picture
}

// Number is a milestone's in the picture.
func (page) Number(i int) int { return i + 1 }

// WritePage draws a report as one page of HTML, which needs neither a network nor a script.
func WritePage(w io.Writer, r Report) error {
	return picture.Write(w, pageText, page{r, r.Began.Format("2006-01-02 15:04:05"), draw(r)})
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func draw(r Report) picture.Picture {
	scale := picture.Scale{To: max(ms(r.MS), time.Second)}
	for _, tracks := range [][]Track{r.Raft, r.Writes, r.Nodes} {
		for _, t := range tracks {
			for _, s := range t.Spans {
				scale.From = max(-before, min(scale.From, ms(s.From)))
			}
		}
	}
	p := picture.Picture{Label: "Managers, writes through them and nodes over the time, with the faults as bands and the milestones as lines", Width: picture.Width}
	top := picture.TextLine * float64(len(r.Faults)+1)
	bottom := top + picture.RowHeight
	row := func(name string, spans []Span) {
		line := bottom + picture.RowHeight - 3
		b := picture.Box{X: picture.LeftEdge, W: picture.Width, H: bottom + picture.RowHeight, TextY: bottom + picture.TextLine, Text: name}
		for _, s := range spans {
			if ms(s.To) > scale.From {
				b.Marks = append(b.Marks, bar(scale, s, line))
			}
		}
		p.Rows = append(p.Rows, b)
		bottom += picture.RowHeight
	}
	milestones := picture.Box{X: picture.LeftEdge, W: picture.Width, H: bottom, TextY: bottom - 5, Text: "milestones"}
	p.Rows = append(p.Rows, milestones)
	for _, t := range r.Raft {
		row(t.Node+" raft", t.Spans)
	}
	for _, t := range r.Writes {
		row(t.Node+" writes", t.Spans)
	}
	for _, t := range r.Nodes {
		row(t.Node, t.Spans)
	}
	p.Rows[0].Marks = flags(scale, r.Milestones, top, bottom)
	for i, f := range r.Faults {
		to := ms(r.MS)
		if f.To != nil {
			to = ms(*f.To)
		}
		p.Bands = append(p.Bands, scale.Band(ms(f.From), to, i, bottom, f.ID+": "+f.Words))
	}
	p.Ticks = scale.Ticks(top, bottom)
	p.Legend = legend(bottom + 3*picture.TextLine)
	p.Height = bottom + 4*picture.TextLine
	return p
}

// bar draws a span. Its state has a height of its own, beside its colour.
func bar(scale picture.Scale, s Span, line float64) picture.Mark {
	x, to := scale.X(ms(s.From)), scale.X(ms(s.To))
	m := picture.Mark{
		Class: class(s.State), Path: picture.Bar(x, line, to-x, high(s.State)), X: x + 3, Y: line - 2,
		Title: strings.TrimSuffix(fmt.Sprintf("%s, %d to %d ms: %s", s.State, s.From, s.To, s.Text), ": "),
	}
	if s.State == stateLeader || s.State == stateCandidate || s.State == stateBehind {
		m.Label = s.State + " " + s.Text
	}
	if float64(len(m.Label))*letter > to-x {
		m.Label = ""
	}
	return m
}

func class(state string) string {
	if state == stateRefused {
		return "refused"
	}
	return state
}

func high(state string) float64 {
	switch state {
	case stateLeader, stateCandidate, stateBehind, stateRefused, "down", "unknown", "disconnected":
		return picture.BarHeight
	case stateOff:
		return 2
	}
	return picture.BarHeight / 3
}

// flags are lines at the milestones, with their numbers above. Numbers that would be
// written over each other are left out.
func flags(scale picture.Scale, list []Milestone, top, bottom float64) []picture.Mark {
	var out []picture.Mark
	free := 0.0
	for i, m := range list {
		x := scale.X(ms(m.MS))
		f := picture.Mark{Class: "milestone", Path: fmt.Sprintf("M%g %gV%g", x, top, bottom), Title: fmt.Sprintf("%d ms: %s %s", m.MS, m.Node, m.Text), X: x + 2, Y: top + picture.TextLine}
		if x >= free {
			f.Label = fmt.Sprint(i + 1)
			free = x + 4 + letter*float64(len(f.Label))
		}
		out = append(out, f)
	}
	return out
}

func legend(line float64) []picture.Mark {
	var out []picture.Mark
	at := picture.LeftEdge
	for _, one := range []struct {
		state, text string
		wide        float64
	}{
		{stateLeader, "leader", 80}, {stateFollower, "follower", 90}, {stateCandidate, "candidate", 100}, {stateBehind, "behind the leader", 140}, {stateOff, "machine off", 110},
		{stateAccepted, "writes accepted", 130}, {stateRefused, "writes not accepted", 150}, {stateReady, "node Ready", 100}, {"down", "Down", 70}, {"unknown", "unknown", 0},
	} {
		out = append(out, picture.Mark{Class: class(one.state), Path: picture.Bar(at, line, 9, high(one.state)), Label: one.text, X: at + 13, Y: line})
		at += one.wide
	}
	return out
}

// Package picture draws what happened over a time, for a page of HTML that needs neither a
// network nor a script: a row for each thing, marks on it, and bands for what was broken
// meanwhile.
package picture

import (
	_ "embed"
	"html/template"
	"io"
	"math"
	"strconv"
	"time"
)

//go:embed picture.html
var text string

// Measures of a picture, in its own units.
const (
	Width     = 1200.0
	LeftEdge  = 90.0 // of the time; names are left of it
	RightEdge = 30.0 // free for the text of the last line
	RowHeight = 18.0
	BarHeight = 12.0
	TextLine  = 13.0
	// LeastBar is the width of the shortest bar, so that it is seen.
	LeastBar = 0.8
)

// Picture is what a page draws by {{template "picture" .}}, with {{template "style"}} in
// its style sheet. Label says what it shows, for who does not see it.
type Picture struct {
	Label         string
	Width, Height float64
	Bands         []Box
	Ticks         []Box
	Rows          []Box
	Legend        []Mark
}

// Box is something with a place and a text.
type Box struct {
	X, Y, W, H, TextY float64
	Text              string
	Marks             []Mark
}

// Mark is a shape, or many of the same class, and says by its title what it is. Label is
// written at X and Y.
type Mark struct {
	Class, Path, Title, Label string
	X, Y                      float64
}

// Write writes a page by its template.
func Write(w io.Writer, page string, data any) error {
	t, err := template.New("page").Parse(text)
	if err == nil {
		t, err = t.Parse(page)
	}
	if err != nil {
		return err
	}
	return t.Execute(w, data)
}

// Scale gives the places of times between two.
type Scale struct{ From, To time.Duration }

// X is the place of a time; one that is outside is at the edge.
func (s Scale) X(at time.Duration) float64 {
	at = max(s.From, min(s.To, at))
	return Round(LeftEdge + (Width-RightEdge-LeftEdge)*float64(at-s.From)/float64(max(s.To-s.From, 1)))
}

// Ticks are lines from top to bottom, with their times below: five to twelve of them.
func (s Scale) Ticks(top, bottom float64) []Box {
	step := tick(s.To - s.From)
	var out []Box
	for at := s.From.Truncate(step); s.To-at >= 0; at += step {
		if len(out) > 2*ticks { // the end of what a duration can be
			break
		}
		if at < s.From {
			continue
		}
		out = append(out, Box{X: s.X(at), Y: top, H: bottom, TextY: bottom + TextLine, Text: at.String()})
	}
	return out
}

// Band is a time in which something was broken, from a line to the bottom.
func (s Scale) Band(from, to time.Duration, line int, bottom float64, text string) Box {
	at := TextLine * float64(line)
	x := s.X(from)
	return Box{X: x, Y: at + 2, W: Round(s.X(to) - x), H: Round(bottom - at - 2), TextY: at + TextLine - 1, Text: text}
}

// ticks are as many lines as there are at most, but for the first and the last.
const ticks = 12

// tick is the time between two lines.
func tick(total time.Duration) time.Duration {
	for _, step := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute} {
		if total/step <= ticks {
			return step
		}
	}
	return total / 10
}

// Round leaves one digit.
func Round(v float64) float64 { return math.Round(v*10) / 10 }

// Bar is the shape of a bar that stands on a line.
func Bar(x, line, wide, high float64) string {
	n := func(v float64) string { return strconv.FormatFloat(Round(v), 'f', -1, 64) }
	wide = max(wide, LeastBar)
	return "M" + n(x) + " " + n(line) + "h" + n(wide) + "v-" + n(high) + "h-" + n(wide) + "z"
}

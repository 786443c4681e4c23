package prove

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

//go:embed page.html
var pageText string

// Measures of the picture, in its own units.
const (
	pageWidth = 1200.0
	leftEdge  = 90.0 // of the time; names are left of it
	rightEdge = 30.0 // free for the text of the last line
	rowHeight = 18.0
	barHeight = 12.0
	leastBar  = 0.8 // so that the shortest operation is seen
	textLine  = 13.0
)

// page is what the template sees.
type page struct {
	Report
	Day, Long     string
	Lines         []string
	Width, Height float64
	Bands         []box
	Ticks         []box
	Rows          []box
	Legend        []mark
}

// box is something with a place and a text.
type box struct {
	X, Y, W, H, TextY float64
	Text              string
	Marks             []mark
}

// mark is a shape, or many of the same class. X and Y are those of a legend's text.
type mark struct {
	Class, Path, Title string
	X, Y               float64
}

// WritePage draws a run as one page of HTML, which needs neither a network nor a script.
func WritePage(w io.Writer, rep Report, r Ran) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	return t.Execute(w, draw(rep, r))
}

func draw(rep Report, r Ran) page {
	total := max(r.Took, time.Second)
	// What was read in the end, when the clients had stopped, is in the sentence.
	ops := slices.DeleteFunc(slices.Clone(r.Operations), func(o Operation) bool { return o.Call >= total })
	x := func(at time.Duration) float64 {
		return round(leftEdge + (pageWidth-rightEdge-leftEdge)*float64(at)/float64(total))
	}
	p := page{
		Report: rep, Day: r.Began.Format("2006-01-02 15:04:05"), Long: trouble.Duration(r.For),
		Lines: rep.Lines(), Width: pageWidth,
	}
	top := textLine * float64(len(r.Faults)+1)
	bottom := top
	stale := map[string]string{}
	for _, s := range rep.stale {
		stale[key(s.Operation)] = fmt.Sprintf("stale: replaced %s before", trouble.Duration(s.Age))
	}
	for _, manager := range r.Managers {
		for _, client := range clientsOf(ops, manager) {
			row := box{X: leftEdge, W: pageWidth, H: bottom + rowHeight, TextY: bottom + textLine, Text: fmt.Sprintf("%s client %d", manager, client)}
			row.Marks = marks(ops, client, bottom+rowHeight-3, x, stale)
			p.Rows = append(p.Rows, row)
			bottom += rowHeight
		}
	}
	for i, f := range r.Faults {
		at := textLine * float64(i)
		p.Bands = append(p.Bands, box{X: x(f.From), Y: at + 2, W: round(x(f.To) - x(f.From)), H: round(bottom - at - 2), TextY: at + textLine - 1, Text: f.ID + " " + f.Words()})
	}
	for at := time.Duration(0); at <= total; at += tick(total) {
		p.Ticks = append(p.Ticks, box{X: x(at), Y: top, H: bottom, TextY: bottom + textLine, Text: at.String()})
	}
	p.Legend = legend(bottom + 3*textLine)
	p.Height = bottom + 4*textLine
	return p
}

// key tells an operation from all others: a client does one at a time.
func key(o Operation) string { return fmt.Sprintf("%d %d", o.Client, o.Call) }

// clientsOf are those that went through a manager.
func clientsOf(ops []Operation, manager string) []int {
	var out []int
	seen := map[int]bool{}
	for _, o := range ops {
		if o.Manager == manager && !seen[o.Client] {
			seen[o.Client] = true
			out = append(out, o.Client)
		}
	}
	slices.Sort(out)
	return out
}

// marks draw the operations of a client on a line. What is usual is one path for each
// class, which is a tenth as long; what is not says what it is.
func marks(ops []Operation, client int, line float64, x func(time.Duration) float64, stale map[string]string) []mark {
	paths := map[string]*strings.Builder{"read": {}, "write": {}, "refused": {}}
	var single []mark
	for _, o := range ops {
		if o.Client != client {
			continue
		}
		from, to := x(o.Call), x(o.Return)
		wide := max(leastBar, to-from)
		what := fmt.Sprintf("%s %s %s, %s to %s", o.Kind, o.Object, o.Value, trouble.Duration(o.Call), trouble.Duration(o.Return))
		switch class := classOf(o); class {
		case "read", "write", "refused":
			paths[class].WriteString(bar(class, from, line, wide))
			if why, is := stale[key(o)]; is {
				single = append(single, mark{Class: "stale", Path: bar("stale", from, line, wide), Title: what + ": " + why})
			}
		default:
			single = append(single, mark{Class: class, Path: bar(class, from, line, wide), Title: what + ": " + string(o.Outcome) + ": " + o.Error})
		}
	}
	var out []mark
	for _, class := range []string{"read", "write", "refused"} {
		if paths[class].Len() > 0 {
			out = append(out, mark{Class: class, Path: paths[class].String()})
		}
	}
	return append(out, single...)
}

func classOf(o Operation) string {
	switch o.Outcome {
	case Refused, Failed, Unknown:
		return string(o.Outcome)
	case OK:
	}
	return string(o.Kind)
}

// bar is the shape of an operation: a class has one of its own, beside its colour.
func bar(class string, x, line, wide float64) string {
	high := barHeight
	switch class {
	case "read":
		high = barHeight / 2
	case "refused":
		high = barHeight * 3 / 4
	case "failed": // a cross at its end, on a line as long as it took
		return fmt.Sprintf("M%g %gh%gm-3 -3l6 6m0 -6l-6 6", x, line-high/2, round(wide))
	case "stale": // a triangle above
		return fmt.Sprintf("M%g %gl3 -6h-6z", x, line-high/2)
	}
	return fmt.Sprintf("M%g %gh%gv-%gh-%gz", x, line, round(wide), high, round(wide))
}

func legend(line float64) []mark {
	var out []mark
	at := leftEdge
	for _, one := range []struct {
		class, text string
		wide        float64
	}{
		{"write", "write, acknowledged", 150}, {"read", "read", 70}, {"refused", "write, refused: another was faster", 225},
		{"unknown", "write without an answer", 180}, {"failed", "failed, or a read without an answer", 240}, {"stale", "stale read", 0},
	} {
		out = append(out, mark{Class: one.class, Path: bar(one.class, at, line, 9), Title: one.text, X: at + 16, Y: line})
		at += one.wide
	}
	return out
}

// tick is the time between two lines: five to twelve of them.
func tick(total time.Duration) time.Duration {
	for _, step := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute} {
		if total/step <= 12 {
			return step
		}
	}
	return total / 10
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

package prove

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui/picture"
)

//go:embed page.html
var pageText string

// page is what the template sees.
type page struct {
	Report
	Day, Long string
	Lines     []string
	Picture   picture.Picture
}

// WritePage draws a run as one page of HTML, which needs neither a network nor a script.
func WritePage(w io.Writer, rep Report, r Ran) error {
	return picture.Write(w, pageText, draw(rep, r))
}

func draw(rep Report, r Ran) page {
	total := max(r.Took, time.Second)
	// What was read in the end, when the clients had stopped, is in the sentence.
	ops := slices.DeleteFunc(slices.Clone(r.Operations), func(o Operation) bool { return o.Call >= total })
	scale := picture.Scale{To: total}
	drawn := picture.Picture{Label: "Operations of each client over the time, with the faults as bands", Width: picture.Width}
	p := page{
		Report: rep, Day: r.Began.Format("2006-01-02 15:04:05"), Long: trouble.Duration(r.For),
		Lines: rep.Lines(),
	}
	top := picture.TextLine * float64(len(r.Faults)+1)
	bottom := top + picture.RowHeight
	stale := map[string]string{}
	for _, s := range rep.stale {
		stale[key(s.Operation)] = fmt.Sprintf("stale: replaced %s before", trouble.Duration(s.Age))
	}
	for _, manager := range r.Managers {
		for _, client := range clientsOf(ops, manager) {
			row := picture.Box{X: picture.LeftEdge, W: picture.Width, H: bottom + picture.RowHeight, TextY: bottom + picture.TextLine, Text: fmt.Sprintf("%s client %d", manager, client)}
			row.Marks = marks(ops, client, bottom+picture.RowHeight-3, scale.X, stale)
			drawn.Rows = append(drawn.Rows, row)
			bottom += picture.RowHeight
		}
	}
	leaders := picture.Box{X: picture.LeftEdge, W: picture.Width, H: top + picture.RowHeight, TextY: top + picture.TextLine, Text: "elected"}
	for _, e := range r.Elections {
		x := scale.X(e.At)
		leaders.Marks = append(leaders.Marks, picture.Mark{
			Class: "elected", Path: fmt.Sprintf("M%g %gV%g", x, top+2, bottom), X: x + 3, Y: top + picture.TextLine,
			Title: fmt.Sprintf("%s, in term %d, after %s", e.Leader, e.Term, trouble.Duration(e.At)), Label: fmt.Sprintf("%s, term %d", e.Leader, e.Term),
		})
	}
	drawn.Rows = append(drawn.Rows, leaders)
	for i, f := range r.Faults {
		drawn.Bands = append(drawn.Bands, scale.Band(f.From, f.To, i, bottom, f.ID+" "+f.Words()))
	}
	drawn.Ticks = scale.Ticks(top, bottom)
	drawn.Legend = legend(bottom + 3*picture.TextLine)
	drawn.Height = bottom + 4*picture.TextLine
	p.Picture = drawn
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
func marks(ops []Operation, client int, line float64, x func(time.Duration) float64, stale map[string]string) []picture.Mark {
	paths := map[string]*strings.Builder{"read": {}, "write": {}, "refused": {}}
	var single []picture.Mark
	for _, o := range ops {
		if o.Client != client {
			continue
		}
		from, to := x(o.Call), x(o.Return)
		wide := max(picture.LeastBar, to-from)
		what := fmt.Sprintf("%s %s %s, %s to %s", o.Kind, o.Object, o.Value, trouble.Duration(o.Call), trouble.Duration(o.Return))
		switch class := classOf(o); class {
		case "read", "write", "refused":
			paths[class].WriteString(bar(class, from, line, wide))
			if why, is := stale[key(o)]; is {
				single = append(single, picture.Mark{Class: "stale", Path: bar("stale", from, line, wide), Title: what + ": " + why})
			}
		default:
			single = append(single, picture.Mark{Class: class, Path: bar(class, from, line, wide), Title: what + ": " + string(o.Outcome) + ": " + o.Error})
		}
	}
	var out []picture.Mark
	for _, class := range []string{"read", "write", "refused"} {
		if paths[class].Len() > 0 {
			out = append(out, picture.Mark{Class: class, Path: paths[class].String()})
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
	high := picture.BarHeight
	switch class {
	case "read":
		high = picture.BarHeight / 2
	case "refused":
		high = picture.BarHeight * 3 / 4
	case "failed": // a cross at its end, on a line as long as it took
		return fmt.Sprintf("M%g %gh%gm-3 -3l6 6m0 -6l-6 6", x, line-high/2, picture.Round(wide))
	case "stale": // a triangle above
		return fmt.Sprintf("M%g %gl3 -6h-6z", x, line-high/2)
	}
	return picture.Bar(x, line, wide, high)
}

func legend(line float64) []picture.Mark {
	var out []picture.Mark
	at := picture.LeftEdge
	for _, one := range []struct {
		class, text string
		wide        float64
	}{
		{"write", "write, acknowledged", 150}, {"read", "read", 70}, {"refused", "write, refused: another was faster", 225},
		{"unknown", "write without an answer", 180}, {"failed", "failed, or a read without an answer", 240}, {"stale", "stale read", 0},
	} {
		out = append(out, picture.Mark{Class: one.class, Path: bar(one.class, at, line, 9), Label: one.text, X: at + 16, Y: line})
		at += one.wide
	}
	return out
}

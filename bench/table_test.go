package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/ui"
)

// table is every measurement of a run, in the order of its lines.
type table struct{ lines []*line }

// line is one thing measured, a few times.
type line struct {
	what  string
	times []time.Duration
	// ours is the line that this one is a floor or a peer of; nil where there
	// is nothing to compare.
	ours *line
	// most is the aim for ours/this, least the aim for this/ours, limit that for
	// this alone; 0 where there is no such aim.
	most, least float64
	limit       time.Duration
}

func (t *table) line(what string) *line {
	l := &line{what: what}
	t.lines = append(t.lines, l)
	return l
}

// floor adds a line that ours may take at most that many times as long as.
func (t *table) floor(ours *line, what string, most float64) *line {
	l := t.line("  " + what)
	l.ours, l.most = ours, most
	return l
}

// peer adds a line that is to take at least that many times as long as ours;
// 0 where there is no aim.
func (t *table) peer(ours *line, what string, least float64) *line {
	l := t.line("  " + what)
	l.ours, l.least = ours, least
	return l
}

// within sets the aim for the line alone.
func (l *line) within(limit time.Duration) *line {
	l.limit = limit
	return l
}

func (l *line) add(d time.Duration) { l.times = append(l.times, d) }

// median of an even number of times is the mean of the two in the middle.
func (l *line) median() time.Duration {
	s := slices.Sorted(slices.Values(l.times))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// ratio is that of the medians, in words, with the aim and whether it is met.
func (l *line) ratio() (ratio, aim, met string) {
	if l.limit > 0 && len(l.times) > 0 {
		return "", "≤ " + l.limit.String(), yes(l.median() <= l.limit)
	}
	if l.ours == nil || len(l.times) == 0 || len(l.ours.times) == 0 {
		return "", "", ""
	}
	ours, this := l.ours.median().Seconds(), l.median().Seconds()
	if l.most > 0 {
		ratio, aim = fmt.Sprintf("dcalab / this = %.2f", ours/this), "≤ "+plain(l.most)
		return ratio, aim, yes(ours/this <= l.most)
	}
	ratio = fmt.Sprintf("this / dcalab = %.2f", this/ours)
	if l.least > 0 {
		aim, met = "≥ "+plain(l.least), yes(this/ours >= l.least)
	}
	return ratio, aim, met
}

func plain(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func yes(b bool) string {
	if b {
		return "met"
	}
	return "not met"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// write prints the table, without what was not measured.
func (t *table) write(w io.Writer) error {
	var rows [][]string
	for _, l := range t.lines {
		if len(l.times) == 0 {
			continue
		}
		ratio, aim, met := l.ratio()
		rows = append(rows, []string{l.what, seconds(l.median()), seconds(slices.Min(l.times)), seconds(slices.Max(l.times)),
			strconv.Itoa(len(l.times)), ratio, aim, met})
	}
	return ui.Table(w, []string{"WHAT", "MEDIAN", "MIN", "MAX", "RUNS", "RATIO", "AIM", ""}, rows, false)
}

// bounds is a line for each aim that was measured: one that is passed is seen.
func (t *table) bounds() []string {
	var out []string
	for _, l := range t.lines {
		ratio, aim, met := l.ratio()
		if met == "" {
			continue
		}
		what := l.what
		if l.ours != nil {
			what = l.ours.what + " /" + strings.TrimPrefix(what, " ")
		} else {
			ratio = seconds(l.median())
		}
		out = append(out, fmt.Sprintf("bound %-8s %s: %s, wanted %s", met, what, ratio, aim))
	}
	return out
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		name  string
		times []time.Duration
		want  time.Duration
	}{
		{"nothing measured", nil, 0},
		{"one", []time.Duration{7}, 7},
		{"odd, unsorted", []time.Duration{9, 1, 5}, 5},
		{"even: mean of the middle two", []time.Duration{8, 2, 4, 100}, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (&line{times: tt.times}).median(); got != tt.want {
				t.Errorf("median of %v is %v, want %v", tt.times, got, tt.want)
			}
		})
	}
}

func TestTableTellsWhetherAnAimIsMet(t *testing.T) {
	var tab table
	ours := tab.line("ours")
	floor := tab.floor(ours, "floor", 1.15)
	slow := tab.peer(ours, "slow", 4)
	tab.peer(ours, "not measured", 2).add(0)
	tab.lines[3].times = nil
	ours.add(2 * time.Second)
	floor.add(time.Second)
	slow.add(9 * time.Second)
	var b strings.Builder
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(rows) != 4 {
		t.Fatalf("want a head and three lines:\n%s", b.String())
	}
	for i, want := range []string{"MEDIAN", "2.000 s", "= 2.00", "= 4.50"} {
		if !strings.Contains(rows[i], want) {
			t.Errorf("line %d has no %q: %s", i, want, rows[i])
		}
	}
	ours.within(3 * time.Second)
	want := []string{
		"bound met      ours: 2.000 s, wanted ≤ 3s",
		"bound not met  ours / floor: dcalab / this = 2.00, wanted ≤ 1.15",
		"bound met      ours / slow: this / dcalab = 4.50, wanted ≥ 4",
	}
	if got := tab.bounds(); !slices.Equal(got, want) {
		t.Errorf("the bounds:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.HasSuffix(rows[2], "≤ 1.15   not met") || !strings.HasSuffix(rows[3], "≥ 4      met") {
		t.Errorf("aims:\n%s", b.String())
	}
}

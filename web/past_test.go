package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/timeline"
)

func noHint(line string) string { return line }

// eventsOf draws what may happen, at times of which some are the same moment.
func eventsOf(t *rapid.T) []timeline.Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out []timeline.Event
	for v := range rapid.IntRange(1, 60).Draw(t, "events") {
		var e timeline.Event
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			e = leads(rapid.SampledFrom([]string{"m1", "m2"}).Draw(t, "leader"), uint64(v)) //nolint:gosec // it is small
		case 1:
			e = timeline.Event{Source: timeline.SourceMachine, Kind: timeline.KindMachine, Node: "m1", Machine: rapid.SampledFrom([]machine.Status{machine.StatusRunning, machine.StatusHalted}).Draw(t, "machine")}
		case 2:
			e = timeline.Event{Source: timeline.SourceFault, Kind: rapid.SampledFrom([]timeline.Kind{timeline.KindBroken, timeline.KindHealed}).Draw(t, "fault"), Fault: "f1", Text: "kill m1"}
		default:
			e = taskIs(uint64(v+1), rapid.SampledFrom([]string{"new", "running"}).Draw(t, "state"), "w1") //nolint:gosec // it is small
			e.Change.ID = rapid.SampledFrom([]string{"t1", "t2", "t3"}).Draw(t, "task")
			if rapid.Bool().Draw(t, "gone") {
				e.Change.Action = "remove"
			}
		}
		at = at.Add(time.Duration(rapid.IntRange(0, 150).Draw(t, "ms")) * time.Millisecond)
		e.Time = at
		out = append(out, e)
	}
	return out
}

// TestPastIsWhatServeShows: at each moment it is the picture that the server has for that
// time, and its lanes are the server's.
func TestPastIsWhatServeShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := eventsOf(t)
		from := events[rapid.IntRange(0, len(events)-1).Draw(t, "from")].Time
		h := newHub(noHint)
		h.begin(Lab{Name: "dca"})
		for _, e := range events {
			h.take(e)
		}
		p, shown := pastOf(Lab{Name: "dca"}, events, from, pastMax), picture{}
		var said []news
		for i, m := range p.Moments {
			if m.Whole != (i == 0) {
				t.Fatalf("moment %d is whole: %v", i, m.Whole)
			}
			maps.Copy(shown, m.Set)
			maps.DeleteFunc(shown, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
			at, err := time.Parse(time.RFC3339Nano, m.Now)
			if err != nil || at.Before(from) {
				t.Fatalf("moment %d is of %s (%v)", i, m.Now, err)
			}
			said = append(said, m.News...)
			if i == 0 && from.After(events[0].Time) {
				at = at.Add(-1) // how it was until then
			}
			want := h.at(at)
			want.News = slices.DeleteFunc(want.News, func(n news) bool { return n.At.Before(from) })
			if !reflect.DeepEqual(shown, want.Set) {
				t.Fatalf("at %s: %s, want %s", m.Now, shown, want.Set)
			}
			if fmt.Sprint(said[max(0, len(said)-len(want.News)):]) != fmt.Sprint(want.News) {
				t.Fatalf("at %s the news are %v, want %v", m.Now, said, want.News)
			}
		}
		if want := h.marks(from); !reflect.DeepEqual(p.Lanes.Marks, want.Marks) || !p.Lanes.To.Equal(want.To) {
			t.Fatalf("the lanes are %+v, want %+v", p.Lanes, want)
		}
		h.close()
	})
}

// TestPastIsBounded: of very many moments longer ones are made, of which the last is the end.
func TestPastIsBounded(t *testing.T) {
	const most = 500
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var events []timeline.Event
	for i := range 3 * most {
		e := taskIs(uint64(i+1), fmt.Sprint("s", i), "w1") //nolint:gosec // it is small
		e.Time = from.Add(time.Duration(i) * 120 * time.Millisecond)
		events = append(events, e)
	}
	p := pastOf(Lab{}, events, from, most)
	if n := len(p.Moments); n > most || n < most/3 {
		t.Errorf("there are %d moments", n)
	}
	if last := p.Moments[len(p.Moments)-1]; !strings.Contains(string(last.Set["task/t"]), fmt.Sprintf(`"s%d"`, len(events)-1)) {
		t.Errorf("the last one is %+v", last)
	}
	if p := pastOf(Lab{Name: "dca"}, nil, from, most); len(p.Moments) != 1 || !p.Moments[0].Whole {
		t.Errorf("of nothing it is %+v", p)
	}
}

// TestPastByItself: nothing is loaded, no other script runs, and no name is more than text.
func TestPastByItself(t *testing.T) {
	hostile := "</script><script>alert(1)</script><!--<script>\u2028\"'&"
	e := taskIs(2, "running", hostile)
	e.Change.Name = hostile
	var page bytes.Buffer
	if err := WritePast(&page, Lab{Name: hostile}, []timeline.Event{leads("m1", 2), e}, time.Time{}, "<p>\"found\" "+hostile); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if strings.Count(text, "<script") != 2 || strings.Count(text, "</script") != 2 || strings.Contains(text, "<!--") {
		t.Error("a name has become part of the page")
	}
	for _, load := range []string{" src=", ` href="/assets/`, `href="http`, "url(http", "@import"} {
		if strings.Contains(text, load) {
			t.Errorf("the page loads something: %s", load)
		}
	}
	between := func(from, to string) string {
		_, rest, _ := strings.Cut(text, from)
		found, _, _ := strings.Cut(rest, to)
		return found
	}
	sum := sha256.Sum256([]byte(between(`<script type="module">`, "</script>")))
	if policy := between(`http-equiv="Content-Security-Policy" content="`, `"`); !strings.HasPrefix(policy, "default-src 'none'; script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';") {
		t.Errorf("the policy is %s", policy)
	}
	var p past
	if err := json.Unmarshal([]byte(between(`id="past">`, "</script>")), &p); err != nil {
		t.Fatal(err)
	}
	var task timeline.Task
	if err := json.Unmarshal(p.Moments[len(p.Moments)-1].Set["task/t"], &task); err != nil || task.Name != hostile || task.Node != hostile {
		t.Errorf("the task is %+v (%v)", task, err)
	}
	if !strings.Contains(between(`srcdoc="`, `">`), "&lt;p&gt;&#34;found&#34;") {
		t.Error("what was found is not in it")
	}
}

// BenchmarkPast is ten minutes in which one of 500 tasks changes five times a second.
func BenchmarkPast(b *testing.B) {
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var events []timeline.Event
	for i := range 3500 {
		e := taskIs(uint64(i+1), fmt.Sprint("s", i), fmt.Sprint("w", i%30)) //nolint:gosec // it is small
		e.Change.ID = fmt.Sprint("t", i%500)
		e.Time = from
		if i > 500 {
			e.Time = from.Add(time.Duration(i-500) * 200 * time.Millisecond)
		}
		events = append(events, e)
	}
	for b.Loop() {
		var page bytes.Buffer
		if err := WritePast(&page, Lab{}, events, from, ""); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(page.Len()), "bytes")
	}
}

package observe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/timeline"
)

// recorded gives the events of a recording of a real lab.
func recorded(t *testing.T, file string) []timeline.Event {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []timeline.Event
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e timeline.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// The leader is on the minority's side of a partition for 40 s: a leader there, another
// one here, and back together.
func TestRecordedPartition(t *testing.T) {
	events := recorded(t, "testdata/partition.jsonl")
	o := New("dca", events[0].Time)
	for _, e := range events {
		o.Add(e)
	}
	r := o.Report(events[len(events)-1].Time)
	if len(r.Missing) > 0 {
		t.Error(r.Missing)
	}
	r.Began = r.Began.UTC()
	var text, html bytes.Buffer
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/partition.golden.txt", text.Bytes())
	if err := WritePage(&html, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/partition.golden.html", html.Bytes())
	for _, page := range []string{"<script", "http:", "https:", "src="} {
		if strings.Contains(html.String(), page) {
			t.Errorf("the page has %s", page)
		}
	}

	// A part of it, as timeline export asks for.
	half := events[len(events)/2].Time
	late := New("dca", half)
	for _, e := range events {
		for _, m := range late.Add(e) {
			if m.Time.Before(half) {
				t.Error("told of what was before:", m.Line())
			}
		}
	}
	if len(late.Missing()) > 0 {
		t.Error(late.Missing())
	}
}

// scene are events, a second after one another unless told otherwise.
type scene struct {
	now    time.Time
	close  bool // a millisecond after one another
	events []timeline.Event
}

func (s *scene) add(e timeline.Event) *scene {
	step := time.Second
	if s.close {
		step = time.Millisecond
	}
	s.now = s.now.Add(step)
	e.Time = s.now
	s.events = append(s.events, e)
	return s
}

func (s *scene) machine(node string, is machine.Status) *scene {
	return s.add(timeline.Event{Source: timeline.SourceMachine, Kind: timeline.KindMachine, Node: node, Machine: is})
}

func (s *scene) raft(kind timeline.Kind, node string, term uint64, vote string, commit uint64) *scene {
	return s.add(timeline.Event{Source: timeline.SourceRaft, Kind: kind, Node: node, Raft: &timeline.Raft{Term: term, Vote: vote, Commit: commit, LastTerm: term, LastIndex: commit}})
}

func (s *scene) probe(node string, kind timeline.Kind) *scene {
	return s.add(timeline.Event{Source: timeline.SourceProbe, Kind: kind, Node: node, Text: "no answer"})
}

func (s *scene) fault(kind timeline.Kind, words string) *scene {
	return s.add(timeline.Event{Source: timeline.SourceFault, Kind: kind, Fault: "f1", Text: words})
}

// worker is a change of w.
func (s *scene) worker(state string) *scene {
	return s.object(raft.Object{Kind: raft.KindNode, ID: "idw", Name: "w", State: state}, "w")
}

// task is a change of one that runs.
func (s *scene) task(id, name, on, desired string) *scene {
	return s.object(raft.Object{Kind: raft.KindTask, ID: id, Name: name, State: "running", Desired: desired}, on)
}

func (s *scene) object(o raft.Object, on string) *scene {
	return s.add(timeline.Event{Source: timeline.SourceSwarm, Kind: timeline.KindChange, Node: "a", Change: &timeline.Change{Version: uint64(len(s.events)), Action: raft.ActionUpdate, Object: o, On: on}})
}

// small is a lab of two managers, a that leads and b, and a worker w.
func small() *scene {
	s := &scene{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s.add(timeline.Event{Source: timeline.SourceCommand, Kind: timeline.KindBegins})
	for _, n := range []string{"a", "b", "w"} {
		s.machine(n, machine.StatusRunning)
	}
	s.raft(timeline.KindState, "a", 2, "a", 10).raft(timeline.KindState, "b", 2, "a", 10).raft(timeline.KindLeader, "a", 2, "a", 10)
	return s.probe("a", timeline.KindWritable).probe("b", timeline.KindWritable)
}

func TestMilestones(t *testing.T) {
	broken, healed := timeline.KindBroken, timeline.KindHealed
	for name, c := range map[string]struct {
		scene *scene
		want  []string
		left  int // what is missing in the end
	}{
		"nothing is broken": {small().raft(timeline.KindLog, "a", 2, "a", 11).task("1", "web.1", "w", "running"), nil, 0},
		"a worker and its tasks": {
			small().task("1", "web.1", "w", "running").fault(broken, "isolate w").worker("down").
				task("1", "web.1", "w", "shutdown").task("2", "web.1", "b", "running").
				fault(healed, "isolate w").worker("ready"),
			[]string{"broken", "down w", "lost w", "placed", "healed", "ready", "whole"}, 0,
		},
		"a task that was given up, and no node for it": {
			small().fault(broken, "isolate w").task("1", "web.1", "w", "shutdown").fault(healed, "isolate w"),
			[]string{"broken", "lost w", "healed"}, 1,
		},
		"two managers, one down": {
			small().fault(broken, "kill b").machine("b", machine.StatusHalted).probe("b", timeline.KindUnwritable).probe("a", timeline.KindUnwritable).
				raft(timeline.KindTerm, "a", 3, "a", 10),
			[]string{"broken", "off b", "unwritable b", "unwritable a", "term a"}, 4,
		},
		"a leader that comes back": {
			small().fault(broken, "isolate a").probe("a", timeline.KindUnwritable).probe("b", timeline.KindUnwritable).
				raft(timeline.KindTerm, "b", 3, "b", 10).raft(timeline.KindLeader, "b", 3, "b", 11).probe("b", timeline.KindWritable).
				fault(healed, "isolate a").raft(timeline.KindTerm, "a", 3, "", 11).probe("a", timeline.KindWritable),
			[]string{"broken", "unwritable a", "unwritable b", "term b", "leader b", "write b", "healed", "caught-up a", "writable a", "whole"}, 0,
		},
		"broken by hand": {
			small().raft(timeline.KindTerm, "b", 3, "b", 10),
			[]string{"term b"}, 1,
		},
		"power, by hand": {
			small().machine("w", machine.StatusHalted).worker("down").machine("w", machine.StatusRunning).worker("ready"),
			[]string{"off w", "down w", "on w", "ready", "whole"}, 0,
		},
		"the machine is seen to be off before the fault is in the list": {
			small().machine("w", machine.StatusHalted).fault(broken, "kill w").machine("w", machine.StatusRunning).fault(healed, "kill w"),
			[]string{"off w", "broken", "on w", "healed", "whole"}, 0,
		},
		"a service that is scaled down, and one that is removed": {
			small().fault(broken, "block port 4789 of w").task("1", "web.1", "w", "remove").task("2", "db.1", "w", "shutdown").
				object(raft.Object{Kind: raft.KindService, ID: "db", Name: "db", Desired: "removed"}, "").fault(healed, "block port 4789 of w"),
			[]string{"broken", "lost w", "healed", "whole"}, 0,
		},
		"broken again": {
			small().fault(broken, "freeze w").fault(healed, "freeze w").fault(broken, "freeze w").fault(healed, "freeze w"),
			[]string{"broken", "healed", "whole", "broken", "healed", "whole"}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := New("dca", c.scene.events[0].Time)
			var got []string
			for _, e := range c.scene.events {
				for _, m := range o.Add(e) {
					got = append(got, strings.TrimSpace(string(m.ID)+" "+m.Node))
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if left := o.Missing(); len(left) != c.left {
				t.Error(left)
			}
			r := o.Report(c.scene.now)
			if !slices.IsSortedFunc(r.Milestones, func(a, b Milestone) int { return a.Time.Compare(b.Time) }) {
				t.Error("not in the order of time")
			}
			for _, m := range r.Milestones {
				if m.MS < 0 || m.SinceMS < 0 || m.SinceMS > m.MS {
					t.Error(m.Line())
				}
			}
		})
	}
}

// A write that was on its way when the fault came was lost by the fault.
func TestAWriteOnItsWay(t *testing.T) {
	s := small()
	asked := s.now
	s.fault(timeline.KindBroken, "freeze a")
	broken := s.now
	s.add(timeline.Event{Source: timeline.SourceProbe, Kind: timeline.KindUnwritable, Node: "a", Text: "no answer", Since: asked})
	o := New("dca", s.events[0].Time)
	for _, e := range s.events {
		o.Add(e)
	}
	r := o.Report(s.now)
	if last := r.Milestones[len(r.Milestones)-1]; last.ID != Unwritable || !last.Time.Equal(broken) || last.MS != 0 {
		t.Error(last)
	}
}

// One manager is heard a moment later than another: a vote is never before who is voted for,
// nor a write before who has won; but what is long ago has come of something else.
func TestWhatIsHeardLate(t *testing.T) {
	cut := func() *scene {
		return small().fault(timeline.KindBroken, "isolate a").probe("a", timeline.KindUnwritable).probe("b", timeline.KindUnwritable)
	}
	ids := func(s *scene) string {
		o := New("dca", s.events[0].Time)
		for _, e := range s.events {
			o.Add(e)
		}
		var out []string
		for _, m := range o.Report(s.now).Milestones {
			out = append(out, string(m.ID))
		}
		return strings.Join(out, " ")
	}
	late := cut()
	late.raft(timeline.KindTerm, "c", 3, "b", 10).close = true
	late.probe("b", timeline.KindWritable).raft(timeline.KindTerm, "b", 3, "b", 10).raft(timeline.KindLeader, "b", 3, "b", 11)
	if got, want := ids(late), "broken unwritable unwritable term vote leader write"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	long := cut().raft(timeline.KindTerm, "c", 3, "c", 10).probe("b", timeline.KindWritable).raft(timeline.KindTerm, "b", 4, "b", 10).raft(timeline.KindLeader, "b", 3, "b", 11)
	if got, want := ids(long), "broken unwritable unwritable term write leader"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Of what is broken one after the other the newest alone is kept: also where what it did was
// seen before it was told, and where nobody has told it.
func TestNewest(t *testing.T) {
	ids := func(s *scene) string {
		o := Newest("dca")
		for _, e := range s.events {
			o.Add(e)
		}
		var out []string
		for _, m := range o.Milestones() {
			out = append(out, string(m.ID))
		}
		return strings.Join(out, " ")
	}
	once := func() *scene {
		return small().fault(timeline.KindBroken, "freeze w").fault(timeline.KindHealed, "freeze w")
	}
	if got, want := ids(once()), "broken healed whole"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	killed := once()
	cut := killed.now.Add(time.Millisecond)
	killed.machine("w", machine.StatusHalted)
	killed.add(timeline.Event{Source: timeline.SourceFault, Kind: timeline.KindBroken, Fault: "f2", Text: "kill w", Since: cut})
	if got, want := ids(killed), "broken off"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	byHand := once().raft(timeline.KindTerm, "b", 3, "b", 10).raft(timeline.KindLeader, "b", 3, "b", 11)
	if got, want := ids(byHand), "term leader"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Without a beginning, it tells of the last time in which the lab was listened to.
func TestLastTime(t *testing.T) {
	s := small().fault(timeline.KindBroken, "freeze w").fault(timeline.KindHealed, "freeze w")
	s.now = s.now.Add(time.Hour)
	s.add(timeline.Event{Source: timeline.SourceCommand, Kind: timeline.KindBegins})
	s.machine("w", machine.StatusRunning).fault(timeline.KindBroken, "freeze a")
	o := New("dca", time.Time{})
	for _, e := range s.events {
		o.Add(e)
	}
	if r := o.Report(s.now); len(r.Milestones) != 1 || len(r.Faults) != 1 || r.Faults[0].Words != "freeze a" {
		t.Errorf("%+v", r)
	}
}

// What is broken on purpose begins it: that a write took long before is how it was.
func TestFrom(t *testing.T) {
	s := small().probe("a", timeline.KindUnwritable).probe("a", timeline.KindWritable).task("1", "web.1", "w", "shutdown").worker("ready")
	o := New("dca", s.events[0].Time)
	for _, e := range s.events {
		o.Add(e)
	}
	if !o.Broken() {
		t.Fatal("it takes no note of what was not broken on purpose")
	}
	o.From(s.now.Add(time.Second))
	if left := o.Missing(); o.Broken() || len(left) > 0 {
		t.Error(left)
	}
	n := len(s.events)
	s.now = s.now.Add(time.Minute)
	s.fault(timeline.KindBroken, "freeze w").fault(timeline.KindHealed, "freeze w")
	for _, e := range s.events[n:] {
		o.Add(e)
	}
	var got []ID
	for _, m := range o.Report(s.now).Milestones {
		got = append(got, m.ID)
	}
	if d := cmp.Diff([]ID{Broken, Healed, Whole}, got); d != "" {
		t.Error(d)
	}
}

// What happened before a listener began to listen is not known, and what was down then may
// not be any more.
func TestWhatWasBefore(t *testing.T) {
	s := small().fault(timeline.KindBroken, "isolate w").worker("down")
	s.add(timeline.Event{Source: timeline.SourceCommand, Kind: timeline.KindBegins})
	for _, n := range []string{"a", "b", "w"} {
		s.machine(n, machine.StatusRunning)
	}
	s.raft(timeline.KindState, "a", 5, "a", 90).raft(timeline.KindState, "b", 5, "a", 90).raft(timeline.KindLeader, "a", 5, "a", 90)
	o := New("dca", s.now.Add(time.Second))
	for _, e := range s.events {
		if found := o.Add(e); len(found) > 0 {
			t.Error(found)
		}
	}
	if left := o.Missing(); len(left) > 0 || !o.Heard([]string{"a", "b"}) || o.Heard([]string{"c"}) {
		t.Error(left, o.unready([]string{"a", "b", "c"}))
	}
}

// golden compares what a file has to have.
var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file) //nolint:gosec // a name in a test
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Error(d)
	}
}

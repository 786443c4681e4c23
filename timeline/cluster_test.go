package timeline

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm/raft"
)

func is(version uint64, o raft.Object, on string) Event {
	e := change(version, raft.ActionUpdate, o, on)
	e.Kind = KindState
	return e
}

func taskIn(state, node string) raft.Object {
	return raft.Object{Kind: raft.KindTask, ID: "id-t", Name: "web.1", Service: "id-s", State: state, Desired: "running", Node: node}
}

func nodeIs(id, state string) raft.Object {
	return raft.Object{Kind: raft.KindNode, ID: id, Name: "w1.lab", State: state, Role: "worker", Desired: "worker", Availability: "active"}
}

func after(events ...Event) *Present {
	var p Present
	for _, e := range append(led(), events...) {
		p.Take(e)
	}
	return &p
}

// TestStock: what there is already is known, and no news; what changes of it is.
func TestStock(t *testing.T) {
	p := after(
		is(7, nodeIs("id-w", "ready"), "w1"), is(8, raft.Object{Kind: raft.KindService, ID: "id-s", Name: "web", Replicas: count(1)}, ""), is(9, taskIn("running", "id-w"), "w1"),
	)
	if len(p.News) != 1 || p.Tasks["id-t"].Node != "w1" || p.Nodes["w1"].State != "ready" || *p.Services["id-s"].Replicas != 1 {
		t.Errorf("it is %+v", p)
	}
	if p.Take(change(9, raft.ActionUpdate, taskIn("running", "id-w"), "w1")) {
		t.Error("what is known is news")
	}
	if p.Take(is(4, taskIn("new", ""), "")) || p.Tasks["id-t"].State != "running" {
		t.Error("what is old takes the place of what is new")
	}
	if !p.Take(change(10, raft.ActionUpdate, taskIn("failed", "id-w"), "w1")) || p.Tasks["id-t"].State != "failed" {
		t.Error("a change is no news")
	}
	p.Take(change(10, raft.ActionRemove, taskIn("failed", "id-w"), "w1"))
	if p.Take(is(9, taskIn("running", "id-w"), "w1")) || len(p.Tasks) != 0 {
		t.Error("what was removed is there again")
	}
}

// TestMemberThatJoinedAgain: its old entry in the list, which is down, is not what it is.
func TestMemberThatJoinedAgain(t *testing.T) {
	for name, events := range map[string][]Event{
		"the old one first": {is(5, nodeIs("old", "down"), "w1"), is(6, nodeIs("new", "ready"), "w1")},
		"the new one first": {is(6, nodeIs("new", "ready"), "w1"), is(5, nodeIs("old", "down"), "w1")},
		"removed":           {is(6, nodeIs("new", "ready"), "w1"), change(5, raft.ActionRemove, nodeIs("old", "down"), "w1")},
	} {
		if n := after(events...).Nodes["w1"]; n.ID != "new" || n.State != "ready" {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

func TestFaults(t *testing.T) {
	broken := Event{Time: at(3), Since: at(2), Until: at(60), Source: SourceFault, Kind: KindBroken, Fault: "f1", Text: "isolate m1", Nodes: []string{"m1"}, Cuts: [][2]string{{"m2", "m1"}}}
	p := after(broken)
	want := map[string]Fault{"f1": {Words: "isolate m1", Since: at(2), Until: at(60), Nodes: []string{"m1"}, Cuts: [][2]string{{"m2", "m1"}}}}
	if !reflect.DeepEqual(p.Faults, want) {
		t.Errorf("got %+v", p.Faults)
	}
	if p.Take(Event{Time: at(9), Source: SourceFault, Kind: KindHealed, Fault: "f1"}); len(p.Faults) != 0 {
		t.Errorf("got %+v", p.Faults)
	}
}

// TestLocks: a manager is locked until its engine is gone, and settings until another swarm.
func TestLocks(t *testing.T) {
	locked := Event{Source: SourceEngine, Kind: KindLocked, Node: "m2"}
	settings := Event{Source: SourceSwarm, Kind: KindSettings, Settings: &Settings{Autolock: true}}
	engineIs := func(is engine.Life) Event {
		return Event{Source: SourceEngine, Kind: KindEngine, Node: "m2", Engine: is}
	}
	for name, c := range map[string]struct {
		events []Event
		want   bool
	}{
		"locked":              {[]Event{locked}, true},
		"it hangs":            {[]Event{locked, engineIs(engine.LifeHangs)}, true},
		"its engine is gone":  {[]Event{locked, engineIs(engine.LifeDown)}, false},
		"its machine is gone": {[]Event{locked, machineIs(4, "m2", machine.StatusHalted)}, false},
		"unlocked":            {[]Event{locked, {Source: SourceEngine, Kind: KindUnlocked, Node: "m2"}}, false},
	} {
		if p := after(append(c.events, settings)...); p.Nodes["m2"].Locked != c.want || !p.Settings.Autolock {
			t.Errorf("%s: %+v, %+v", name, p.Nodes["m2"], p.Settings)
		}
	}
	left := func(node string) Event { return Event{Kind: KindLeft, Node: node} }
	if p := after(settings, left("m1"), left("m2"), left("m3")); p.Settings != (Settings{}) {
		t.Errorf("without a swarm there are %+v", p.Settings)
	}
}

// TestPorts: what a service publishes is part of what is told of it.
func TestPorts(t *testing.T) {
	web := raft.Object{Kind: raft.KindService, ID: "id-s", Name: "web", Replicas: count(2), Ports: []raft.Port{
		{Protocol: "tcp", Target: 80, Published: 8080}, {Protocol: "udp", Target: 53, Host: true},
	}}
	e := change(5, raft.ActionUpdate, web, "")
	if got, want := e.Words(), "service web: 2 replicas, publishes 8080->80/tcp, 53/udp (host)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if p := after(e); !reflect.DeepEqual(p.Services["id-s"].Ports, web.Ports) {
		t.Errorf("got %+v", p.Services["id-s"])
	}
}

// TestBeliefs: a manager that was cut off goes on taking the winner of its term for the
// leader, and one that is in a term that nobody has won knows none.
func TestBeliefs(t *testing.T) {
	p := after(logOf(5, KindTerm, "m2", 3, "m2"), logOf(5, KindTerm, "m3", 3, "m2"), logOf(5, KindLeader, "m2", 3, "m2"),
		logOf(6, KindTerm, "m3", 4, "m3"), machineIs(7, "m3", machine.StatusHalted))
	want := map[string]Belief{"m1": {Term: 2, Leader: "m1"}, "m2": {Term: 3, Leader: "m2"}, "m3": {Term: 4, Away: at(7)}}
	if got := p.Beliefs(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// TestElectedBefore: another listener learns later of an election that was won long ago.
func TestElectedBefore(t *testing.T) {
	begins := Event{Time: at(50), Source: SourceCommand, Kind: KindBegins}
	if p := after(begins, begins, logOf(51, KindLeader, "m1", 2, "m1")); !p.Elected.Equal(at(0)) {
		t.Errorf("it was won at %v", p.Elected)
	}
	if p := after(begins, logOf(51, KindLeader, "m1", 5, "m1")); !p.Elected.Equal(at(51)) {
		t.Errorf("the later one was won at %v", p.Elected)
	}
}

func TestDissolved(t *testing.T) {
	p := after(is(7, nodeIs("id-w", "ready"), "w1"), is(9, taskIn("running", "id-w"), "w1"),
		Event{Source: SourceEngine, Kind: KindEngine, Node: "w1", Engine: engine.LifeUp},
		Event{Kind: KindLeft, Node: "m1"}, Event{Kind: KindLeft, Node: "m2"}, Event{Kind: KindLeft, Node: "m3"})
	if len(p.Tasks) != 0 || p.Leader != "" || p.Nodes["w1"] != (Node{Engine: engine.LifeUp}) {
		t.Errorf("it is %+v", p)
	}
}

// anything draws events of all sources, each change told by several managers in their
// order, one later than another.
func anything(t *rapid.T) []Event {
	var log, out []Event
	for v := range rapid.IntRange(1, 40).Draw(t, "changes") {
		o := taskIn(rapid.SampledFrom([]string{"new", "running", "failed"}).Draw(t, "state"), "")
		o.ID = fmt.Sprintf("id-%d", rapid.IntRange(0, 5).Draw(t, "task"))
		e := change(uint64(v+1), raft.ActionUpdate, o, rapid.SampledFrom([]string{"w1", "w2"}).Draw(t, "on")) //nolint:gosec // it is small
		e.Time = at(v)
		log = append(log, e)
	}
	told := map[string]int{}
	for told["m1"] < len(log) || told["m2"] < len(log) {
		m := rapid.SampledFrom([]string{"m1", "m2"}).Draw(t, "manager")
		if told[m] == len(log) {
			continue
		}
		e := log[told[m]]
		e.Node = m
		told[m]++
		out = append(out, e)
	}
	return out
}

// TestPresentWhateverTheManagersOrder: whoever tells the changes first, what holds at the
// end is what the last of them say; and a copy made meanwhile comes to the same.
func TestPresentWhateverTheManagersOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := anything(t)
		want := map[string]string{}
		var p Present
		copied := p.Clone()
		half := rapid.IntRange(0, len(events)).Draw(t, "half")
		for i, e := range events {
			if i == half {
				copied = p.Clone()
			}
			p.Take(e)
		}
		for _, e := range events[half:] {
			copied.Take(e)
		}
		version := map[string]uint64{}
		for _, e := range events {
			if c := e.Change; c.Version >= version[c.ID] {
				version[c.ID], want[c.ID] = c.Version, c.State+" on "+c.On
			}
		}
		got := map[string]string{}
		for id, task := range p.Tasks {
			got[id] = task.State + " on " + task.Node
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if half < len(events) && !reflect.DeepEqual(copied, &p) {
			t.Fatalf("the copy is another: %+v, %+v", copied, p)
		}
	})
}

// TestOldRecording: events as an earlier dcalab wrote them still amount to a picture.
func TestOldRecording(t *testing.T) {
	var p Present
	for _, line := range []string{
		`{"time":"2026-01-02T03:04:05Z","source":"command","kind":"begins","node":"","text":"listening begins"}`,
		`{"time":"2026-01-02T03:04:06Z","source":"raft","kind":"leader","node":"m1","raft":{"term":2,"vote":"m1","commit":8,"last_term":2,"last_index":9}}`,
		`{"time":"2026-01-02T03:04:07Z","source":"fault","kind":"broken","node":"","text":"isolate m1","fault":"f1","since":"2026-01-02T03:04:06Z"}`,
		`{"time":"2026-01-02T03:04:08Z","source":"swarm","kind":"change","node":"m1","change":{"version":9,"action":"create","kind":"task","id":"t","name":"web.1","state":"new"}}`,
	} {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		p.Take(e)
	}
	if p.Leader != "m1" || p.Faults["f1"].Words != "isolate m1" || p.Tasks["t"].State != "new" || len(p.News) != 3 {
		t.Errorf("it is %+v", p)
	}
}

// BenchmarkPresent is 30 nodes with 500 tasks, each of which is told by three managers.
func BenchmarkPresent(b *testing.B) {
	var p Present
	var events []Event
	for i := range 500 {
		o := taskIn("running", "")
		o.ID = fmt.Sprint("id-", i)
		e := change(uint64(i+1), raft.ActionUpdate, o, fmt.Sprint("w", i%30)) //nolint:gosec // it is small
		e.Time = time.Now()
		events = append(events, e, e, e)
	}
	for i := 0; b.Loop(); i++ {
		p.Take(events[i%len(events)])
	}
}

package timeline

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/dcalab/dcalab/swarm/raft"
)

func task(id string, version uint64) raft.Change {
	return raft.Change{Version: version, Action: raft.ActionUpdate, Object: raft.Object{Kind: raft.KindTask, ID: id, Name: "web." + id, Service: "s", State: "running"}}
}

func stockOfTasks(t *testing.T) (l *listener, take func(...raft.Change), told func() []string) {
	t.Helper()
	var said []string
	l = listening(&said)
	l.logs["m1"], l.leader = raft.State{ID: 1}, 1
	l.tell = func(e Event) { said = append(said, fmt.Sprintf("%s %s %s", e.Kind, e.Change.Action, e.Change.Name)) }
	take = func(found ...raft.Change) {
		t.Helper()
		s, wanted := l.beginStock()
		if !wanted {
			t.Error("stock is not to be taken")
		}
		l.endStock(s, "m1", found)
	}
	return l, take, func() []string { defer func() { said = nil }(); return said }
}

func (l *listener) missed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wanted++
	l.wantStock()
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestStockTellsWhatIsGone: what a manager removed while it was not watched.
func TestStockTellsWhatIsGone(t *testing.T) {
	l, take, told := stockOfTasks(t)
	take(task("1", 5), task("2", 6))
	l.change("m1", task("3", 7))
	attached := task("4", 8)
	attached.Service = "" // no engine lists it
	l.change("m1", attached)
	l.change("m1", raft.Change{Version: 9, Action: raft.ActionCreate, Object: raft.Object{Kind: raft.KindNetwork, ID: "n", Name: "net"}})
	expect(t, told(), "state update web.1", "state update web.2", "change update web.3", "change update web.4", "change create net")
	l.missed()
	take(task("2", 6))
	expect(t, told(), "state update web.2", "change remove web.1", "change remove web.3")
	l.missed()
	take(task("2", 6))
	expect(t, told(), "state update web.2")

	l.change("m1", task("5", 10))
	l.leader = 2 // m1 was cut off
	l.missed()
	take(task("2", 6))
	expect(t, told(), "change update web.5", "state update web.2")
}

// TestStockIsOfWhatWasKnown: what comes and goes while the engines are asked is told by the
// watch, and not by lists that are older.
func TestStockIsOfWhatWasKnown(t *testing.T) {
	l, take, told := stockOfTasks(t)
	take(task("1", 5), task("2", 6))
	l.missed()
	s, _ := l.beginStock()
	l.change("m1", task("3", 7))
	gone := task("1", 5)
	gone.Action = raft.ActionRemove
	l.change("m1", gone)
	told()
	l.endStock(s, "m1", []raft.Change{task("2", 6)})
	expect(t, told(), "state update web.2")
}

// TestStockThatOverlaps: one that is wanted while another one is taken is neither lost nor
// mixed with it.
func TestStockThatOverlaps(t *testing.T) {
	l, take, told := stockOfTasks(t)
	s, _ := l.beginStock()
	l.missed()
	l.endStock(s, "m1", []raft.Change{task("1", 5)})
	expect(t, told())
	if len(l.stock) != 1 {
		t.Error("nobody is told that stock is to be taken again")
	}
	take(task("2", 6))
	expect(t, told(), "state update web.2")
	if _, wanted := l.beginStock(); wanted {
		t.Error("it was taken, and is wanted still")
	}
}

// TestStockOfAnotherSwarm: what the last one had is not told as removed from this one.
func TestStockOfAnotherSwarm(t *testing.T) {
	l, take, told := stockOfTasks(t)
	clear(l.logs)
	l.log("a", raft.State{})
	take(task("1", 5))
	told()
	l.tell = func(Event) {}
	l.log("a", raft.State{ID: 7, HardState: raft.HardState{Term: 2}})
	var after []string
	l.tell = func(e Event) { after = append(after, fmt.Sprintf("%s %s", e.Kind, e.Change.Name)) }
	take(task("2", 6))
	expect(t, after, "state web.2")
}

// TestGhosts: the picture has none after a gap.
func TestGhosts(t *testing.T) {
	var p Present
	l, take, _ := stockOfTasks(t)
	l.tell = func(e Event) { p.Take(e) }
	take(task("1", 5), task("2", 6))
	l.missed()
	take(task("2", 6))
	if _, ghost := p.Tasks["1"]; ghost || len(p.Tasks) != 1 {
		t.Errorf("there are %+v", p.Tasks)
	}
}

package timeline

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm/raft"
)

// at is a second of the tests' clock.
func at(second int) time.Time { return time.Unix(1_800_000_000+int64(second), 0) }

func logOf(second int, kind Kind, node string, term uint64, vote string) Event {
	return Event{Time: at(second), Source: SourceRaft, Kind: kind, Node: node, Raft: &Raft{Term: term, Vote: vote, LastIndex: term * 10}}
}

func machineIs(second int, node string, is machine.Status) Event {
	return Event{Time: at(second), Source: SourceMachine, Kind: KindMachine, Node: node, Machine: is}
}

func leaderIs(second int, is engine.Life) Event {
	return Event{Time: at(second), Source: SourceEngine, Kind: KindEngine, Node: "m1", Engine: is}
}

// led are three managers, of which m1 leads since second 0.
func led() []Event {
	return []Event{
		{Time: at(0), Source: SourceCommand, Kind: KindBegins},
		machineIs(0, "m1", machine.StatusRunning), machineIs(0, "m2", machine.StatusRunning), machineIs(0, "m3", machine.StatusRunning),
		logOf(0, KindState, "m1", 2, "m1"), logOf(0, KindState, "m2", 2, "m1"), logOf(0, KindState, "m3", 2, "m1"),
		logOf(0, KindLeader, "m1", 2, "m1"),
	}
}

func TestElecting(t *testing.T) {
	for name, c := range map[string]struct {
		events []Event
		want   string
	}{
		"a leader": {nil, "m1 leads in term 2"},
		"its machine is halted": {
			[]Event{machineIs(5, "m1", machine.StatusHalted)},
			"electing, term 2, since 5",
		},
		"it is back before the others have missed it": {
			[]Event{machineIs(5, "m1", machine.StatusHalted), machineIs(9, "m1", machine.StatusRunning)},
			"electing, term 2, since 5",
		},
		"a follower is halted": {
			[]Event{machineIs(5, "m2", machine.StatusHalted)},
			"m1 leads in term 2",
		},
		"one calls an election": {
			[]Event{machineIs(5, "m1", machine.StatusHalted), logOf(17, KindTerm, "m2", 3, "m2")},
			"electing, term 3, since 5",
		},
		"nobody wins it": {
			[]Event{
				machineIs(5, "m1", machine.StatusHalted), logOf(17, KindTerm, "m2", 3, "m2"), logOf(17, KindTerm, "m3", 3, "m3"),
				logOf(30, KindTerm, "m3", 4, "m3"),
			},
			"electing, term 4, since 5",
		},
		"it is won": {
			[]Event{
				machineIs(5, "m1", machine.StatusHalted), logOf(17, KindTerm, "m2", 3, "m2"), logOf(17, KindTerm, "m3", 3, "m2"),
				logOf(17, KindLeader, "m2", 3, "m2"),
			},
			"m2 leads in term 3",
		},
		"its engine is stopped, and started again": {
			[]Event{leaderIs(5, engine.LifeDown), leaderIs(8, engine.LifeUp)},
			"electing, term 2, since 5",
		},
		"its engine hangs": {
			[]Event{leaderIs(5, engine.LifeHangs)},
			"electing, term 2, since 5",
		},
		"its engine hangs, and goes on before it is missed": {
			[]Event{leaderIs(5, engine.LifeHangs), leaderIs(8, engine.LifeUp)},
			"m1 leads in term 2",
		},
		"its engine hangs, and goes on too late": {
			[]Event{
				leaderIs(5, engine.LifeHangs), logOf(16, KindTerm, "m2", 3, "m2"), logOf(16, KindTerm, "m3", 3, "m2"), leaderIs(17, engine.LifeUp),
			},
			"electing, term 3, since 5",
		},
		"the leader is cut off": {
			[]Event{logOf(14, KindTerm, "m2", 3, "m2"), logOf(15, KindTerm, "m3", 3, "m2")},
			"electing, term 3, since 15",
		},
		"one that is cut off calls elections in vain": {
			[]Event{logOf(14, KindTerm, "m3", 3, "m3"), logOf(30, KindTerm, "m3", 4, "m3")},
			"m1 leads in term 2",
		},
		"the swarm is dissolved": {
			[]Event{{Kind: KindLeft, Node: "m1"}, {Kind: KindLeft, Node: "m2"}, {Kind: KindLeft, Node: "m3"}, machineIs(9, "m1", machine.StatusHalted)},
			"nobody leads",
		},
		"another one listens, and finds a swarm without a leader": {
			[]Event{
				{Time: at(40), Source: SourceCommand, Kind: KindBegins}, machineIs(40, "m2", machine.StatusRunning),
				logOf(40, KindState, "m2", 7, "m2"),
			},
			"nobody leads",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var p Present
			for _, e := range append(led(), c.events...) {
				p.Take(e)
			}
			got := "nobody leads"
			if p.Leader != "" {
				got = fmt.Sprintf("%s leads in term %d", p.Leader, p.Term)
			}
			if term, since, ok := p.Electing(); ok {
				got = fmt.Sprintf("electing, term %d, since %d", term, since.Unix()-at(0).Unix())
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestElectingWhateverHappens: however events come, an election is of a term that some
// manager is in, and ends with a leader.
func TestElectingWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Present
		for _, e := range led() {
			p.Take(e)
		}
		nodes := []string{"m1", "m2", "m3"}
		for second := range rapid.IntRange(1, 40).Draw(t, "events") {
			node := rapid.SampledFrom(nodes).Draw(t, "node")
			term := rapid.Uint64Range(2, 9).Draw(t, "term")
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				p.Take(machineIs(second, node, machine.StatusHalted))
			case 1:
				p.Take(machineIs(second, node, machine.StatusRunning))
			case 2:
				p.Take(logOf(second, KindTerm, node, term, node))
			case 3:
				p.Take(logOf(second, KindLog, node, term, node))
			case 4:
				p.Take(logOf(second, KindLeader, node, term, node))
				if _, _, electing := p.Electing(); electing && p.Leader == node && p.Nodes[node].Away.IsZero() && !p.outvoted() {
					t.Fatalf("%s leads in term %d, and there is an election", node, term)
				}
			}
			term, since, ok := p.Electing()
			if !ok {
				continue
			}
			highest := p.Term
			for _, r := range p.Managers {
				highest = max(highest, r.Term)
			}
			if term < p.Term || term > highest || since.After(at(second)) {
				t.Fatalf("electing in term %d since %s; the highest term is %d", term, since, highest)
			}
		}
	})
}

func TestNews(t *testing.T) {
	task := raft.Object{Kind: raft.KindTask, ID: "id-t", Name: "web.1", State: "running"}
	lost := raft.Object{Kind: raft.KindNode, ID: "id-n", Name: "m2", State: "down"}
	var p Present
	for _, e := range append(led(),
		change(7, raft.ActionUpdate, task, "m1"),
		change(7, raft.ActionUpdate, task, "m1"), // another manager
		change(8, raft.ActionUpdate, lost, "m2"), // the table shows it
		logOf(3, KindLog, "m1", 2, "m1"),
		logOf(4, KindTerm, "m2", 3, "m2"),
		machineIs(5, "m1", machine.StatusHalted),
		Event{Source: SourceCommand, Kind: KindStep, Node: "m1", Text: "stopping"},
	) {
		p.Take(e)
	}
	var got []string
	for _, e := range p.News {
		got = append(got, e.Words())
	}
	want := []string{
		"leader, elected in term 2", "task web.1: running, on m1", "term 3, votes for itself; committed 0, last entry 30", "stopping",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if p.Behind("m1") != 10 || p.Behind("m2") != 0 {
		t.Errorf("behind: %d, %d", p.Behind("m1"), p.Behind("m2"))
	}
	for range 2 * newsMax {
		p.Take(Event{Source: SourceCommand, Kind: KindNote, Text: "more"})
	}
	if len(p.News) != newsMax {
		t.Errorf("%d are kept", len(p.News))
	}
}

package swarm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/swarm/raft"
)

// saying is an engine with fixed answers, or none.
type saying struct {
	Engine
	info             engine.Info
	nodes            []engine.Node
	infoErr, nodeErr error
	hangs            bool
}

func (s saying) Info(ctx context.Context) (engine.Info, error) {
	if s.hangs {
		<-ctx.Done()
		return engine.Info{}, fmt.Errorf("info: %w", ctx.Err())
	}
	return s.info, s.infoErr
}

func (s saying) Nodes(context.Context) ([]engine.Node, error) { return s.nodes, s.nodeErr }

// entries makes the list of the nodes n1, n2…: L leader, m reachable manager,
// u unreachable manager that is down, w worker; id-1, id-2…
func entries(kinds string) []engine.Node {
	var out []engine.Node
	for i, k := range kinds {
		n := engine.Node{
			ID: fmt.Sprintf("id-%d", i+1), Hostname: fmt.Sprintf("n%d.lab.example", i+1), Role: engine.RoleManager,
			Status: engine.NodeReady, Availability: engine.AvailabilityActive, Reachability: engine.ReachabilityReachable,
		}
		switch k {
		case 'L':
			n.Leader = true
		case 'u':
			n.Reachability, n.Status = engine.ReachabilityUnreachable, engine.NodeDown
		case 'w':
			n.Role, n.Reachability = engine.RoleWorker, ""
		}
		out = append(out, n)
	}
	return out
}

// at is node i (from 1) as its engine tells of itself.
func at(i int, control bool, managers int) engine.Info {
	in := engine.Info{State: engine.StateActive, NodeID: fmt.Sprintf("id-%d", i), Control: control}
	for m := range managers {
		in.Remotes = append(in.Remotes, engine.Peer{ID: fmt.Sprintf("id-%d", m+1), Addr: fmt.Sprintf("10.20.20.%d:2377", m+11)})
	}
	return in
}

func listing(i int, kinds string) saying {
	s := saying{info: at(i, true, 3), nodes: entries(kinds)}
	s.info.ClusterID = "c1"
	return s
}

// lonely is node 1, without a leader.
func lonely() saying {
	s := saying{info: at(1, true, 3), nodeErr: engine.ErrNoLeader}
	s.info.Error = "The swarm does not have a leader."
	return s
}

func asked(roles string, engines ...Engine) []Target {
	l := testLab(roles)
	var out []Target
	for i, n := range l.Nodes {
		t := TargetFor(l, n)
		if t.Engine = engines[i]; t.Engine == nil {
			t.Unreachable = errors.New("its machine is halted")
		}
		out = append(out, t)
	}
	return out
}

func TestManagerViews(t *testing.T) {
	worker := saying{info: at(4, false, 3)}
	for _, tt := range []struct {
		name    string
		targets []Target
		terms   map[string]uint64
		// answers are "manager answer leader", about what they disagree on.
		answers []string
		about   []string
	}{
		{"agreement", asked("mmmw", listing(1, "Lmmw"), listing(2, "Lmmw"), listing(3, "Lmmw"), worker),
			map[string]uint64{"n1": 2, "n2": 2, "n3": 2},
			[]string{"n1 list n1", "n2 list n1", "n3 list n1"}, nil},
		{"a partition, after the election", asked("mmmw", lonely(), listing(2, "uLmw"), listing(3, "uLmw"), worker),
			map[string]uint64{"n1": 5, "n2": 3, "n3": 3},
			[]string{"n1 no-list none", "n2 list n2", "n3 list n2"}, []string{"leader", "term"}},
		{"a partition, while the old leader believes in itself", asked("mmmw", listing(1, "Luuw"), listing(2, "uLmw"), listing(3, "uLmw"), worker),
			map[string]uint64{"n1": 2, "n2": 3},
			[]string{"n1 list n1", "n2 list n2", "n3 list n2"}, []string{"leader", "term", "n1", "n2", "n3"}},
		{"no quorum", asked("mmmw", lonely(), nil, nil, worker), nil,
			[]string{"n1 no-list none", "n2 silent ", "n3 silent "}, nil},
		{"one is halted", asked("mmmw", listing(1, "Lmuw"), listing(2, "Lmuw"), nil, worker), nil,
			[]string{"n1 list n1", "n2 list n1", "n3 silent "}, nil},
		{"a worker by labs.yaml that was promoted", asked("mw", listing(1, "Lm"), listing(2, "Lm")), nil,
			[]string{"n1 list n1", "n2 list n1"}, nil},
		{"locked", asked("mmm", listing(1, "Lmu"), listing(2, "Lmu"), saying{info: engine.Info{State: engine.StateLocked}}), nil,
			[]string{"n1 list n1", "n2 list n1", "n3 no-list none"}, []string{"leader"}},
		{"no swarm", asked("mw", saying{info: engine.Info{State: engine.StateInactive}}, nil), nil, nil, nil},
		{"nothing runs", asked("mw", nil, nil), nil, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := New(tt.targets, Options{}).ManagerViews(t.Context(), func(_ context.Context, node string) (raft.State, error) {
				if tt.terms[node] == 0 {
					return raft.State{}, errors.New("it cannot be read")
				}
				return raft.State{HardState: raft.HardState{Term: tt.terms[node]}}, nil
			})
			var answers, about []string
			for _, m := range v.Managers {
				answers = append(answers, fmt.Sprintf("%s %s %s", m.Manager, m.Answer, m.LeaderText()))
				if m.Term != tt.terms[m.Manager] {
					t.Errorf("%s: term %d", m.Manager, m.Term)
				}
				if (m.Answer == AnswerList) != (m.Error == "") {
					t.Errorf("%s: %s, error %q", m.Manager, m.Answer, m.Error)
				}
			}
			for _, d := range v.Disagreements {
				about = append(about, d.About)
			}
			if !reflect.DeepEqual(answers, tt.answers) {
				t.Errorf("got %q, want %q", answers, tt.answers)
			}
			if !reflect.DeepEqual(about, tt.about) {
				t.Errorf("they disagree on %q, want %q", about, tt.about)
			}
		})
	}
}

// TestLogsSideBySide: with the quorum lost, the logs of those that run still tell
// who has most, and who was voted for.
func TestLogsSideBySide(t *testing.T) {
	logs := map[string]raft.State{
		"n1": {ID: 0xa1, HardState: raft.HardState{Term: 5, Vote: 0xa1, Commit: 40}, Last: raft.Position{Term: 4, Index: 42}},
		"n2": {ID: 0xa2, HardState: raft.HardState{Term: 5, Vote: 0xa3, Commit: 41}, Last: raft.Position{Term: 4, Index: 45}},
		"n4": {ID: 0xa4, HardState: raft.HardState{Term: 9}, Last: raft.Position{Term: 9, Index: 99}}, // of a worker, who was a manager of another swarm
	}
	v := New(asked("mmmw", lonely(), saying{hangs: true}, nil, saying{info: at(4, false, 3)}), Options{}).ManagerViews(t.Context(), func(_ context.Context, node string) (raft.State, error) {
		if s, ok := logs[node]; ok {
			return s, nil
		}
		return raft.State{}, ErrAbsent
	})
	want := []Raft{
		{Term: 5, Vote: "n1", Commit: 40, LastTerm: 4, LastIndex: 42, Behind: 3},
		{Term: 5, Vote: "a3", Commit: 41, LastTerm: 4, LastIndex: 45}, // for one that is not asked
		{},
	}
	for i, m := range v.Managers {
		if m.Raft != want[i] {
			t.Errorf("%s: got %+v, want %+v", m.Manager, m.Raft, want[i])
		}
	}
}

func TestBothSidesOfAPartition(t *testing.T) {
	v := New(asked("mmmw", lonely(), listing(2, "uLmw"), listing(3, "uLmw"), saying{info: at(4, false, 3)}), Options{}).ManagerViews(t.Context(), nil)
	minority, majority := v.Managers[0], v.Managers[1]
	if want := []string{"n1", "n2", "n3"}; !reflect.DeepEqual(minority.Knows, want) {
		t.Errorf("the minority knows %q", minority.Knows)
	}
	if !strings.Contains(minority.Error, "does not have a leader") {
		t.Errorf("why: %q", minority.Error)
	}
	if m, _ := majority.Member("n1"); m.String() != "manager unreachable, down, active" {
		t.Errorf("the majority says of the other side: %s", m)
	}
	if want := map[string]string{"n1": "none", "n2": "n2", "n3": "n2"}; !reflect.DeepEqual(v.Disagreements[0].Beliefs, want) {
		t.Errorf("leader: %v", v.Disagreements[0].Beliefs)
	}
}

func TestMembersHaveNamesOfTheirOwn(t *testing.T) {
	e := listing(1, "Lw")
	old := e.nodes[1]
	old.ID, old.Status = "id-old", engine.NodeDown
	stranger := engine.Node{ID: "id-x", Hostname: "printer", Role: engine.RoleWorker, Status: engine.NodeReady}
	e.nodes = append([]engine.Node{stranger, old}, e.nodes...)
	want := func(what string, targets []Target, names ...string) {
		t.Helper()
		if got := MemberNames(New(targets, Options{}).ManagerViews(t.Context(), nil).Managers); !reflect.DeepEqual(got, names) {
			t.Errorf("%s: %q, want %q", what, got, names)
		}
	}
	want("an entry of what a node was before", asked("mw", e, saying{info: at(2, false, 1)}), "n1", "n2 id-old", "n2", "printer")
	want("nobody can tell which of two it is", asked("mw", e, nil), "n1", "n2 id-old", "n2 id-2", "printer")
}

// A manager that hangs costs its own patience, once, and nobody else's answer.
func TestEachManagerHasItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		slow := func(ctx context.Context, _ string) (raft.State, error) { <-ctx.Done(); return raft.State{}, ctx.Err() }
		v := New(asked("mmm", listing(1, "Lmm"), saying{hangs: true}, saying{hangs: true}), Options{}).ManagerViews(t.Context(), slow)
		if took := time.Since(began); took != beliefTimeout {
			t.Errorf("it took %v", took)
		}
		if v.Managers[0].Answer != AnswerList || v.Managers[1].Answer != AnswerSilent || !strings.Contains(v.Managers[1].Error, "waits for a leader") {
			t.Errorf("got %+v", v.Managers)
		}
	})
}

func TestTasksComeFromAManagerThatListed(t *testing.T) {
	w := newWorld(testLab("mmw"))
	formed(w)
	if _, err := New(w.targets(), Options{}).Tasks(t.Context(), observe(t.Context(), w.targets())); err != nil {
		t.Error(err)
	}
	w.halt(0)
	if _, err := New(w.targets(), Options{}).Tasks(t.Context(), observe(t.Context(), w.targets())); !errors.Is(err, ErrNoManager) {
		t.Errorf("without a quorum: %v", err)
	}
}

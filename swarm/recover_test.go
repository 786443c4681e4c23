package swarm

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/trouble"
)

// logsOf are the raft logs of these nodes: "n1:40" has 40 committed entries, and "n1:40+2"
// two more that are not known to be.
func logsOf(t *testing.T, text string) map[string]raft.State {
	t.Helper()
	out := map[string]raft.State{}
	for _, word := range strings.Fields(text) {
		name, numbers, _ := strings.Cut(word, ":")
		var s raft.State
		var more uint64
		if _, err := fmt.Sscanf(numbers+"+0", "%d+%d", &s.Commit, &more); err != nil {
			t.Fatal(err)
		}
		s.Term, s.Last = 2, raft.Position{Term: 2, Index: s.Commit + more}
		out[name] = s
	}
	return out
}

func TestPlanRecover(t *testing.T) {
	gone := func(nodes ...int) func(*world) {
		return func(w *world) {
			for _, i := range nodes {
				w.halt(i)
				w.engines[i].absent = true
			}
		}
	}
	for _, tt := range []struct {
		name, roles, logs, from string
		play                    func(*world)
		want, id, says, warns   string
	}{
		{name: "a quorum", roles: "mmm", logs: "n1:9 n2:9 n3:9"},
		{name: "of two one is gone", roles: "mm", logs: "n1:9", play: gone(1), want: "recover n1", warns: "what only n2 had is lost"},
		{name: "the one that has most", roles: "mmmmw", logs: "n1:40 n2:41", play: gone(2, 3), want: "recover n2, leave n1"},
		{name: "what is not known as committed does not count", roles: "mmmmw", logs: "n1:40+5 n2:41", play: gone(2, 3), want: "recover n2, leave n1"},
		{name: "and is thrown away", roles: "mmmm", logs: "n1:40 n2:41+2", play: gone(2, 3), want: "recover n2, leave n1", warns: "2 changes in the log of n2"},
		{name: "another", roles: "mmmm", logs: "n1:40 n2:41", from: "n1", play: gone(2, 3), want: "recover n1, leave n2", warns: "n2 knows of 1 committed change that n1 does not"},
		{name: "of equal ones the one that runs", roles: "mmmm", logs: "n1:40 n2:40", play: func(w *world) { gone(2, 3)(w); w.engines[0].state = engine.StateError }, want: "recover n2, leave n1"},
		{name: "one that is halted may come back", roles: "mmm", logs: "n1:9", play: func(w *world) { gone(1)(w); w.halt(2) }, id: "managers-may-return", says: "dcalab start n3"},
		{name: "an engine that is down, too", roles: "mmm", logs: "n1:9 n2:9", play: func(w *world) { gone(2)(w); w.stop(1) }, id: "managers-may-return", says: "dcalab ssh n2 -- sudo service docker start"},
		{name: "an election", roles: "mmm", logs: "n1:9 n2:9", play: func(w *world) { gone(2)(w); w.swarms[w.engines[0].swarm].election = 99 }, id: "election-possible", says: "dcalab status"},
		{name: "a leader that has not noticed", roles: "mmm", logs: "n1:9", play: func(w *world) {
			for i := range 2 {
				w.engines[i+1].machine, w.engines[i+1].absent = false, true
			}
		}, want: "recover n1"},
		{name: "one that was restarted without its swarm", roles: "mm", logs: "n1:9", play: func(w *world) {
			gone(1)(w)
			w.engines[0].state, w.engines[0].manager = engine.StateInactive, false
		}, want: "recover n1"},
		{name: "the same, beside another", roles: "mmmm", logs: "n1:9 n2:7", play: func(w *world) {
			gone(2, 3)(w)
			w.engines[0].state, w.engines[0].manager = engine.StateInactive, false
		}, want: "recover n1, leave n2"},
		{name: "a manager from elsewhere", roles: "mmm", logs: "n1:9", play: func(w *world) { gone(1, 2)(w); w.stranger(0) }, id: "managers-may-return", says: "10.9.9.9"},
		{name: "who is gone for good", roles: "mmm", logs: "n1:9", from: "n1", play: func(w *world) { gone(1, 2)(w); w.stranger(0) }, want: "recover n1"},
		{name: "locked", roles: "mmm", logs: "n1:9", play: func(w *world) { gone(1, 2)(w); w.engines[0].state = engine.StateLocked }, id: "locked"},
		{name: "no log", roles: "mmm", play: gone(1, 2), id: "nothing-to-recover"},
		{name: "from a worker", roles: "mmmw", logs: "n1:9", from: "n4", play: gone(1, 2), id: "nothing-to-recover", says: "n4 has no raft log"},
		{name: "no swarm", roles: "-", id: "no-swarm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab(tt.roles))
				if tt.id != "no-swarm" {
					formed(w)
				}
				if tt.play != nil {
					tt.play(w)
				}
				rec, err := PlanRecover(observe(t.Context(), w.targets()), logsOf(t, tt.logs), tt.from)
				var tr *trouble.Error
				if errors.As(err, &tr); (err == nil) != (tt.id == "") || err != nil && (tr == nil || tr.ID != tt.id) {
					t.Fatalf("got %v, want %q", err, tt.id)
				}
				if err != nil {
					if !strings.Contains(tr.Why+strings.Join(tr.Next, "\n"), tt.says) {
						t.Errorf("does not say %q: %v %q", tt.says, err, tr.Next)
					}
					return
				}
				var steps []string
				for _, s := range rec.Steps() {
					steps = append(steps, strings.Replace(string(s.Kind()), "init", "recover", 1)+" "+s.Node())
				}
				if got := strings.Join(steps, ", "); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if got := strings.Join(rec.Warnings, "\n"); !strings.Contains(got, tt.warns) {
					t.Errorf("warns %q, want %q", got, tt.warns)
				}
			})
		})
	}
}

// stranger has a manager that is no node of the lab in the swarm of a node.
func (w *world) stranger(i int) {
	s := w.swarms[w.engines[i].swarm]
	s.nodes = append(s.nodes, &modelNode{Node: engine.Node{ID: "stranger", Hostname: "elsewhere", Addr: "10.9.9.9", Role: engine.RoleManager}, raft: true})
}

// A recovery, and the bootstrap after it, end in one swarm of all that is left, with the
// same id; and so they do where the first was interrupted half-way.
func TestRecover(t *testing.T) {
	for _, half := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(testLab("mmmmmww"))
			formed(w)
			before := w.engines[0].swarm
			for _, i := range []int{2, 3, 4} {
				w.halt(i)
				w.engines[i].absent = true
			}
			w.taken = []string{"n1", "n2"} // they may leave
			logs := logsOf(t, "n1:10 n2:12")
			if half {
				if err := w.engines[1].fromState(); err != nil {
					t.Fatal(err)
				}
			}
			rec, err := PlanRecover(observe(t.Context(), w.targets()), logs, "")
			if err != nil {
				t.Fatal(err)
			}
			c := New(w.targets(), Options{})
			if _, err := c.Run(t.Context(), rec.Plan); err != nil {
				t.Fatal(err)
			}
			res, err := c.Converge(t.Context(), w.lab, PlanOptions{Only: []string{"n1", "n2", "n6", "n7"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"n1", "n2", "n6", "n7"} {
				n, _ := res.View.Node(name)
				want := map[bool]lab.Role{true: lab.RoleManager, false: lab.RoleWorker}[name < "n3"]
				if n.Cluster != before || n.Role != want || n.Status != engine.NodeReady {
					t.Errorf("%s is %s, %s in %s, want %s in %s", name, n.Role, n.Status, n.Cluster, want, before)
				}
			}
			if q := res.View.Quorum; q.Managers != 2 || !q.HasQuorum {
				t.Errorf("quorum: %s", q)
			}
			if again, err := PlanRecover(res.View, logs, ""); err != nil || !again.Empty() {
				t.Errorf("a second recovery: %v %v", describe(again.Steps()), err)
			}
			if len(w.violated) > 0 {
				t.Errorf("violated: %q", w.violated)
			}
		})
	}
}

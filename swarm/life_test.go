package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

func TestAvailability(t *testing.T) {
	drain, pause, active := engine.AvailabilityDrain, engine.AvailabilityPause, engine.AvailabilityActive
	for _, tt := range []struct {
		name    string
		roles   string
		play    func(*world)
		want    engine.Availability
		nodes   []string
		dry     bool
		id      string // of the error
		says    string
		warns   string
		already bool
		actions int
		left    map[string]int // running tasks a node has at the end
	}{
		{name: "drain moves the tasks away", roles: "mww", want: drain, nodes: []string{"n1"}, actions: 1, left: map[string]int{"n1": 0, "n2": 2}, warns: "n1 stays a manager and keeps its vote"},
		{name: "drain of several leaves the rest", roles: "mmw", want: drain, nodes: []string{"n1", "n2"}, actions: 2, left: map[string]int{"n1": 0, "n2": 0, "n3": 2}, warns: "n1, n2 stay managers"},
		{name: "drain of all", roles: "mw", want: drain, nodes: []string{"n1", "n2"}, actions: 2, left: map[string]int{"n1": 0, "n2": 0}, warns: "no node is left that takes new tasks"},
		{name: "drained already", roles: "mww", play: func(w *world) { w.swarms["swarm01"].nodes[2].Availability = drain }, want: drain, nodes: []string{"n3"}, already: true},
		{name: "drained already, and not empty yet", roles: "mww", play: func(w *world) { w.swarms["swarm01"].nodes[0].Availability = drain }, want: drain, nodes: []string{"n1"}, already: true, left: map[string]int{"n1": 0}},
		{name: "a task that does not end", roles: "mw", play: func(w *world) { w.swarms["swarm01"].tasks[0].stuck = true }, want: drain, nodes: []string{"n1"}, actions: 1,
			id: "still-has-tasks", says: "n1 still has web.1 (running)"},
		{name: "a dead node is empty when nobody wants a task there", roles: "mmm", play: func(w *world) { w.halt(0) }, want: drain, nodes: []string{"n1"}, actions: 1},
		{name: "a container outside services stays", roles: "mw", play: func(w *world) { w.swarms["swarm01"].tasks[0].Attached, w.swarms["swarm01"].tasks[0].stuck = true, true }, want: drain, nodes: []string{"n1"}, actions: 1},
		{name: "pause", roles: "mww", want: pause, nodes: []string{"n1", "n3"}, actions: 2, left: map[string]int{"n1": 2}},
		{name: "activate", roles: "mww", play: func(w *world) { w.swarms["swarm01"].nodes[2].Availability = pause }, want: active, nodes: []string{"n3"}, actions: 1},
		{name: "a dry run", roles: "mww", want: drain, nodes: []string{"n1"}, dry: true, left: map[string]int{"n1": 2}},
		{name: "nobody we know", roles: "mw", want: drain, nodes: []string{"n9"}, id: "no-such-node"},
		{name: "without a quorum", roles: "mmm", play: func(w *world) { w.stop(1); w.stop(2) }, want: drain, nodes: []string{"n1"}, id: "no-quorum"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab(tt.roles))
				formed(w)
				s := w.swarms["swarm01"]
				s.place("web.1")
				s.place("web.2")
				w.slow = 5
				if tt.play != nil {
					tt.play(w)
				}
				w.acting = true
				ch, err := setAvailability(t.Context(), w.targets(), tt.nodes, tt.want, how{DryRun: tt.dry})
				var tr *trouble.Error
				if errors.As(err, &tr); (err == nil) != (tt.id == "") || err != nil && (tr == nil || tr.ID != tt.id) {
					t.Fatalf("got %v, want %q", err, tt.id)
				}
				if err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("does not say %q: %v", tt.says, err)
				}
				if len(w.actions) != tt.actions || len(w.violated) > 0 {
					t.Errorf("did %v, violated %v", w.actions, w.violated)
				}
				if warned := strings.Join(ch.Warnings, "\n"); !strings.Contains(warned, tt.warns) || tt.warns == "" && warned != "" && tt.id == "" && !strings.Contains(warned, "stay") {
					t.Errorf("warnings %q, want %q", warned, tt.warns)
				}
				if err != nil {
					return
				}
				if ch.Nodes[0].Already != tt.already {
					t.Errorf("already: %+v", ch.Nodes)
				}
				for _, n := range ch.Nodes {
					v, _ := ch.View.Node(n.Name)
					if !tt.dry && (s.node(n.ID).Availability != tt.want || v.Availability != tt.want) {
						t.Errorf("%s is %s, and the view calls it %s", n.Name, s.node(n.ID).Availability, v.Availability)
					}
				}
				for name, want := range tt.left {
					have := 0
					for _, task := range s.tasks {
						if n, _ := w.lab.Node(name); s.node(task.NodeID) != nil && s.node(task.NodeID).Hostname == w.lab.Hostname(n) && task.Running() {
							have++
						}
					}
					if have != want {
						t.Errorf("%s has %d running tasks, want %d", name, have, want)
					}
				}
				if tt.dry && len(ch.Steps) != 2 {
					t.Errorf("a dry run of %s", describe(ch.Steps))
				}
			})
		})
	}
}

func TestLabels(t *testing.T) {
	for _, tt := range []struct {
		name    string
		set     map[string]string
		drop    []string
		nodes   []string
		want    map[string]string // of n2
		already bool
		actions int
	}{
		{name: "set keeps the others and the case of keys", set: map[string]string{"Zone": "east", "zone": "East"}, nodes: []string{"n2"},
			want: map[string]string{"Disk": "ssd", "Zone": "east", "zone": "East"}, actions: 1},
		{name: "several nodes", set: map[string]string{"zone": ""}, nodes: []string{"n1", "n2"}, want: map[string]string{"Disk": "ssd", "zone": ""}, actions: 2},
		{name: "set already", set: map[string]string{"Disk": "ssd"}, nodes: []string{"n2"}, want: map[string]string{"Disk": "ssd"}, already: true},
		{name: "another value", set: map[string]string{"Disk": "hdd"}, nodes: []string{"n2"}, want: map[string]string{"Disk": "hdd"}, actions: 1},
		{name: "rm", drop: []string{"Disk"}, nodes: []string{"n2"}, want: map[string]string{}, actions: 1},
		{name: "rm of another case is none", drop: []string{"disk"}, nodes: []string{"n2"}, want: map[string]string{"Disk": "ssd"}, already: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab("mw"))
				formed(w)
				entry := w.swarms["swarm01"].nodes[1]
				entry.Labels = map[string]string{"Disk": "ssd"}
				w.acting = true
				ch, err := setLabels(t.Context(), w.targets(), tt.nodes, tt.set, tt.drop, how{})
				if err != nil || len(w.actions) != tt.actions || ch.Nodes[0].Already != tt.already {
					t.Errorf("did %v, %+v, %v", w.actions, ch.Nodes, err)
				}
				if fmt.Sprint(entry.Labels) != fmt.Sprint(tt.want) {
					t.Errorf("labels are %v, want %v", entry.Labels, tt.want)
				}
				if n, _ := ch.View.Node("n2"); fmt.Sprint(n.Labels) != fmt.Sprint(tt.want) {
					t.Errorf("the view has %v", n.Labels)
				}
			})
		})
	}
	for key, ok := range map[string]bool{"zone": true, "com.example/tier": true, "Größe": true, "": false, "a b": false, "a=b": false, "-x": false, "a\x1b[31m": false} {
		if err := CheckLabelKey(key); (err == nil) != ok {
			t.Errorf("key %q: %v", key, err)
		}
	}
	for label, ok := range map[[2]string]bool{{"zone", "east"}: true, {"z", "1"}: true, {"com.example/tier", "a"}: false, {"zone", ""}: false, {"zone", "höhe"}: false} {
		if w := LabelWarning(label[0], label[1]); (w == "") != ok {
			t.Errorf("label %q: %q", label, w)
		}
	}
}

// lateList is an engine whose first list arrives late, when another change is
// done already and was looked at.
type lateList struct {
	*modelEngine
	n2    string // its id: it is changed while the list is on its way
	asked *atomic.Bool
}

func (e lateList) UpdateNode(ctx context.Context, id string, edit func(*engine.NodeSpec)) error {
	if id == e.n2 {
		time.Sleep(time.Second)
	}
	return e.modelEngine.UpdateNode(ctx, id, edit)
}

func (e lateList) Nodes(ctx context.Context) ([]engine.Node, error) {
	list, err := e.modelEngine.Nodes(ctx)
	if !e.asked.Swap(true) {
		time.Sleep(2 * time.Second)
	}
	return list, err
}

// What is told of one node's change does not come from a list that is older.
func TestChangesAtOnceAreToldAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mw"))
		formed(w)
		v := observe(t.Context(), w.targets())
		n2, _ := v.Node("n2")
		targets := w.targets()
		targets[0].Engine = lateList{w.engines[0], n2.NodeID, new(atomic.Bool)}
		ch, err := setLabels(t.Context(), targets, []string{"n1", "n2"}, map[string]string{"zone": "east"}, nil, how{View: &v})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range ch.View.Nodes {
			if n.Labels["zone"] != "east" {
				t.Errorf("%s is told to have the labels %v", n.Name, n.Labels)
			}
		}
	})
}

// lateInfo is an engine that takes its time to tell of itself for the first
// time after it has left.
type lateInfo struct {
	*modelEngine
	asked    *atomic.Bool
	underWay *atomic.Int32
}

func (e lateInfo) Info(ctx context.Context) (engine.Info, error) {
	e.underWay.Add(1)
	defer e.underWay.Add(-1)
	info, err := e.modelEngine.Info(ctx)
	if info.State == engine.StateInactive && !e.asked.Swap(true) {
		time.Sleep(time.Minute)
	}
	return info, err
}

// Whoever calls closes the engines next.
func TestNobodyIsAskedAfterARemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mw"))
		formed(w)
		targets := w.targets()
		late := lateInfo{w.engines[1], new(atomic.Bool), new(atomic.Int32)}
		targets[1].Engine = late
		if _, err := remove(t.Context(), targets, []string{"n2"}, how{Progress: func(e Event) {
			if e.Kind == KindLeave && e.Done {
				synctest.Wait() // it is asked
			}
		}}); err != nil {
			t.Fatal(err)
		}
		if n := late.underWay.Load(); n > 0 {
			t.Errorf("%d calls go on", n)
		}
	})
}

// Of several nodes that are out of the swarm, only those named come in.
func TestJoinOfSomeNodes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		roles string
		play  func(*world)
		only  []string
		id    string
		steps string
	}{
		{name: "one of two", roles: "mww", play: func(w *world) { w.engines[1].leave(); w.engines[2].leave() }, only: []string{"n2"}, steps: "n2 drop-entry, n2 join,  await"},
		{name: "as a manager", roles: "mmw", play: func(w *world) { w.engines[1].restAs(engine.RoleWorker); w.engines[1].leave() }, only: []string{"n2"}, steps: "n2 drop-entry, n2 join,  await"},
		{name: "one that is in", roles: "mww", play: func(w *world) { w.engines[2].leave() }, only: []string{"n2"}},
		{name: "beside one in a foreign swarm", roles: "mww", play: func(w *world) { w.engines[1].leave(); w.engines[2].leave(); w.init(2) }, only: []string{"n2"}, steps: "n2 drop-entry, n2 join,  await"},
		{name: "beside one that is dead", roles: "mww", play: func(w *world) { w.engines[1].leave(); w.halt(2) }, only: []string{"n2"}, steps: "n2 drop-entry, n2 join,  await"},
		{name: "one that is dead", roles: "mww", play: func(w *world) { w.halt(2) }, only: []string{"n3"}, id: "swarm-unfinished"},
		{name: "out of a foreign swarm", roles: "mww", play: func(w *world) { w.engines[2].leave(); w.init(2) }, only: []string{"n3"}, id: "foreign-swarm"},
		{name: "without a swarm", roles: "mw", play: func(w *world) { w.engines[1].leave(); w.engines[0].leave() }, only: []string{"n2"}, id: "no-swarm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab(tt.roles))
				formed(w)
				tt.play(w)
				w.lab.Swarm.TaskHistory = 9 // which is a setting, and not to be touched
				w.acting = true
				res, err := bootstrap(t.Context(), w.lab, w.targets(), how{Only: tt.only})
				var tr *trouble.Error
				if errors.As(err, &tr); (err == nil) != (tt.id == "") || err != nil && (tr == nil || tr.ID != tt.id) {
					t.Fatalf("got %v, want %q", err, tt.id)
				}
				if got := describe(res.Steps); got != tt.steps || len(w.violated) > 0 {
					t.Errorf("did %q, want %q; violated %v", got, tt.steps, w.violated)
				}
				again, err2 := bootstrap(t.Context(), w.lab, w.targets(), how{Only: tt.only})
				if err == nil && (err2 != nil || len(again.Steps) > 0) {
					t.Errorf("a second run: %v, %s", err2, describe(again.Steps))
				}
			})
		})
	}
}

func (e *modelEngine) leave() { _ = e.Leave(context.Background(), true) }

// restAs makes a worker of a manager, and waits until it is one.
func (e *modelEngine) restAs(role engine.Role) {
	for i, other := range e.w.engines {
		if other == e {
			e.w.setRole(i, 0, role)
		}
	}
}

func TestDissolve(t *testing.T) {
	for _, tt := range []struct {
		name  string
		roles string
		play  func(*world)
		steps string
		id    string
		says  string
	}{
		{name: "workers, then managers, the leader last", roles: "mmmww", steps: "n4 leave, n5 leave, n2 demote, n2 leave, n3 demote, n3 leave, n1 leave"},
		{name: "one manager", roles: "mw", steps: "n2 leave, n1 leave"},
		{name: "two managers", roles: "mm", steps: "n2 demote, n2 leave, n1 leave"},
		{name: "no swarm", roles: "mw", play: func(w *world) { w.engines[1].leave(); w.engines[0].leave() }},
		{name: "a dead worker", roles: "mww", play: func(w *world) { w.halt(2) }, steps: "n2 leave, n1 leave", id: "dissolve-unfinished", says: "n3: the machine is halted"},
		{name: "a dead manager is demoted first", roles: "mmmw", play: func(w *world) { w.halt(1) }, steps: "n4 leave, n2 demote, n3 demote, n3 leave, n1 leave", id: "dissolve-unfinished", says: "n2: the machine is halted"},
		{name: "a dead engine", roles: "mw", play: func(w *world) { w.stop(1) }, steps: "n1 leave", id: "dissolve-unfinished", says: "n2"},
		{name: "without a quorum", roles: "mmmw", play: func(w *world) { w.halt(1); w.halt(2) }, steps: "n4 leave, n1 leave", id: "dissolve-unfinished", says: "n2: the machine is halted; n3: the machine is halted"},
		{name: "locked, all of them", roles: "mmw", play: func(w *world) { w.autolock(0); w.restart(0); w.restart(1) }, steps: "n3 leave, n1 leave, n2 leave"},
		{name: "in error", roles: "mmmw", play: func(w *world) { w.breakDown(3) }, steps: "n4 leave, n2 demote, n2 leave, n3 demote, n3 leave, n1 leave"},
		{name: "struck from the list", roles: "mww", play: func(w *world) { w.strike(2, 0) }, steps: "n2 leave, n3 leave, n1 leave"},
		{name: "the entry of a manager's earlier life", roles: "mmm", play: func(w *world) { w.engines[2].leave(); w.join(2, 0, engine.RoleWorker) }, steps: "n3 leave, n3 drop-entry, n2 demote, n2 leave, n1 leave"},
		{name: "two halves", roles: "mmw", play: func(w *world) { w.engines[1].leave(); w.init(1) }, steps: "n3 leave, n1 leave, n2 leave"},
		{name: "a foreign swarm stays", roles: "mww", play: func(w *world) { w.engines[2].leave(); w.init(2) }, steps: "n2 leave, n1 leave"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab(tt.roles))
				formed(w)
				w.slow = 5
				if tt.play != nil {
					tt.play(w)
				}
				w.acting, w.dissolving = true, true
				plan := PlanDissolve(observe(t.Context(), w.targets()))
				d, err := dissolve(t.Context(), w.targets(), how{})
				var tr *trouble.Error
				if errors.As(err, &tr); (err == nil) != (tt.id == "") || err != nil && (tr == nil || tr.ID != tt.id) {
					t.Fatalf("got %v, want %q", err, tt.id)
				}
				if err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("does not say %q: %v", tt.says, err)
				}
				if got := describe(d.Steps); got != tt.steps || got != describe(plan.Steps()) {
					t.Errorf("did %s\nwant %s\nplanned %s", got, tt.steps, describe(plan.Steps()))
				}
				if len(w.violated) > 0 && tt.name != "two halves" {
					t.Errorf("violated %v", w.violated)
				}
				for _, e := range w.engines {
					if foreign := tt.name == "a foreign swarm stays" && e.name == "n3"; e.up && (e.state == engine.StateInactive) == foreign {
						t.Errorf("%s is %s", e.name, e.state)
					}
				}
			})
		})
	}
}

// TestLifeKeepsTheQuorum lets a student play with a model of a lab, and then
// removes, drains and dissolves. Whatever the student did:
//   - a removal never costs the quorum, and what it calls a success is gone
//     from the list, with its engine in no swarm;
//   - a refusal has touched nothing;
//   - a dissolve leaves no engine that answers in the lab's swarm, keeps the
//     quorum, where there was one, as long as another member answers, and what it could
//     not do has its reason in a node that is down;
//   - the same dissolve again has nothing to do, and a bootstrap after it, with
//     all nodes up, ends in a swarm.
func TestLifeKeepsTheQuorum(t *testing.T) {
	outcomes := map[string]int{}
	for range 10 {
		rapid.Check(t, func(rt *rapid.T) {
			roles := rapid.StringMatching(`[mw]{0,2}m[mw]{0,3}`).Draw(rt, "roles")
			n := len(roles)
			slow := rapid.IntRange(0, 4).Draw(rt, "slow")
			one := rapid.Custom(func(rt *rapid.T) move {
				return move{
					kind: rapid.SampledFrom([]string{"promote", "promote", "demote", "stop", "halt", "restart", "strike", "autolock", "break", "leave", "join", "restart all"}).Draw(rt, "move"),
					node: rapid.IntRange(0, n-1).Draw(rt, "node"), via: rapid.IntRange(0, n-1).Draw(rt, "via"),
				}
			})
			play := rapid.SliceOfN(one, 0, 8).Draw(rt, "play")
			var removed []string
			for i := range n {
				if rapid.IntRange(0, 2).Draw(rt, "removed") == 0 {
					removed = append(removed, fmt.Sprintf("n%d", i+1))
				}
			}
			gone := rapid.Bool().Draw(rt, "gone")
			var failure string
			synctest.Test(t, func(*testing.T) {
				w := newWorld(testLab(roles))
				formed(w)
				w.slow = slow
				for _, m := range play {
					m.make(w)
				}
				for range 8 {
					w.tick() // changes of roles come true
				}
				failure = live(w, removed, gone, outcomes)
			})
			if failure != "" {
				rt.Fatalf("%s", failure)
			}
		})
	}
	t.Logf("outcomes: %v", outcomes)
	for _, want := range []string{"remove done", "remove quorum-would-be-lost", "remove last-manager", "remove node-not-answering", "remove no-quorum", "dissolve done", "dissolve dissolve-unfinished"} {
		if outcomes[want] == 0 {
			t.Errorf("no play led to %q: the model does not reach it any more", want)
		}
	}
}

// live removes and dissolves in w and says what is wrong with what came of it.
func live(w *world, removed []string, gone bool, outcomes map[string]int) string {
	ctx := context.Background()
	fail := func(format string, args ...any) string {
		return fmt.Sprintf(format, args...) + fmt.Sprintf("\nactions: %s\nviolated: %v\nstate: %s", strings.Join(w.actions, ", "), w.violated, w.describe())
	}
	outcome := func(what string, err error) *trouble.Error {
		var tr *trouble.Error
		if errors.As(err, &tr) {
			outcomes[what+" "+tr.ID]++
		} else {
			outcomes[what+" done"]++
		}
		return tr
	}
	w.acting, w.taken = true, removed
	if len(removed) > 0 {
		cluster := observe(ctx, w.targets()).Cluster
		ch, err := remove(ctx, w.targets(), removed, how{Gone: gone})
		tr := outcome("remove", err)
		switch {
		case err != nil && tr == nil:
			return fail("an error that a person cannot act on: %v", err)
		case len(w.violated) > 0:
			return fail("remove %v", removed)
		case tr != nil && tr.Exit == trouble.ExitRefused && len(w.actions) > 0:
			return fail("a refusal that touched something: %v", err)
		case err == nil:
			for _, n := range ch.Nodes {
				if s := w.swarms[cluster]; s != nil && s.node(n.ID) != nil {
					return fail("%s is in the list still", n.Name)
				}
				for _, e := range w.engines {
					if e.name == n.Name && e.up && e.swarm == cluster && !n.Already {
						return fail("%s believes to be in the swarm still", n.Name)
					}
				}
			}
		}
	}
	w.actions, w.violated, w.dissolving = nil, nil, true
	before := observe(ctx, w.targets())
	d, err := dissolve(ctx, w.targets(), how{View: &before})
	tr := outcome("dissolve", err)
	if len(w.violated) > 0 && before.Quorum.HasQuorum {
		return fail("dissolve: %s\nerror: %v", describe(d.Steps), err)
	}
	down := false
	for i, e := range w.engines {
		down = down || !e.up
		if n := before.Nodes[i]; e.up && n.State.Answered() && n.State != StateForeign && e.state != engine.StateInactive {
			return fail("%s is %s after a dissolve: %v", e.name, e.state, err)
		}
	}
	if tr != nil && !down {
		return fail("unfinished, and every engine answers: %v", err)
	}
	acted := len(w.actions)
	if _, _ = dissolve(ctx, w.targets(), how{}); len(w.actions) > acted {
		return fail("a second dissolve did something")
	}
	for i := range w.engines {
		if !w.engines[i].up {
			w.restart(i)
		}
	}
	_, _ = dissolve(ctx, w.targets(), how{})
	w.dissolving = false
	for _, e := range w.engines {
		if e.state != engine.StateInactive { // what stayed was foreign
			return ""
		}
	}
	w.taken = nil
	if _, err := bootstrap(ctx, w.lab, w.targets(), how{}); err != nil {
		return fail("bootstrap after a dissolve: %v", err)
	}
	if !slices.ContainsFunc(w.engines, func(e *modelEngine) bool { n, _ := w.lab.Node(e.name); return n.Role == lab.RoleManager && e.manager }) {
		return fail("bootstrap after a dissolve made no manager")
	}
	return ""
}

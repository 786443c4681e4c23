package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

func TestPromoteAndDemote(t *testing.T) {
	with := func(do func(context.Context, []Target, []string, how) (Result, error), h how) func(context.Context, *world, ...string) (Result, error) {
		return func(ctx context.Context, w *world, names ...string) (Result, error) {
			return do(ctx, w.targets(), names, h)
		}
	}
	force, gone := with(demote, how{Force: true}), with(remove, how{Gone: true})
	promote, demote, remove := with(promote, how{}), with(demote, how{}), with(remove, how{})
	for _, tt := range []struct {
		name    string
		roles   string
		play    func(*world)
		do      func(context.Context, *world, ...string) (Result, error)
		nodes   []string
		id      string // of the refusal
		says    string // in the message
		before  int
		after   int // managers
		already bool
		warns   string
		actions int
	}{
		{name: "promote by short name", roles: "mww", do: promote, nodes: []string{"n2"}, before: 1, after: 2, warns: "odd number", actions: 1},
		{name: "promote two, by full name and by id", roles: "mww", do: promote, nodes: []string{"n2.lab.example", "node07"}, before: 1, after: 3, actions: 2},
		{name: "the same node twice", roles: "mww", do: promote, nodes: []string{"n2", "node06"}, before: 1, after: 2, actions: 1},
		{name: "the beginning of an id", roles: "mw", play: func(w *world) { w.swarms["swarm01"].nodes[1].ID = "abc123"; w.engines[1].id = "abc123" }, do: promote, nodes: []string{"ab"}, before: 1, after: 2, actions: 1},
		{name: "promote a manager", roles: "mmm", do: promote, nodes: []string{"n3"}, before: 3, after: 3, already: true},
		{name: "promote a dead manager", roles: "mmm", play: func(w *world) { w.stop(2) }, do: promote, nodes: []string{"n3"}, before: 3, after: 3, already: true, warns: "the leader cannot reach it"},
		{name: "promote a dead worker", roles: "mmmw", play: func(w *world) { w.stop(3) }, do: promote, nodes: []string{"n4"}, id: "node-down", says: "connection refused", before: 3, after: 3},
		{name: "promote a node that the list still calls ready", roles: "mw", play: func(w *world) { w.halt(1); w.swarms["swarm01"].nodes[1].seen = 9 }, do: promote, nodes: []string{"n2"}, id: "node-down", says: "the machine is halted", before: 1, after: 1},
		{name: "promote nobody we know", roles: "mw", do: promote, nodes: []string{"n9"}, id: "no-such-node", before: 1, after: 1},
		{name: "an ambiguous beginning", roles: "mww", do: promote, nodes: []string{"node"}, id: "ambiguous-node", before: 1, after: 1},
		{name: "promote a node outside", roles: "mw-", do: promote, nodes: []string{"n3"}, id: "not-in-swarm", says: "inactive", before: 1, after: 1},
		{name: "demote", roles: "mmm", do: demote, nodes: []string{"n2"}, before: 3, after: 2, warns: "odd number", actions: 1},
		{name: "demote the leader", roles: "mmm", do: demote, nodes: []string{"n1"}, before: 3, after: 2, actions: 1},
		{name: "demote two, the leader first", roles: "mmm", do: demote, nodes: []string{"n1", "n2"}, before: 3, after: 1, actions: 2},
		{name: "demote a worker", roles: "mw", do: demote, nodes: []string{"n2"}, before: 1, after: 1, already: true},
		{name: "demote the dead one of three", roles: "mmm", play: func(w *world) { w.stop(2) }, do: demote, nodes: []string{"n3"}, before: 3, after: 2, actions: 1},
		{name: "demote a living one while one is dead", roles: "mmm", play: func(w *world) { w.stop(2) }, do: demote, nodes: []string{"n2"},
			id: "quorum-would-be-lost", says: "the swarm has 3 managers, 2 reachable; without n2 it has 2, 1 reachable, and a majority of 2 is required", before: 3, after: 3},
		{name: "forced, it is the swarm that refuses", roles: "mmm", play: func(w *world) { w.stop(2) }, do: force, nodes: []string{"n2"}, id: "quorum-would-be-lost", says: "the swarm refused", before: 3, after: 3},
		{name: "demote the last manager", roles: "mw", do: demote, nodes: []string{"n1"}, id: "last-manager", before: 1, after: 1},
		{name: "demote all, forced", roles: "mm", do: force, nodes: []string{"n1", "n2"}, id: "last-manager", before: 2, after: 2},
		{name: "remove a worker", roles: "mww", do: remove, nodes: []string{"n2"}, before: 1, after: 1, actions: 2},
		{name: "remove a manager", roles: "mmm", do: remove, nodes: []string{"n3"}, before: 3, after: 2, warns: "odd number", actions: 3},
		{name: "remove one of two managers, the leader", roles: "mm", do: remove, nodes: []string{"n1"}, before: 2, after: 1, actions: 3},
		{name: "remove a dead worker, unforced", roles: "mww", play: func(w *world) { w.halt(2) }, do: remove, nodes: []string{"n3"},
			id: "node-not-answering", says: "refused to remove n3: it does not answer (the machine is halted)", before: 1, after: 1},
		{name: "remove a dead one and a living one, unforced", roles: "mww", play: func(w *world) { w.halt(2) }, do: remove, nodes: []string{"n2", "n3"},
			id: "node-not-answering", before: 1, after: 1},
		{name: "remove a dead worker", roles: "mww", play: func(w *world) { w.halt(2) }, do: gone, nodes: []string{"n3"}, before: 1, after: 1, actions: 1},
		{name: "remove the dead one of three", roles: "mmm", play: func(w *world) { w.halt(2) }, do: gone, nodes: []string{"n3"}, before: 3, after: 2, actions: 2},
		{name: "remove a living one while one is dead", roles: "mmm", play: func(w *world) { w.halt(2) }, do: remove, nodes: []string{"n2"},
			id: "quorum-would-be-lost", before: 3, after: 3},
		{name: "remove the last manager", roles: "mw", do: remove, nodes: []string{"n1"}, id: "last-manager", before: 1, after: 1},
		{name: "remove a node outside", roles: "mw-", do: remove, nodes: []string{"n3"}, before: 1, after: 1, already: true},
		{name: "remove a node that left by hand", roles: "mww", play: func(w *world) { _ = w.engines[2].Leave(context.Background(), true) }, do: remove, nodes: []string{"n3"}, before: 1, after: 1, actions: 1},
		{name: "remove a node that was struck by hand", roles: "mww", play: func(w *world) { w.strike(2, 0) }, do: remove, nodes: []string{"n3"}, before: 1, after: 1, actions: 1},
		{name: "remove the last that labs.yaml calls a manager", roles: "mw", play: func(w *world) { w.slow = 0; w.setRole(1, 0, engine.RoleManager) }, do: remove, nodes: []string{"n1"}, id: "last-wanted-manager", says: "the rest (n2) would look like", before: 2, after: 2},
		{name: "remove two of three managers, the leader first", roles: "mmmw", do: remove, nodes: []string{"n1", "n2"}, before: 3, after: 1, actions: 6},
		{name: "without a quorum", roles: "mmm", play: func(w *world) { w.stop(1); w.stop(2) }, do: demote, nodes: []string{"n3"}, id: "no-quorum", before: 3, after: 3},
		{name: "without a swarm", roles: "m", play: func(w *world) { _ = w.engines[0].Leave(context.Background(), true) }, do: promote, nodes: []string{"n1"}, id: "no-swarm"},
		{name: "in two halves", roles: "mm", play: func(w *world) { _ = w.engines[1].Leave(context.Background(), true); w.init(1) }, do: promote, nodes: []string{"n1"}, id: "two-swarms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab(tt.roles))
				formed(w)
				w.slow = 20 // more looks than an observation takes
				if tt.play != nil {
					tt.play(w)
				}
				w.acting = true
				if strings.HasPrefix(tt.name, "remove") {
					w.taken = tt.nodes // these may leave
				}
				ch, err := tt.do(t.Context(), w, tt.nodes...)
				var tr *trouble.Error
				if errors.As(err, &tr); (err == nil) != (tt.id == "") || err != nil && tr.ID != tt.id {
					t.Fatalf("got %v, want %q%s", err, tt.id, w.describe())
				}
				if err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("does not say %q: %v", tt.says, err)
				}
				if ch.Before.Managers != tt.before || ch.After.Managers != tt.after {
					t.Errorf("quorum %s, then %s; want %d managers, then %d", ch.Before, ch.After, tt.before, tt.after)
				}
				if len(w.violated) > 0 || len(w.actions) != tt.actions {
					t.Errorf("did %v, violated %v", w.actions, w.violated)
				}
				if !strings.Contains(strings.Join(ch.Warnings, "\n"), tt.warns) {
					t.Errorf("warnings %q", ch.Warnings)
				}
				if err == nil && ch.Nodes[0].Already != tt.already {
					t.Errorf("got %+v", ch.Nodes)
				}
				for _, n := range ch.Nodes {
					entry := w.swarms["swarm01"].node(n.ID)
					if strings.HasPrefix(tt.name, "remove") {
						if err == nil && entry != nil {
							t.Errorf("%s is in the list still", n.Name)
						}
						continue
					}
					if raft := entry.raft; err == nil && raft == strings.HasPrefix(tt.name, "demote") {
						t.Errorf("%s takes part in raft: %v", n.Name, raft)
					}
				}
			})
		})
	}
}

// lagging is an engine that takes calls on the swarm for some looks longer
// than the swarm counts it as a manager.
type lagging struct {
	*modelEngine
	looks int
}

func (l *lagging) Info(ctx context.Context) (engine.Info, error) {
	in, err := l.modelEngine.Info(ctx)
	if l.looks > 0 && !in.Control {
		l.looks--
		in.Control = true
	}
	return in, err
}

func TestDemoteWaitsForTheNodesOwnEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mmm"))
		formed(w)
		slow := &lagging{w.engines[1], 5}
		targets := w.targets()
		targets[1].Engine = slow
		ch, err := demote(t.Context(), targets, []string{"n2"}, how{})
		if n, _ := ch.View.Node("n2"); err != nil || slow.looks > 0 || n.Control {
			t.Errorf("%v, %d looks to go", err, slow.looks)
		}
	})
}

// late is a manager whose raft log comes some looks after the leader calls it
// reachable.
type late struct {
	*modelEngine
	looks int
}

func (l *late) Nodes(ctx context.Context) ([]engine.Node, error) {
	if l.looks > 0 {
		l.looks--
		return nil, l.fail(engine.ErrNoLeader, "does not have a leader")
	}
	return l.modelEngine.Nodes(ctx)
}

func TestAManagerThatWasJustPromoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mw"))
		formed(w)
		fresh := &late{w.engines[1], 5}
		targets := w.targets()
		targets[1].Engine = fresh
		if _, err := promote(t.Context(), targets, []string{"n2"}, how{}); err != nil || fresh.looks > 0 {
			t.Errorf("promoted, with %d looks to go: %v", fresh.looks, err)
		}
		// By somebody else, just now: it is the one to ask once the leader is gone.
		fresh.looks = 2
		if ch, err := demote(t.Context(), targets, []string{"n1"}, how{}); err != nil || ch.After.Managers != 1 {
			t.Errorf("%s, %v", ch.After, err)
		}
	})
}

func TestQuorumArithmetic(t *testing.T) {
	for n, want := range map[int][2]int{1: {1, 0}, 2: {2, 0}, 3: {2, 1}, 4: {3, 1}, 5: {3, 2}, 6: {4, 2}, 7: {4, 3}, 9: {5, 4}} {
		if Majority(n) != want[0] || Tolerates(n) != want[1] {
			t.Errorf("%d managers: majority %d, tolerates %d, want %v", n, Majority(n), Tolerates(n), want)
		}
	}
	for _, tt := range []struct {
		managers, reachable int
		quorum              bool
		more                int
		warnings            []string
	}{
		{1, 1, true, 0, nil},
		{2, 2, true, 0, []string{"2 managers tolerate no more failures than 1 would (0)"}},
		{2, 1, false, 0, []string{"odd"}},
		{3, 3, true, 1, nil},
		{3, 2, true, 0, nil},
		{3, 1, false, 0, nil},
		{4, 4, true, 1, []string{"than 3 would (1)"}},
		{5, 5, true, 2, nil},
		{6, 6, true, 2, []string{"odd", "more than five"}},
		{7, 7, true, 3, []string{"more than five"}},
		{9, 9, true, 4, []string{"no more than seven"}},
		{0, 0, false, 0, nil},
	} {
		q := QuorumOf(tt.managers, tt.reachable)
		if q.HasQuorum != tt.quorum || q.MayFail() != tt.more {
			t.Errorf("%d of %d: %+v, tolerates %d", tt.reachable, tt.managers, q, q.MayFail())
		}
		w := q.Warnings()
		if len(w) != len(tt.warnings) {
			t.Errorf("%d managers: %q", tt.managers, w)
			continue
		}
		for i := range w {
			if !strings.Contains(w[i], tt.warnings[i]) {
				t.Errorf("%d managers: %q does not say %q", tt.managers, w[i], tt.warnings[i])
			}
		}
	}
}

func TestGuards(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		roles                    string
		dead                     []int
		nodes                    []string
		removal, stops, destroys string // the error's id
	}{
		{"one of three", "mmm", nil, []string{"n2"}, "", "", ""},
		{"two of three", "mmm", nil, []string{"n2", "n3"}, "", "quorum-would-be-lost", "quorum-would-be-lost"},
		{"all of three", "mmm", nil, []string{"n1", "n2", "n3"}, "last-manager", "quorum-would-be-lost", "quorum-would-be-lost"},
		{"a living one of three while one is dead", "mmm", []int{2}, []string{"n2"}, "quorum-would-be-lost", "quorum-would-be-lost", "quorum-would-be-lost"},
		{"the dead one of three", "mmm", []int{2}, []string{"n3"}, "", "", ""},
		{"one of two", "mm", nil, []string{"n1"}, "", "quorum-would-be-lost", "quorum-would-be-lost"},
		{"the only one", "mw", nil, []string{"n1"}, "last-manager", "quorum-would-be-lost", "quorum-would-be-lost"},
		{"a worker", "mw", nil, []string{"n2"}, "", "", ""},
		{"by full name and id, once each", "mmm", nil, []string{"n2.lab.example", "node06", "n2"}, "", "", ""},
		{"nobody", "m", nil, nil, "", "", ""},
		{"a manager of a lab that is dark", "mmw", []int{0, 1, 2}, []string{"n1"}, "", "", "quorum-would-be-lost"},
		{"a worker of a lab that is dark", "mmw", []int{0, 1, 2}, []string{"n3"}, "", "", ""},
		{"all of a lab that is dark", "mm", []int{0, 1}, []string{"n1", "n2"}, "", "", ""},
		{"without a quorum only a destruction loses", "mmm", []int{1, 2}, []string{"n1"}, "", "", "quorum-would-be-lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(testLab(tt.roles))
			formed(w)
			for _, i := range tt.dead {
				w.stop(i)
			}
			v := observe(t.Context(), w.targets())
			for _, g := range []struct {
				name string
				err  error
				want string
			}{{"GuardRemoval", v.GuardRemoval(tt.nodes...), tt.removal}, {"GuardStopping", v.GuardStopping(tt.nodes...), tt.stops}, {"GuardDestroying", v.GuardDestroying(tt.nodes...), tt.destroys}} {
				id := ""
				var tr *trouble.Error
				if errors.As(g.err, &tr) {
					id = tr.ID
					if tr.Exit != trouble.ExitRefused || len(tr.Next) == 0 {
						t.Errorf("%s: %+v", g.name, tr)
					}
				}
				if id != g.want {
					t.Errorf("%s: %v, want %q", g.name, g.err, g.want)
				}
			}
		})
	}
}

func TestTokensStaySecretUntilAskedFor(t *testing.T) {
	w := newWorld(testLab("mw"))
	formed(w)
	first, err := New(w.targets(), Options{}).Token(t.Context(), engine.RoleWorker)
	if err != nil || first.Reveal() != w.swarms["swarm01"].tokens[engine.RoleWorker] {
		t.Fatal(first.Reveal(), err)
	}
	second, err := New(w.targets(), Options{}).RotateToken(t.Context(), engine.RoleWorker)
	if err != nil || second.Reveal() == first.Reveal() || second.Reveal() != w.swarms["swarm01"].tokens[engine.RoleWorker] {
		t.Errorf("rotated to %s, %v", second.Reveal(), err)
	}
}

func TestUnlock(t *testing.T) {
	lockedLab := func() *world {
		w := newWorld(testLab("mmm"))
		formed(w)
		w.autolock(0)
		return w
	}
	t.Run("all locked, with the key", func(t *testing.T) {
		w := lockedLab()
		key, err := New(w.targets(), Options{}).UnlockKey(t.Context())
		if err != nil || key == "" {
			t.Fatal(err)
		}
		for i := range 3 {
			w.restart(i)
		}
		var tr *trouble.Error
		if done, err := unlockAll(t.Context(), w.targets(), observe(t.Context(), w.targets()), "wrong"); !errors.As(err, &tr) || tr.ID != "wrong-key" || len(done) > 0 {
			t.Errorf("with a wrong key: %v, %v", done, err)
		}
		if done, err := unlockAll(t.Context(), w.targets(), observe(t.Context(), w.targets()), ""); !errors.As(err, &tr) || tr.ID != "no-key" || len(done) > 0 {
			t.Errorf("without a key: %v, %v", done, err)
		}
		if done, err := unlockAll(t.Context(), w.targets(), observe(t.Context(), w.targets()), key); err != nil || len(done) != 3 {
			t.Errorf("got %v, %v", done, err)
		}
	})
	t.Run("one locked, the key is fetched", func(t *testing.T) {
		w := lockedLab()
		w.restart(2)
		if done, err := unlockAll(t.Context(), w.targets(), observe(t.Context(), w.targets()), ""); err != nil || strings.Join(done, " ") != "n3" {
			t.Errorf("got %v, %v", done, err)
		}
	})
	t.Run("none locked", func(t *testing.T) {
		w := lockedLab()
		if done, err := unlockAll(t.Context(), w.targets(), observe(t.Context(), w.targets()), "x"); err != nil || len(done) > 0 {
			t.Errorf("got %v, %v", done, err)
		}
	})
}

// The list tells that a manager has left raft some time before the node has a
// worker's certificate. Promoted in between, it would hang; halted, it would
// come back as a manager.
func TestAWorkersCertificateIsWaitedFor(t *testing.T) {
	for name, do := range map[string]func(context.Context, []Target) error{
		"by promote": func(ctx context.Context, targets []Target) error {
			_, err := promote(ctx, targets, []string{"n2"}, how{})
			return err
		},
		"by those who stop it": func(ctx context.Context, targets []Target) error {
			told := ""
			err := New(targets, Options{}).AwaitDemoted(ctx, observe(ctx, targets), []string{"n2"}, time.Minute, func(n string) { told = n })
			if told != "n2" {
				err = errors.Join(err, errors.New("nobody was told of the wait"))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab("mw"))
				formed(w)
				targets := w.targets()
				reads := 0
				targets[1].Disk = modelDisk{certificate: func(context.Context) ([]byte, error) {
					reads++
					if reads < 5 {
						return makeCertificate("swarm01", "swarm-manager", "node02"), nil
					}
					return makeCertificate("swarm01", "swarm-worker", "node02"), nil
				}}
				if err := do(t.Context(), targets); err != nil {
					t.Fatal(err)
				}
				if reads < 5 {
					t.Errorf("it was done after %d looks at the certificate, which was a manager's until the fifth", reads)
				}
			})
		})
	}
}

// Nobody has the list without a leader; but the manager that is left knows the
// others, and that labs.yaml calls them workers does not make them so.
func TestAPromotedManagerIsNotDestroyedWithoutAQuorum(t *testing.T) {
	w := newWorld(testLab("mmmw"))
	formed(w)
	for _, i := range []int{1, 2} {
		w.lab.Nodes[i].Role = lab.RoleWorker
		w.halt(i)
	}
	w.halt(3)
	v := observe(t.Context(), w.targets())
	var tr *trouble.Error
	if err := v.GuardDestroying("n2"); !errors.As(err, &tr) || tr.ID != "quorum-would-be-lost" {
		t.Errorf("a manager: %v", err)
	}
	if err := v.GuardDestroying("n4"); err != nil {
		t.Errorf("a worker: %v", err)
	}
	// What it was is lost with its machine, or has left.
	w.engines[2].absent = true
	v = observe(t.Context(), w.targets())
	if err := v.GuardDestroying("n3"); err != nil {
		t.Errorf("one that does not exist: %v", err)
	}
}

// flighty is an engine whose first changes fail.
type flighty struct {
	Engine
	fails *atomic.Int32
	err   error
}

func (f flighty) UpdateNode(ctx context.Context, id string, edit func(*engine.NodeSpec)) error {
	if f.fails.Add(-1) >= 0 {
		return f.err
	}
	return f.Engine.UpdateNode(ctx, id, edit)
}

func (f flighty) RemoveNode(ctx context.Context, id string, force bool) error {
	if f.fails.Add(-1) >= 0 {
		return f.err
	}
	return f.Engine.RemoveNode(ctx, id, force)
}

func TestAChangeIsMadeOnceThereIsALeaderAgain(t *testing.T) {
	for name, errs := range map[string][3]error{
		"none has one":                         {engine.ErrNoLeader, engine.ErrNoLeader, engine.ErrNoLeader},
		"the last is no manager any more":      {engine.ErrNoLeader, engine.ErrNoLeader, engine.ErrNotManager},
		"the last does not answer":             {engine.ErrNoLeader, engine.ErrNoLeader, engine.ErrUnreachable},
		"they let the call run out of time":    {context.DeadlineExceeded, engine.ErrUnreachable, fmt.Errorf("%w: %w", engine.ErrUnreachable, context.DeadlineExceeded)},
		"one has none, and the others hang on": {engine.ErrNoLeader, engine.ErrUnreachable, engine.ErrUnreachable},
	} {
		for what, do := range map[string]func(context.Context, []Target) error{
			"promote": func(ctx context.Context, targets []Target) error {
				_, err := promote(ctx, targets, []string{"n4"}, how{})
				return err
			},
			"remove": func(ctx context.Context, targets []Target) error {
				_, err := remove(ctx, targets, []string{"n4"}, how{})
				return err
			},
		} {
			t.Run(what+": "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(testLab("mmmw"))
					formed(w)
					w.taken = []string{"n4"}
					targets := w.targets()
					for i, err := range errs {
						fails := new(atomic.Int32)
						fails.Store(1)
						targets[i].Engine = flighty{targets[i].Engine, fails, err}
					}
					if err := do(t.Context(), targets); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// A manager that hangs says more when it is asked again: before, nobody is told
// that there is no quorum, and how to make do without.
func TestOneThatHangsIsNotTakenForALostQuorum(t *testing.T) {
	w := newWorld(testLab("m--"))
	formed(w)
	for i := range w.lab.Nodes {
		w.lab.Nodes[i].Role = lab.RoleManager // as labs.yaml wants it; they never joined
	}
	w.halt(1)
	w.halt(2)
	targets := w.targets()
	targets[0].Engine = hanging{targets[0].Engine}
	v := observe(t.Context(), targets)
	if err := v.NeedManager(); !errors.Is(err, errElection) {
		t.Errorf("%s: %v", v.Quorum, err)
	}
}

// A swarm may have no leader when it is looked at, and lose one between the look
// and the change.
func TestAnElectionIsWaitedFor(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprintf("under way at first: %v", early), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab("mmmw"))
				formed(w)
				elect := func() {
					set := func(looks int) {
						w.mu.Lock()
						defer w.mu.Unlock()
						w.swarms["swarm01"].election = looks
					}
					set(1000)
					time.AfterFunc(10*time.Second, func() { set(0) })
				}
				if early {
					elect()
				}
				ch, err := promote(t.Context(), w.targets(), []string{"n4"}, how{Progress: func(e Event) {
					if !early && e.Kind == KindPromote && !e.Done {
						elect()
					}
				}})
				if err != nil || ch.After.Managers != 4 {
					t.Errorf("%v, after: %s", err, ch.After)
				}
				elect()
				if _, err := New(w.targets(), Options{}).Token(t.Context(), engine.RoleWorker); err != nil {
					t.Errorf("token: %v", err)
				}
			})
		})
	}
}

// returning is the engine of a node that was a manager and was demoted while it
// was down: its first calls hang until it has heard of that.
type returning struct {
	Engine
	back time.Time
}

func (r returning) Info(ctx context.Context) (engine.Info, error) {
	if time.Now().Before(r.back) {
		time.Sleep(5 * time.Second)
		return engine.Info{}, fmt.Errorf("%w: no answer within 5s: %w", engine.ErrUnreachable, context.DeadlineExceeded)
	}
	return r.Engine.Info(ctx)
}

func TestAManagerThatWasDemotedWhileDownIsWaitedFor(t *testing.T) {
	for what, do := range map[string]func(context.Context, *lab.Lab, []Target, func(Event)) error{
		"promote": func(ctx context.Context, _ *lab.Lab, targets []Target, tell func(Event)) error {
			_, err := promote(ctx, targets, []string{"n3"}, how{Progress: tell})
			return err
		},
		"remove": func(ctx context.Context, _ *lab.Lab, targets []Target, tell func(Event)) error {
			ch, err := remove(ctx, targets, []string{"n3"}, how{Progress: tell, Gone: true})
			if len(ch.Steps) != 2 || ch.Steps[0].Kind() != KindLeave {
				return fmt.Errorf("struck like a dead one: %v, %w", ch.Steps, err)
			}
			return err
		},
		"bootstrap": func(ctx context.Context, l *lab.Lab, targets []Target, tell func(Event)) error {
			res, err := bootstrap(ctx, l, targets, how{Progress: tell})
			if !slices.ContainsFunc(res.Steps, func(s Step) bool { return s.Kind() == KindPromote && s.Node() == "n3" }) {
				return fmt.Errorf("not promoted: %v, %w", res.Steps, err)
			}
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab("mmmw"))
				formed(w)
				cert, err := w.targets()[2].Disk.Certificate(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				w.halt(2)
				if _, err := demote(t.Context(), w.targets(), []string{"n3"}, how{}); err != nil {
					t.Fatal(err)
				}
				w.restart(2)
				targets := w.targets()
				back, young := time.Now().Add(12*time.Second), targets[2].Disk
				targets[2].Engine = returning{targets[2].Engine, back}
				targets[2].Disk = modelDisk{certificate: func(ctx context.Context) ([]byte, error) {
					if time.Now().Before(back) {
						return cert, nil
					}
					return young.Certificate(ctx)
				}}
				var mu sync.Mutex
				var waited int
				if err := do(t.Context(), w.lab, targets, func(e Event) {
					mu.Lock()
					defer mu.Unlock()
					if e.Node == "n3" && !e.Done && (e.Kind == KindAwait || e.Kind == KindWait) && strings.Contains(e.Step, "answers") {
						waited++
					}
				}); err != nil {
					t.Error(err)
				}
				if waited != 1 {
					t.Errorf("told %d times that it is waited for", waited)
				}
			})
		})
	}
}

// One that hangs for good is left out in the end, and named once. It keeps
// nobody else from what takes more than one round.
func TestAnEngineThatHangsForGoodIsNamedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mmmmw"))
		formed(w)
		w.autolock(0)
		w.restart(1)
		w.lab.Swarm.Autolock = true
		w.lab.Nodes[1].Labels = map[string]string{"zone": "east"}
		targets := w.targets()
		targets[4].Engine = returning{targets[4].Engine, time.Now().Add(time.Hour)}
		began := time.Now()
		res, err := bootstrap(t.Context(), w.lab, targets, how{})
		var tr *trouble.Error
		if !errors.As(err, &tr) || tr.ID != "swarm-unfinished" || strings.Count(tr.Why, "n5:") != 1 || strings.Contains(strings.Join(tr.Next, " "), "take-over") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("after %s", took)
		}
		if n, _ := res.View.Node("n2"); n.Labels["zone"] != "east" {
			t.Errorf("n2 was forgotten: %+v", n)
		}
	})
}

// What an engine that hangs for good costs: a wait where its answer counts, none
// where it does not, and the truth in the end.
func TestWhatAFrozenEngineCosts(t *testing.T) {
	for name, c := range map[string]struct {
		do       func(context.Context, []Target, how) error
		halted   []int
		frozen   int
		min, max time.Duration
		err      string
	}{
		"promote it": {do: func(ctx context.Context, targets []Target, o how) error {
			_, err := promote(ctx, targets, []string{"n4"}, o)
			return err
		}, frozen: 3, min: 20 * time.Second, max: 45 * time.Second, err: "node-down"},
		"label it": {do: func(ctx context.Context, targets []Target, o how) error {
			_, err := setLabels(ctx, targets, []string{"n4"}, map[string]string{"a": "b"}, nil, o)
			return err
		}, frozen: 3, max: 12 * time.Second},
		"drain it": {do: func(ctx context.Context, targets []Target, o how) error {
			ch, err := setAvailability(ctx, targets, []string{"n4"}, engine.AvailabilityDrain, o)
			if !strings.Contains(strings.Join(ch.Warnings, "\n"), "what runs there may keep running") {
				return fmt.Errorf("it does not say what is not known: %v, %w", ch.Warnings, err)
			}
			return err
		}, frozen: 3, max: 12 * time.Second},
		"promote another": {do: func(ctx context.Context, targets []Target, o how) error {
			_, err := promote(ctx, targets, []string{"n4"}, o)
			return err
		}, frozen: 2, max: 12 * time.Second},
		"demote another manager": {do: func(ctx context.Context, targets []Target, o how) error {
			_, err := demote(ctx, targets, []string{"n2"}, o)
			return err
		}, frozen: 2, min: 20 * time.Second, max: 45 * time.Second, err: "quorum-would-be-lost"},
		"it is one of the two that are left": {do: func(ctx context.Context, targets []Target, o how) error {
			_, err := promote(ctx, targets, []string{"n4"}, o)
			return err
		}, halted: []int{1}, frozen: 2, min: 20 * time.Second, max: 45 * time.Second, err: "no-quorum"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab("mmmw"))
				formed(w)
				targets := w.targets()
				// A raft of which two of three are silent has no leader.
				for _, i := range c.halted {
					w.halt(i)
					w.stop(c.frozen)
					targets = w.targets()
				}
				targets[c.frozen].Engine = returning{targets[c.frozen].Engine, time.Now().Add(time.Hour)}
				began := time.Now()
				err := c.do(t.Context(), targets, how{})
				took := time.Since(began)
				var tr *trouble.Error
				if errors.As(err, &tr); (err == nil) != (c.err == "") || tr != nil && tr.ID != c.err {
					t.Errorf("got %v", err)
				}
				if tr != nil && strings.Contains(strings.Join(tr.Next, " "), "try again") {
					t.Errorf("no election comes: %v", tr.Next)
				}
				if took < c.min || took > c.max {
					t.Errorf("after %s", took)
				}
			})
		})
	}
}

// unsettled is the engine of a node whose part in raft is changing: its first
// calls hang.
type unsettled struct {
	Engine
	calls *atomic.Int32 // that hang
}

func (u unsettled) hang() error {
	if u.calls.Add(-1) < 0 {
		return nil
	}
	time.Sleep(5 * time.Second)
	return fmt.Errorf("%w: %w", engine.ErrUnreachable, context.DeadlineExceeded)
}

func (u unsettled) Info(ctx context.Context) (engine.Info, error) {
	if err := u.hang(); err != nil {
		return engine.Info{}, err
	}
	return u.Engine.Info(ctx)
}

func (u unsettled) Nodes(ctx context.Context) ([]engine.Node, error) {
	if err := u.hang(); err != nil {
		return nil, err
	}
	return u.Engine.Nodes(ctx)
}

// One that lets a call hang after its role has changed is not gone: the change
// is over when it answers.
func TestAChangeOfRoleEndsWhenTheNodeAnswers(t *testing.T) {
	for what, change := range map[string]struct {
		do func(context.Context, []Target, []string, how) (Result, error)
		at int
	}{"promote": {promote, 3}, "demote": {demote, 2}} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab("mmmw"))
				formed(w)
				targets := w.targets()
				v := observe(t.Context(), targets)
				calls := new(atomic.Int32)
				calls.Store(3)
				changed := &targets[change.at]
				changed.Engine = unsettled{changed.Engine, calls}
				ch, err := change.do(t.Context(), targets, []string{changed.Name}, how{View: &v})
				if n, _ := ch.View.Node(changed.Name); err != nil || !n.State.Answered() || ch.After.Reachable != ch.After.Managers {
					t.Errorf("%s, %v: %+v", ch.After, err, n)
				}
			})
		})
	}
}

// One that freezes in the midst of a change is waited for, and what the list
// shows has come true.
func TestANodeFreezesWhileItsRoleChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mmmmmw"))
		formed(w)
		targets := w.targets()
		v := observe(t.Context(), targets)
		targets[1].Engine = returning{targets[1].Engine, time.Now().Add(time.Hour)}
		ch, err := demote(t.Context(), targets, []string{"n2", "n3"}, how{View: &v})
		if err != nil || ch.After.Managers != 3 {
			t.Errorf("%s: %v", ch.After, err)
		}
	})
}

package swarm

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// planFor plays in a model of a lab and plans for what came of it.
func planFor(roles string, takeOver []string, play func(*world)) (*world, Plan, error) {
	w := newWorld(testLab(roles))
	if play != nil {
		play(w)
	}
	v := observe(context.Background(), w.targets())
	p, err := PlanBootstrap(w.lab, v, PlanOptions{TakeOver: takeOver})
	return w, p, err
}

// formed is a swarm as labs.yaml wants it.
func formed(w *world) {
	w.init(0)
	for i, n := range w.lab.Nodes {
		if i > 0 && n.Role != lab.RoleNone {
			w.join(i, 0, engine.Role(n.Role))
		}
	}
}

func TestPlans(t *testing.T) {
	for _, tt := range []struct {
		name     string
		roles    string
		takeOver []string
		play     func(*world)
		want     string // the steps, a line each
		left     string // nodes that stay unfinished
	}{
		{name: "fresh", roles: "mww", want: `
			n1: start a new swarm, advertising 10.20.20.11
			n2: join as worker, advertising 10.20.20.12
			n3: join as worker, advertising 10.20.20.13
			wait until n1, n2, n3 are Ready and n1 is Reachable as a manager`},
		{name: "a single node", roles: "m", want: `
			n1: start a new swarm, advertising 10.20.20.11
			wait until n1 is Ready and n1 is Reachable as a manager`},
		{name: "the first manager starts it, wherever it stands", roles: "wm", want: `
			n2: start a new swarm, advertising 10.20.20.12
			n1: join as worker, advertising 10.20.20.11
			wait until n1, n2 are Ready and n2 is Reachable as a manager`},
		{name: "managers join as managers, a node without a role stays out", roles: "mmm-", want: `
			n1: start a new swarm, advertising 10.20.20.11
			n2: join as manager, advertising 10.20.20.12
			n3: join as manager, advertising 10.20.20.13
			wait until n1, n2, n3 are Ready and n1, n2, n3 are Reachable as managers`},
		{name: "nothing to do", roles: "mmmww", play: formed},
		{name: "partly joined", roles: "mww", play: func(w *world) { w.init(0); w.join(1, 0, engine.RoleWorker) }, want: `
			n3: join as worker, advertising 10.20.20.13
			wait until n1, n2, n3 are Ready and n1 is Reachable as a manager`},
		{name: "the swarm is not the first manager's", roles: "mm", play: func(w *world) { w.init(1) }, want: `
			n1: join as manager, advertising 10.20.20.11
			wait until n1, n2 are Ready and n1, n2 are Reachable as managers`},
		{name: "labs.yaml names more managers than there are", roles: "mmm", play: func(w *world) {
			w.init(0)
			w.join(1, 0, engine.RoleWorker)
			w.join(2, 0, engine.RoleWorker)
		}, want: `
			n2: promote to manager
			n3: promote to manager
			wait until n1, n2, n3 are Ready and n1, n2, n3 are Reachable as managers`},
		{name: "the lab's manager is only a worker of its swarm", roles: "mw", play: func(w *world) { w.init(1); w.join(0, 1, engine.RoleWorker) }, want: `
			n1: promote to manager
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "a manager too many is left alone", roles: "mw", play: func(w *world) { w.init(0); w.join(1, 0, engine.RoleManager) }},
		{name: "a worker is halted", roles: "mww", play: func(w *world) { w.init(0); w.join(1, 0, engine.RoleWorker); w.halt(2) }, left: "n3: the machine is halted"},
		{name: "a member's engine is down", roles: "mww", play: func(w *world) { formed(w); w.stop(2) }, left: "n3: call: connection refused"},
		{name: "a wanted manager does not answer, and the swarm is seen elsewhere", roles: "mmw", play: func(w *world) { w.init(0); w.halt(1) }, want: `
			n3: join as worker, advertising 10.20.20.13
			wait until n1, n3 are Ready and n1 is Reachable as a manager`, left: "n2: the machine is halted"},
		{name: "pending", roles: "mw", play: func(w *world) { w.init(0); w.pendingJoin(1, 0); w.engines[1].delay = 9 }, want: `
			n2: wait until it is in the swarm (it is joining, or coming back)
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "the only manager is pending in no swarm that is known", roles: "mw", play: func(w *world) { w.init(1); w.pendingJoin(0, 1); w.engines[0].delay = 9; w.halt(1) }, want: `
			n1: wait until it is in the swarm (it is joining, or coming back)`, left: "n2: the machine is halted"},
		{name: "error", roles: "mw", play: func(w *world) { formed(w); w.breakDown(1) }, want: `
			n2: leave swarm swarm01 (in error: swarm: it gave up)
			n2: join as worker, advertising 10.20.20.12
			n2: remove its old entry node06
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "a manager of three in error", roles: "mmm", play: func(w *world) { formed(w); w.breakDown(2) }, want: `
			n3: demote and remove its old entry node07
			n3: leave swarm swarm01 (in error: swarm: it gave up)
			n3: join as manager, advertising 10.20.20.13
			wait until n1, n2, n3 are Ready and n1, n2, n3 are Reachable as managers`},
		{name: "locked, and another manager has the key", roles: "mmm", play: func(w *world) { formed(w); w.autolock(0); w.lab.Swarm.Autolock = true; w.restart(2) }, want: `
			n3: unlock with the key that the other managers hold
			wait until n1, n2, n3 are Ready and n1, n2, n3 are Reachable as managers`},
		{name: "locked for good, taken over", roles: "mmm", takeOver: []string{"n3"}, play: func(w *world) { formed(w); w.autolock(0); w.lab.Swarm.Autolock = true; w.restart(2) }, want: `
			n3: demote and remove its old entry node07
			n3: leave swarm swarm01 (taken over)
			n3: join as manager, advertising 10.20.20.13
			wait until n1, n2, n3 are Ready and n1, n2, n3 are Reachable as managers`},
		{name: "a stale entry of a worker made anew", roles: "mw", play: func(w *world) { formed(w); _ = w.engines[1].Leave(context.Background(), true) }, want: `
			n2: remove its old entry node06
			n2: join as worker, advertising 10.20.20.12
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "a stale entry of a manager is demoted first", roles: "mmm", play: func(w *world) { formed(w); _ = w.engines[2].Leave(context.Background(), true) }, want: `
			n3: demote and remove its old entry node07
			n3: join as manager, advertising 10.20.20.13
			wait until n1, n2, n3 are Ready and n1, n2, n3 are Reachable as managers`},
		{name: "a stale entry beside the new one", roles: "mw", play: func(w *world) {
			formed(w)
			_ = w.engines[1].Leave(context.Background(), true)
			w.join(1, 0, engine.RoleWorker)
		}, want: `
			n2: remove its old entry node06
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "nothing of a node that does not answer is stale", roles: "mww", play: func(w *world) {
			formed(w)
			_ = w.engines[1].Leave(context.Background(), true)
			w.join(1, 0, engine.RoleWorker)
			w.halt(1)
		}, left: "n2: the machine is halted"},
		{name: "struck from the list, and does not know it", roles: "mw", play: func(w *world) { formed(w); w.strike(1, 0) }, want: `
			n2: leave swarm swarm01 (it was removed from there)
			n2: join as worker, advertising 10.20.20.12
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "a foreign swarm taken over", roles: "mw", takeOver: []string{"n2"}, play: func(w *world) { w.init(0); w.init(1) }, want: `
			n2: leave swarm swarm06 (taken over)
			n2: join as worker, advertising 10.20.20.12
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "two halves, one taken over", roles: "mmw", takeOver: []string{"n2"}, play: func(w *world) { w.init(0); w.init(1) }, want: `
			n2: leave swarm swarm06 (taken over)
			n2: join as manager, advertising 10.20.20.12
			n3: join as worker, advertising 10.20.20.13
			wait until n1, n2, n3 are Ready and n1, n2 are Reachable as managers`},
		{name: "the manager of the lab's own swarm is not taken over", roles: "mw", takeOver: []string{"n1"}, play: formed},
		{name: "a swarm that strangers manage, taken over", roles: "m-", takeOver: []string{"n1"}, play: func(w *world) {
			w.init(1)
			w.join(0, 1, engine.RoleWorker)
			w.halt(1)
		}, want: `
			n1: leave swarm swarm01 (taken over)
			n1: start a new swarm, advertising 10.20.20.11
			wait until n1 is Ready and n1 is Reachable as a manager`},
		{name: "a node without a role in a foreign swarm is nobody's business", roles: "m-", play: func(w *world) { w.init(0); w.init(1) }},
		{name: "an election is under way", roles: "mmm", play: func(w *world) { formed(w); w.swarms["swarm01"].election = 99 }, want: `
			wait until the managers have elected a leader`},
		{name: "one that may come in as a worker is promoted by the next plan", roles: "mm", play: func(w *world) { w.init(0); w.pendingJoin(1, 0); w.engines[1].delay = 9 }, want: `
			n2: wait until it is in the swarm (it is joining, or coming back)
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "a member that is not Ready", roles: "mw", play: func(w *world) { formed(w); w.swarms["swarm01"].nodes[1].cut = true }, want: `
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "all managers come back at once", roles: "mmm", play: func(w *world) {
			formed(w)
			w.stop(0)
			w.stop(1)
			w.stop(2)
			for i := range 2 {
				e := w.engines[i]
				e.up, e.state, e.delay = true, engine.StatePending, 9
			}
			w.swarms["swarm01"].nodes[0].raft = true
		}, left: "n3: call: connection refused", want: `
			n1: wait until it is in the swarm (it is joining, or coming back)
			n2: wait until it is in the swarm (it is joining, or coming back)
			wait until n1, n2 are Ready and n1, n2 are Reachable as managers`},
		{name: "labels, availability, settings", roles: "mw", play: func(w *world) {
			formed(w)
			_ = w.engines[0].UpdateNode(context.Background(), "node06", func(s *engine.NodeSpec) { s.Labels["Own"] = "x"; s.Labels["Zone"] = "old" })
			w.lab.Nodes[1].Labels = map[string]string{"Disk": "ssd", "Zone": "new"}
			w.lab.Nodes[1].Availability = lab.AvailabilityDrain
			w.lab.Swarm = lab.Swarm{CertExpiry: time.Hour, TaskHistory: 2, Autolock: true}
		}, want: `
			n2: set label Disk=ssd, label Zone=new, availability drain
			set certificate expiry 1h0m0s, task history 2, autolock on
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
		{name: "labels of a node that is still to join", roles: "mw", play: func(w *world) { w.lab.Nodes[1].Labels = map[string]string{"Disk": "ssd"} }, want: `
			n1: start a new swarm, advertising 10.20.20.11
			n2: join as worker, advertising 10.20.20.12
			n2: set label Disk=ssd
			wait until n1, n2 are Ready and n1 is Reachable as a manager`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, p, err := planFor(tt.roles, tt.takeOver, tt.play)
			if err != nil {
				t.Fatalf("refused: %v%s", err, w.describe())
			}
			if got, want := p.String(), lines(tt.want); got != want {
				t.Errorf("plan:\n%swant:\n%s%s", got, want, w.describe())
			}
			var left []string
			for _, u := range p.Unfinished {
				left = append(left, u.Node+": "+u.Why)
			}
			if got := strings.Join(left, "; "); got != tt.left {
				t.Errorf("unfinished %q, want %q", got, tt.left)
			}
			for _, s := range p.Steps() {
				if s.Kind() == "" || s.Kind() != KindConfigure && s.Kind() != KindAwait && s.Kind() != KindAwaitQuorum && s.Node() == "" {
					t.Errorf("step %T %v has kind %q and node %q", s, s, s.Kind(), s.Node())
				}
			}
		})
	}
}

func lines(s string) string {
	var b strings.Builder
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); l != "" {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name     string
		roles    string
		takeOver []string
		play     func(*world)
		id       string
		exit     int
		says     []string // in the message or the advice
	}{
		{name: "two halves", roles: "mmw", play: func(w *world) { w.init(0); w.init(1); w.join(2, 1, engine.RoleWorker) },
			id: "two-swarms", exit: trouble.ExitRefused,
			says: []string{"n1 in swarm swarm01", "n2, n3 in swarm swarm06", "to keep the swarm of n1: dcalab swarm bootstrap --take-over n2,n3", "to keep the swarm of n2, n3: dcalab swarm bootstrap --take-over n1"}},
		{name: "a foreign swarm", roles: "mw", play: func(w *world) { w.init(0); w.init(1) },
			id: "foreign-swarm", exit: trouble.ExitRefused, says: []string{"n2 in swarm swarm06", "--take-over n2"}},
		{name: "the only manager left its swarm by force", roles: "mww", play: func(w *world) { formed(w); _ = w.engines[0].Leave(context.Background(), true) },
			id: "foreign-swarm", exit: trouble.ExitRefused, says: []string{"n2, n3 in swarm swarm01, which is not the lab's", "n1, which managed swarm01, left it, so nobody can manage it any more", "--take-over n2,n3"}},
		{name: "only the other of two foreign ones is taken over", roles: "mww", takeOver: []string{"n2"}, play: func(w *world) { w.init(0); w.init(1); w.init(2) },
			id: "foreign-swarm", exit: trouble.ExitRefused, says: []string{"n3 in swarm"}},
		{name: "a manager does not answer and may hold the swarm", roles: "mmw", play: func(w *world) { w.halt(0) },
			id: "manager-not-answering", exit: trouble.ExitRefused, says: []string{"n1", "the machine is halted", "dcalab up n1"}},
		{name: "its engine does not", roles: "mw", play: func(w *world) { w.stop(0) },
			id: "manager-not-answering", exit: trouble.ExitRefused, says: []string{"connection refused"}},
		{name: "the only manager was never created", roles: "mw", play: func(w *world) { w.engines[0].machine, w.engines[0].absent = false, true },
			id: "managers-absent", exit: trouble.ExitRefused, says: []string{"n1", "dcalab up n1"}},
		{name: "two of three managers are gone", roles: "mmm", play: func(w *world) { formed(w); w.halt(1); w.stop(2) },
			id: "no-quorum", exit: trouble.ExitRefused, says: []string{"1 of 3 managers answer, 2 required", "n2 (the machine is halted)", "n3 (call: connection refused)"}},
		{name: "the managers are not the lab's, and gone", roles: "mw", play: func(w *world) { w.init(1); w.join(0, 1, engine.RoleWorker); w.halt(1) },
			id: "no-quorum", exit: trouble.ExitRefused, says: []string{"none of its managers answers"}},
		{name: "the only manager is locked", roles: "mw", play: func(w *world) { formed(w); w.autolock(0); w.restart(0) },
			id: "locked", exit: trouble.ExitRefused, says: []string{"dcalab swarm unlock"}},
		{name: "the only manager is in error", roles: "mw", play: func(w *world) { formed(w); w.breakDown(0) },
			id: "no-quorum", exit: trouble.ExitRefused, says: []string{"n1 (in error: swarm: it gave up)"}},
		{name: "an engine that gave up on another swarm makes no two halves", roles: "mm", play: func(w *world) { w.init(0); w.init(1); w.breakDown(1) },
			id: "foreign-swarm", exit: trouble.ExitRefused, says: []string{"n2 in swarm swarm06"}},
		{name: "a recovery was cut short", roles: "mmw", play: func(w *world) { w.engines[1].aside = true },
			id: "swarm-set-aside", exit: trouble.ExitRefused, says: []string{"n2", "dcalab swarm recover", "dcalab reset n2"}},
		{name: "a recovery was cut short, and a worker still waits for its manager", roles: "mw", takeOver: []string{"n2"},
			play: func(w *world) {
				formed(w)
				_ = w.engines[0].Leave(context.Background(), true)
				w.engines[0].aside = true
			},
			id: "swarm-set-aside", exit: trouble.ExitRefused, says: []string{"n1", "dcalab swarm recover"}},
		{name: "taking over a node that is none", roles: "m", takeOver: []string{"n9"}, id: "no-such-node", exit: trouble.ExitUsage, says: []string{"n9", "n1"}},
		{name: "no manager is wanted", roles: "w", id: "no-manager", exit: trouble.ExitConfig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, p, err := planFor(tt.roles, tt.takeOver, tt.play)
			var tr *trouble.Error
			if !errors.As(err, &tr) {
				t.Fatalf("plan %q, error %v, want a refusal%s", p, err, w.describe())
			}
			if tr.ID != tt.id || tr.Exit != tt.exit {
				t.Errorf("refused as %s, exit %d: %v", tr.ID, tr.Exit, err)
			}
			if !p.Empty() {
				t.Errorf("a refusal with a plan: %s", p)
			}
			all := err.Error() + "\n" + strings.Join(trouble.Advice(err), "\n")
			for _, s := range tt.says {
				if !strings.Contains(all, s) {
					t.Errorf("does not say %q:\n%s", s, all)
				}
			}
		})
	}
}

// The list may call a manager reachable that is gone. Where the rest would be
// no quorum without it, its entry is left to a later plan.
func TestAStaleManagerIsNotDroppedWhereThatWouldCostTheQuorum(t *testing.T) {
	w := newWorld(testLab("mmm"))
	formed(w)
	_ = w.engines[2].Leave(context.Background(), true)
	facts := probeAll(t.Context(), w.targets())
	for i := range facts {
		for j := range facts[i].nodes {
			n := &facts[i].nodes[j]
			n.Reachability = engine.ReachabilityReachable
			if n.ID == w.engines[1].id {
				n.Reachability = engine.ReachabilityUnreachable
			}
		}
	}
	p, err := PlanBootstrap(w.lab, classify(labNodes(w.targets()), facts, nil), PlanOptions{})
	if err != nil || strings.Contains(p.String(), "old entry") || !strings.Contains(p.String(), "n3: join as manager") {
		t.Errorf("plan:\n%s%v", p, err)
	}
}

func TestANodeThatNeverGetsReadyIsNamedWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mw"))
		formed(w)
		w.swarms["swarm01"].nodes[1].cut = true
		_, err := bootstrap(t.Context(), w.lab, w.targets(), how{Timeout: 3 * time.Second})
		if trouble.ExitStatus(err) != trouble.ExitUnfinished || !strings.Contains(err.Error(), "after 3s: n2: its status is down") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAManagerInErrorThatMayHoldTheOnlyCopyIsLeftAlone(t *testing.T) {
	w := newWorld(testLab("mw"))
	formed(w)
	w.breakDown(0)
	targets := w.targets()
	targets[0].Disk = nil // nobody can tell whether it holds a swarm
	targets[1].Disk = nil
	w.engines[1].state = engine.StateInactive
	_, err := PlanBootstrap(w.lab, observe(context.Background(), targets), PlanOptions{})
	var tr *trouble.Error
	if !errors.As(err, &tr) || tr.ID != "manager-in-error" {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		name, roles string
		takeOver    []string
		play        func(*world)
		says        string
	}{
		{"an even number", "mm", nil, formed, "2 managers tolerate no more failures than 1 would (0): the majority of 2 is 2"},
		{"a manager that labs.yaml calls a worker", "mw", nil, func(w *world) { w.init(0); w.join(1, 0, engine.RoleManager) }, "dcalab demote n2"},
		{"a member without a role", "m-", nil, func(w *world) { w.init(0); w.join(1, 0, engine.RoleWorker) }, "n2 is in the swarm, although labs.yaml gives it no role there"},
		{"pools that differ", "m", nil, func(w *world) {
			formed(w)
			w.lab.Swarm.DefaultAddrPool = []netip.Prefix{netip.MustParsePrefix("10.200.0.0/16")}
			w.swarms["swarm01"].settings.Pools = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}, "only a new swarm can change that"},
		{"autolock that a locked-out manager still needs", "mmm", nil, func(w *world) { formed(w); w.autolock(0); w.halt(2) }, "n3 could no longer be unlocked"},
		{"a node that is not the lab's", "m", nil, func(w *world) {
			formed(w)
			s := w.swarms["swarm01"]
			s.nodes = append(s.nodes, &modelNode{Node: engine.Node{ID: "x1", Hostname: "elsewhere", Role: engine.RoleWorker}})
		}, "elsewhere (x1)"},
		{"taken over for nothing", "m", []string{"n1"}, formed, "n1 is not taken over: it is member"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(testLab(tt.roles))
			tt.play(w)
			p, err := PlanBootstrap(w.lab, observe(context.Background(), w.targets()), PlanOptions{TakeOver: tt.takeOver})
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(p.Warnings, "\n"); !strings.Contains(all, tt.says) {
				t.Errorf("does not say %q:\n%s", tt.says, all)
			}
			if !p.Empty() {
				t.Errorf("a warning with a plan: %s", p)
			}
		})
	}
}

func TestAnInterruptedBootstrapEndsAtOnceAndTheNextOneFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("mmmww"))
		w.slow = 4
		ctx, cancel := context.WithCancel(t.Context())
		_, err := bootstrap(ctx, w.lab, w.targets(), how{Progress: func(e Event) {
			if e.Kind == KindJoin && e.Done {
				cancel()
			}
		}})
		if trouble.ExitStatus(err) != trouble.ExitInterrupted || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := bootstrap(t.Context(), w.lab, w.targets(), how{}); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

func TestADryRunTouchesNothing(t *testing.T) {
	w := newWorld(testLab("mmw"))
	w.acting = true
	if _, err := PlanBootstrap(w.lab, observe(t.Context(), w.targets()), PlanOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(w.actions) > 0 {
		t.Errorf("did %v", w.actions)
	}
}

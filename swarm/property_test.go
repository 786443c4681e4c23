package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// TestFromAnywhereTheSwarmComesRight lets a student play with a model of a
// lab, and then bootstraps it. Whatever the student did:
//   - it ends in a bounded number of rounds, without a step that costs a swarm
//     its quorum, without a second swarm, and without a node leaving a swarm
//     that was neither taken over nor gave up nor had struck it;
//   - a refusal has touched nothing;
//   - success means that every node of the lab is what labs.yaml says, with the
//     labels that somebody gave it by hand, and that a second run has nothing to
//     do;
//   - "unfinished" has its reason in a node that is down or cut off.
func TestFromAnywhereTheSwarmComesRight(t *testing.T) {
	outcomes := map[string]int{}
	for range 20 { // a hundred plays each, by default
		rapid.Check(t, func(rt *rapid.T) { bootstrapAfterPlay(t, rt, outcomes) })
	}
	t.Logf("outcomes: %v", outcomes)
	for _, want := range []string{"done", "nothing", "swarm-unfinished", "foreign-swarm", "two-swarms", "no-quorum", "manager-not-answering", "locked"} {
		if outcomes[want] == 0 {
			t.Errorf("no play led to %q: the model does not reach it any more", want)
		}
	}
}

func bootstrapAfterPlay(t *testing.T, rt *rapid.T, outcomes map[string]int) {
	t.Helper()
	// Everything is drawn before the bubble: rapid ends a check by a panic.
	roles := rapid.StringMatching(`[mw]{0,2}m[mw-]{0,2}`).Draw(rt, "roles")
	n := len(roles)
	slow := rapid.IntRange(0, 4).Draw(rt, "slow")
	play := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) move {
		return move{
			kind: rapid.SampledFrom(moves).Draw(rt, "move"),
			node: rapid.IntRange(0, n-1).Draw(rt, "node"),
			via:  rapid.IntRange(0, n-1).Draw(rt, "via"),
		}
	}), 0, 14).Draw(rt, "play")
	heal := rapid.Bool().Draw(rt, "heal")
	var taken []string
	for i := range n {
		if rapid.IntRange(0, 5).Draw(rt, "taken") == 0 {
			taken = append(taken, fmt.Sprintf("n%d", i+1))
		}
	}
	labels := rapid.Bool().Draw(rt, "labels")
	var failure, outcome string
	synctest.Test(t, func(*testing.T) {
		w := newWorld(testLab(roles))
		w.slow = slow
		for _, m := range play {
			m.make(w)
		}
		if heal {
			for i := range w.engines {
				if !w.engines[i].up {
					w.restart(i)
				}
			}
		}
		if labels {
			for i := range w.lab.Nodes {
				w.lab.Nodes[i].Labels = map[string]string{"Disk": "ssd"}
				w.lab.Nodes[i].Availability = lab.AvailabilityDrain
			}
		}
		w.taken = taken
		outcome, failure = runModel(w)
	})
	outcomes[outcome]++
	if failure != "" {
		rt.Fatalf("%s", failure)
	}
}

type move struct {
	kind      string
	node, via int
}

func (m move) String() string { return fmt.Sprintf("%s n%d via n%d", m.kind, m.node+1, m.via+1) }

// moves a student may make; the ones that build come up more often.
var moves = []string{"init", "init", "join", "join", "join", "join manager", "join manager", "promote", "demote", "leave",
	"strike", "stop", "halt", "restart", "restart all", "break", "pending", "autolock", "autolock", "label", "label", "drain", "strand", "strand"}

func (m move) make(w *world) {
	switch m.kind {
	case "init":
		w.init(m.node)
	case "join":
		w.join(m.node, m.via, engine.RoleWorker)
	case "join manager":
		w.join(m.node, m.via, engine.RoleManager)
	case "promote":
		w.setRole(m.node, m.via, engine.RoleManager)
	case "demote":
		w.setRole(m.node, m.via, engine.RoleWorker)
	case "leave":
		_ = w.engines[m.node].Leave(context.Background(), true)
	case "strike":
		w.strike(m.node, m.via)
	case "stop":
		w.stop(m.node)
	case "halt":
		w.halt(m.node)
	case "restart":
		w.restart(m.node)
	case "restart all":
		for i := range w.engines {
			w.stop(i)
		}
		for i := range w.engines {
			w.restart(i)
		}
		for _, s := range w.swarms {
			s.election = 4 * w.slow
		}
	case "break":
		w.breakDown(m.node)
	case "pending":
		w.pendingJoin(m.node, m.via)
	case "autolock":
		w.autolock(m.node)
	case "strand": // the manager that it joined through becomes a worker, and it a manager
		for i := range w.engines {
			if i != m.node && i != m.via {
				w.setRole(m.via, i, engine.RoleWorker)
				w.setRole(m.node, i, engine.RoleManager)
			}
		}
	case "label":
		_ = w.engines[m.via].UpdateNode(context.Background(), w.engines[m.node].id, func(s *engine.NodeSpec) { s.Labels["Own"] = "kept" })
	case "drain":
		_ = w.engines[m.via].UpdateNode(context.Background(), w.engines[m.node].id, func(s *engine.NodeSpec) { s.Availability = engine.AvailabilityDrain })
	}
}

// runModel bootstraps w and says what is wrong with what came of it.
func runModel(w *world) (outcome, failure string) {
	ctx := context.Background()
	targets := w.targets()
	labelled := map[string]bool{}
	for _, e := range w.engines {
		if s := w.swarms[e.swarm]; s != nil && s.node(e.id) != nil && s.node(e.id).Labels["Own"] != "" && !slices.Contains(w.taken, e.name) {
			labelled[e.name] = true
		}
	}
	w.acting = true
	res, err := bootstrap(ctx, w.lab, targets, how{TakeOver: w.taken})
	fail := func(format string, args ...any) (string, string) {
		return outcome, fmt.Sprintf(format, args...) + fmt.Sprintf("\nerror: %v\nactions: %s\nsteps: %s\nstate: %s", err, strings.Join(w.actions, ", "), describe(res.Steps), w.describe())
	}
	var tr *trouble.Error
	switch {
	case err == nil && len(res.Steps) == 0:
		outcome = "nothing"
	case err == nil:
		outcome = "done"
	case errors.As(err, &tr):
		outcome = tr.ID
	default:
		return fail("an error that a person cannot act on")
	}
	if len(w.violated) > 0 {
		return fail("violated: %s", strings.Join(w.violated, "; "))
	}
	if tr != nil && tr.Exit == trouble.ExitRefused {
		for _, s := range res.Steps {
			if s.Kind() != KindWait && s.Kind() != KindAwaitQuorum {
				return fail("refused after it had begun")
			}
		}
		if len(w.actions) > 0 {
			return fail("a refusal that touched something")
		}
		return outcome, ""
	}
	if tr != nil && tr.Exit != trouble.ExitUnfinished {
		return fail("exit %d", tr.Exit)
	}
	if tr != nil {
		for i, e := range w.engines {
			if w.lab.Nodes[i].Role != lab.RoleNone && !e.up {
				return outcome, ""
			}
		}
		// An old key, or a manager that came back after raft had let go of it.
		for _, e := range w.engines {
			if e.state == engine.StateLocked {
				return outcome, ""
			}
		}
		return fail("unfinished, and every engine answers")
	}
	for i, n := range w.lab.Nodes {
		e := w.engines[i]
		if n.Role == lab.RoleNone {
			continue
		}
		s := w.swarms[e.swarm]
		switch {
		case e.state != engine.StateActive || s == nil || s.node(e.id) == nil:
			return fail("%s is not in the swarm", n.Name)
		case s.id != res.View.Cluster:
			return fail("%s is in another swarm", n.Name)
		case n.Role == lab.RoleManager && !s.node(e.id).raft:
			return fail("%s is no manager", n.Name)
		case s.node(e.id).Availability != engine.Availability(n.Availability):
			return fail("%s has availability %s", n.Name, s.node(e.id).Availability)
		case labelled[n.Name] && s.node(e.id).Labels["Own"] != "kept":
			return fail("%s lost the label that it was given by hand", n.Name)
		case len(n.Labels) > 0 && s.node(e.id).Labels["Disk"] != "ssd":
			return fail("%s lacks its label", n.Name)
		}
		for _, other := range s.nodes {
			if other.Hostname == e.host && other.ID != e.id {
				return fail("a stale entry of %s is left", n.Name)
			}
		}
	}
	before := len(w.actions)
	again, err2 := bootstrap(ctx, w.lab, targets, how{})
	if err2 != nil || len(again.Steps) > 0 || len(w.actions) > before {
		return fail("a second run: %v, steps %s", err2, describe(again.Steps))
	}
	return outcome, ""
}

func describe(steps []Step) string {
	var out []string
	for _, s := range steps {
		out = append(out, s.Node()+" "+string(s.Kind()))
	}
	return strings.Join(out, ", ")
}

func (w *world) describe() string {
	var b strings.Builder
	for i, e := range w.engines {
		fmt.Fprintf(&b, "\n  %s wants %s: up %v, %s, id %s, swarm %s, manager %v", e.name, w.lab.Nodes[i].Role, e.up, e.state, e.id, e.swarm, e.manager)
	}
	var ids []string
	for id := range w.swarms {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		for _, n := range w.swarms[id].nodes {
			fmt.Fprintf(&b, "\n  %s: %s %s %s raft %v", id, n.ID, n.Hostname, n.Role, n.raft)
		}
	}
	return b.String()
}

package swarm

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
)

type awaitStep struct {
	on
	// Ready nodes and Reachable managers, short names.
	Ready     []string
	Reachable []string
}

func (awaitStep) Kind() Kind { return KindAwait }
func (s awaitStep) String() string {
	out := "wait until " + strings.Join(s.Ready, ", ") + " are Ready"
	if len(s.Ready) == 1 {
		out = "wait until " + s.Ready[0] + " is Ready"
	}
	switch len(s.Reachable) {
	case 0:
	case 1:
		out += " and " + s.Reachable[0] + " is Reachable as a manager"
	default:
		out += " and " + strings.Join(s.Reachable, ", ") + " are Reachable as managers"
	}
	return out
}

// Do waits until every node is Ready and every manager Reachable, going by
// the ids that the nodes' own engines tell.
func (s awaitStep) Do(ctx context.Context, r *Run) error {
	if len(r.managers()) == 0 {
		return errNoManager
	}
	return r.poll(ctx, func() error {
		r.asking.Wait()
		list, err := r.nodes(ctx)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.list = list
		missing := lacking(s, r.targets, r.facts, list)
		r.mu.Unlock()
		var why []string
		for _, m := range missing {
			if m.again {
				r.ask(ctx, m.Node)
			}
			why = append(why, m.Node+": "+m.Why)
		}
		if len(missing) > 0 {
			return errors.New(strings.Join(why, "; "))
		}
		return nil
	})
}

// lacking names the nodes that do not yet meet what s waits for, and why as far as
// their own engines or the list tell.
func lacking(s awaitStep, targets []Target, facts []fact, list []engine.Node) []Unfinished {
	var out []Unfinished
	for i, t := range targets {
		if !slices.Contains(s.Ready, t.Name) {
			continue
		}
		f := facts[i]
		at := find(list, f.info.NodeID)
		var why string
		again := false
		switch {
		case f.err != nil:
			why, again = f.err.Error(), true
		case f.info.State == engine.StateError, f.info.State == engine.StateInactive:
			// It has lost its swarm meanwhile: that is for the next plan.
			continue
		case f.info.NodeID == "" || at < 0:
			why, again = "not in the swarm's list", true
			if f.info.Error != "" {
				why = f.info.Error
			}
		case list[at].Status != engine.NodeReady:
			why, again = "its status is "+string(list[at].Status), true
			if m := list[at].StatusMessage; m != "" {
				why += " (" + m + ")"
			}
		case slices.Contains(s.Reachable, t.Name) && list[at].Reachability != engine.ReachabilityReachable:
			why = "as a manager it is " + string(list[at].Reachability)
			if list[at].Reachability == "" {
				why = "it is not a manager yet; the leader must reach it at " + net.JoinHostPort(t.Addr.String(), RaftPort)
				again = true // its own engine knows whether it gave up
			}
		default:
			continue
		}
		out = append(out, Unfinished{Node: t.Name, Why: why, Err: f.err, again: again})
	}
	return out
}

// without takes the nodes that failed out of what the last step waits for.
func without(s Step, out map[string]bool) Step {
	a, ok := s.(awaitStep)
	if !ok {
		return s
	}
	gone := func(name string) bool { return out[name] }
	a.Ready = slices.DeleteFunc(slices.Clone(a.Ready), gone)
	a.Reachable = slices.DeleteFunc(slices.Clone(a.Reachable), gone)
	return a
}

func (s awaitStep) Runbook(w *RunbookWriter) {
	for _, name := range s.Ready {
		n, _ := w.v.Node(name)
		manager := slices.Contains(s.Reachable, name)
		_, arrived := w.arrived[name]
		healthy := n.unready() == "" && (!manager || n.unreachable() == "")
		switch {
		case arrived && n.State != StateMember:
			w.ready(name, "", manager)
		case arrived || !healthy:
			w.ready(name, n.NodeID, manager)
		}
	}
}

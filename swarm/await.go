package swarm

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
)

// poll is poll with the timeout of the steps.
func (r *runner) poll(ctx context.Context, look func() error) error {
	return poll(ctx, r.o.Timeout, shortPauses(), look)
}

// nodes gives the swarm's list, through the first manager that has it.
func (r *runner) nodes(ctx context.Context) ([]engine.Node, error) {
	var list []engine.Node
	err := r.through(ctx, func(e Engine) error {
		var err error
		list, err = e.Nodes(ctx)
		return err
	})
	return list, err
}

func (r *runner) awaitQuorum(ctx context.Context) error {
	return r.poll(ctx, func() error {
		list, err := r.nodes(ctx)
		if err != nil {
			return err
		}
		if q := quorumOf(list); !q.HasQuorum {
			return errors.New(q.String())
		}
		return nil
	})
}

// settle waits until a pending node is in its swarm. One that turns out to be
// in none, or in error, is a matter for the next plan.
func (r *runner) settle(ctx context.Context, node string) error {
	e, err := r.engine(node)
	if err != nil {
		return err
	}
	return r.poll(ctx, func() error {
		info, err := e.Info(ctx)
		switch {
		case err != nil:
			return err
		case info.State != engine.StatePending:
			return nil
		case info.Error != "":
			return errors.New("its engine says: " + info.Error)
		}
		return errors.New("it is still joining")
	})
}

// awaitAnswer waits until an engine that hangs answers, whatever it says.
func (r *runner) awaitAnswer(ctx context.Context, node string) error {
	e, err := r.engine(node)
	if err != nil {
		return err
	}
	return poll(ctx, min(r.o.Timeout, HangTimeout), shortPauses(), func() error {
		_, err := e.Info(ctx)
		return err
	})
}

// ask asks a node anew in the background, after a step has changed what it
// is: its answer is there, or on its way, when await wants it.
func (r *runner) ask(ctx context.Context, node string) {
	at := slices.IndexFunc(r.targets, func(t Target) bool { return t.Name == node })
	if at < 0 || r.targets[at].Engine == nil {
		return
	}
	r.mu.Lock()
	r.asked[at]++
	turn := r.asked[at]
	r.mu.Unlock()
	r.asking.Go(func() {
		info, err := r.targets[at].Engine.Info(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.asked[at] == turn { // else a later answer counts
			r.facts[at] = fact{info: info, err: err, reached: true}
		}
	})
}

// await waits until every node is Ready and every manager Reachable, going by
// the ids that the nodes' own engines tell.
func (r *runner) await(ctx context.Context, s awaitStep) error {
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

// lacking names the nodes that are not what s waits for, and why as far as
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

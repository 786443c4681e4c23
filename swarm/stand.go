package swarm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// Stand waits until the named nodes, which have just been started, are back in
// the swarm that they are in: each Ready, managers Reachable, with a leader. A
// node that is in none is content with that. It never changes anything. doing
// is told what is still missing, and may be nil.
//
// The error is a *trouble.Error: "swarm-locked" where managers wait for their
// key, "swarm-not-standing" where a node has given up or the timeout is over,
// with what is missing; both with ExitUnfinished. The view is the last one.
func (c *Cluster) Stand(ctx context.Context, nodes []string, timeout time.Duration, doing func(missing string)) (View, error) {
	var v View
	var missing []string
	hopeless := false
	pauses := longPauses()
	pauses.before = func(error) {
		if doing != nil {
			doing(strings.Join(missing, "; "))
		}
	}
	err := poll(ctx, timeout, pauses, func() error {
		v = c.Observe(ctx)
		missing, hopeless = v.notStanding(nodes)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case len(missing) == 0:
			return nil
		case hopeless:
			return finalError{errUnhealthy}
		}
		return errUnhealthy
	})
	if errors.Is(err, errUnhealthy) {
		return v, notStandingError(v, nodes, missing, timeout, hopeless)
	}
	return v, err
}

var errUnhealthy = errors.New("not healthy")

// notStanding says what each of the nodes lacks; hopeless tells that none of
// it will come by itself. Where managers are locked and there is no leader, the
// others wait for them.
func (v View) notStanding(nodes []string) (missing []string, hopeless bool) {
	hopeless, locked := true, false
	for _, n := range v.Nodes {
		if !slices.Contains(nodes, n.Name) {
			continue
		}
		why, final := n.notStanding(v.Quorum.HasQuorum)
		if why == "" {
			continue
		}
		missing = append(missing, n.Name+": "+why)
		hopeless, locked = hopeless && final, locked || n.State == StateLocked
	}
	return missing, hopeless || locked && !v.Quorum.HasQuorum
}

// notStanding says what a node lacks; final that it will not come by itself.
func (n NodeView) notStanding(leader bool) (why string, final bool) {
	says := func(why string) string {
		if n.Err == nil {
			return why
		}
		return strings.TrimPrefix(n.Err.Error(), n.Name+": ")
	}
	switch n.State {
	case StateInactive, StateForeign:
		return "", false
	case StateLocked:
		return "it waits for the unlock key", true
	case StateError:
		return says("its engine reports swarm state error"), true
	case StateRemoved:
		return "it was removed from the swarm's node list", true
	case StateMember:
	default:
		return says("it is " + string(n.State)), false
	}
	switch {
	case !leader:
		return "the swarm has no leader yet", false
	case !n.Listed:
		return "not in the swarm's list", false
	case n.Status != engine.NodeReady:
		return "its status is " + string(n.Status), false
	case n.Role == lab.RoleManager && n.Reachability != engine.ReachabilityReachable:
		return "as a manager it is " + string(n.Reachability), false
	}
	return "", false
}

func notStandingError(v View, nodes, missing []string, timeout time.Duration, hopeless bool) error {
	var errs []error
	locked := false
	for _, n := range v.Nodes {
		if slices.Contains(nodes, n.Name) {
			errs = append(errs, n.Err)
			locked = locked || n.State == StateLocked
		}
	}
	e := &trouble.Error{
		ID: "swarm-not-standing", What: "nodes are running but the swarm is not healthy", Why: strings.Join(missing, "; "),
		Next: []string{"see where it stands: dcalab status", "then mend it: dcalab swarm bootstrap"},
		Exit: trouble.ExitUnfinished, Err: errors.Join(errs...),
	}
	if !hopeless {
		e.What += " after " + timeout.String()
	}
	if locked {
		e.ID, e.Next = "swarm-locked", []string{"give the key: dcalab swarm unlock"}
	}
	return e
}

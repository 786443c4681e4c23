package swarm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// Condition is something that a swarm is waited for to be.
type Condition struct {
	Name  string // "a leader": what is waited for
	Check func(View) Finding
}

// Finding is the result of checking a condition.
type Finding struct {
	Holds bool
	// Hopeless: it does not hold, and waiting does not help.
	Hopeless bool
	// Missing is what there is not yet, where it does not hold.
	Missing []string
}

// UnmetError is why Await gave up.
type UnmetError struct {
	// Conditions that did not hold at the last look, and what was missing.
	Conditions []string
	Missing    []string
	// Hopeless: it was given up before the timeout was over.
	Hopeless bool
	Timeout  time.Duration
}

func (e *UnmetError) Error() string {
	why := "waiting for " + strings.Join(e.Conditions, ", ") + ": " + strings.Join(e.Missing, "; ")
	if e.Hopeless {
		return why
	}
	return why + " (after " + e.Timeout.String() + ")"
}

// Await observes until all conditions hold, at least once, and gives the last
// view. The error is an *UnmetError where one of them is hopeless or the timeout
// is over, that of Options.Reconnect, or the context's.
func (c *Cluster) Await(ctx context.Context, timeout time.Duration, conditions ...Condition) (View, error) {
	pauses := longPauses()
	if c.o.Reconnect != nil {
		pauses = reconnectPauses()
	}
	return c.awaitWith(ctx, timeout, pauses, conditions...)
}

func (c *Cluster) awaitWith(ctx context.Context, timeout time.Duration, pauses pauses, conditions ...Condition) (View, error) {
	var v View
	unmet := &UnmetError{}
	pauses.before = func(error) { c.o.Waiting(unmet.Missing) }
	err := poll(ctx, timeout, pauses, func() error {
		if err := c.reconnect(ctx); err != nil {
			return finalError{err}
		}
		v = c.Observe(ctx)
		if ctx.Err() != nil {
			return finalError{ctx.Err()}
		}
		*unmet = UnmetError{Timeout: timeout}
		for _, condition := range conditions {
			f := condition.Check(v)
			if f.Holds {
				continue
			}
			unmet.Conditions = append(unmet.Conditions, condition.Name)
			unmet.Missing = append(unmet.Missing, f.Missing...)
			unmet.Hopeless = unmet.Hopeless || f.Hopeless
		}
		switch {
		case len(unmet.Conditions) == 0:
			return nil
		case unmet.Hopeless:
			return finalError{unmet}
		}
		return unmet
	})
	if errors.As(err, &unmet) {
		return v, unmet
	}
	return v, err
}

// patience tells, from now on, whether engines that hang are still waited for.
func patience() (patient func() bool) {
	began := time.Now()
	return func() bool { return time.Since(began) < HangTimeout }
}

// HasLeader holds where a manager answers with a leader behind it.
func HasLeader() Condition {
	return Condition{"a leader", func(v View) Finding {
		if v.Quorum.HasQuorum {
			return Finding{Holds: true}
		}
		return Finding{Missing: []string{v.Leaderless()}}
	}}
}

// Answers holds where the engines of these nodes, by short name, answer.
func Answers(nodes ...string) Condition {
	return Condition{"answers", ofNodes(nodes, func(n NodeView) string {
		if n.State.Answered() {
			return ""
		}
		return reason(n)
	})}
}

// Ready holds where the swarm's list calls these nodes Ready.
func Ready(nodes ...string) Condition {
	return Condition{"Ready", ofNodes(nodes, NodeView.unready)}
}

// Reachable holds where the leader reaches these nodes as managers.
func Reachable(nodes ...string) Condition {
	return Condition{"Reachable", ofNodes(nodes, NodeView.unreachable)}
}

// Connected holds where the swarm does not miss these nodes: it calls none Down,
// and the leader reaches the managers among them. A node that its list does not
// have is not missed.
func Connected(nodes ...string) Condition {
	return Condition{"connected", ofNodes(nodes, func(n NodeView) string {
		switch {
		case n.Listed && n.Status == engine.NodeDown:
			return n.unready()
		case n.Listed && n.Role == lab.RoleManager && n.Reachability == engine.ReachabilityUnreachable:
			return n.unreachable()
		}
		return ""
	})}
}

// HasLeft holds where the engines of these nodes say that they are in no swarm.
func HasLeft(nodes ...string) Condition {
	return Condition{"out of the swarm", ofNodes(nodes, func(n NodeView) string {
		if n.State == StateInactive {
			return ""
		}
		return "it is " + string(n.State)
	})}
}

// Named gives the condition of a name, as somebody types it: one of
// ConditionNames. nodes are those that it is about; where none are given, those
// of l that it can be about. ok is false for a name that is none.
func Named(name string, l *lab.Lab, nodes ...string) (c Condition, ok bool) {
	of := func(about func(lab.Node) bool) []string {
		var out []string
		for _, n := range l.Nodes {
			if len(nodes) == 0 && about(n) || slices.Contains(nodes, n.Name) {
				out = append(out, n.Name)
			}
		}
		return out
	}
	every := func(lab.Node) bool { return true }
	member := func(n lab.Node) bool { return n.Role != lab.RoleNone }
	switch name {
	case "leader", "quorum":
		return HasLeader(), true
	case "answers":
		return Answers(of(every)...), true
	case "ready":
		return Ready(of(member)...), true
	case "reachable":
		return Reachable(of(func(n lab.Node) bool { return n.Role == lab.RoleManager })...), true
	case "healthy":
		return Healthy(of(every)...), true
	case "left":
		return HasLeft(of(every)...), true
	}
	return Condition{}, false
}

// ConditionNames are the names that Named knows.
func ConditionNames() []string {
	return []string{"leader", "quorum", "answers", "ready", "reachable", "healthy", "left"}
}

// ofNodes checks each of the nodes: missing says what it lacks, if anything.
func ofNodes(nodes []string, missing func(NodeView) string) func(View) Finding {
	return func(v View) Finding {
		var f Finding
		for _, name := range nodes {
			n, ok := v.Node(name)
			why := "it is not a node of the lab"
			if ok {
				why = missing(n)
			}
			if why != "" {
				f.Missing = append(f.Missing, name+": "+why)
			}
		}
		f.Holds = len(f.Missing) == 0
		return f
	}
}

// unready says why the swarm's list does not call a node Ready; empty where it
// does.
func (n NodeView) unready() string {
	switch {
	case !n.Listed:
		return "not in the swarm's list"
	case n.Status != engine.NodeReady:
		return "its status is " + string(n.Status)
	}
	return ""
}

// unreachable says why a node is no manager that the leader reaches; empty where
// it is one.
func (n NodeView) unreachable() string {
	switch {
	case n.Reachability == engine.ReachabilityReachable:
		return ""
	case n.Role != lab.RoleManager:
		return "it is not a manager"
	}
	return "as a manager it is " + string(n.Reachability)
}

// Healthy holds where these nodes, which have just been started, are back in the
// swarm that they are in: each Ready, managers Reachable, with a leader. A node
// that is in none is healthy as it is. It is hopeless where nothing that is missing
// will come by itself; where managers are locked and there is no leader, the
// others wait for them.
func Healthy(nodes ...string) Condition {
	return Condition{"a healthy swarm", func(v View) Finding {
		var missing []string
		hopeless, locked := true, false
		for _, n := range v.Nodes {
			if !slices.Contains(nodes, n.Name) {
				continue
			}
			why, final := n.unhealthy(v.Quorum.HasQuorum)
			if why == "" {
				continue
			}
			missing = append(missing, n.Name+": "+why)
			hopeless, locked = hopeless && final, locked || n.State == StateLocked
		}
		if len(missing) == 0 {
			return Finding{Holds: true}
		}
		return Finding{Missing: missing, Hopeless: hopeless || locked && !v.Quorum.HasQuorum}
	}}
}

// unhealthy says what a node lacks to be healthy; final that it will not come
// by itself.
func (n NodeView) unhealthy(leader bool) (why string, final bool) {
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
	if !leader {
		return "the swarm has no leader yet", false
	}
	why = n.unready()
	if why == "" && n.Role == lab.RoleManager {
		why = n.unreachable()
	}
	return why, false
}

// QuorumKnown holds where there is a leader, and no manager hangs, so that it can
// be told how many failures the quorum tolerates. It holds, too, where that cannot come:
// there is no swarm, or the managers whose machines run are too few to elect a
// leader. It is hopeless where the lab has two swarms, and where too many of
// the managers wait for the unlock key. running tells whether a node's machine
// runs. Engines that hang are waited for until HangTimeout is over, from now.
func QuorumKnown(running func(node string) bool) Condition {
	patient := patience()
	return Condition{"a quorum that is known", func(v View) Finding {
		patient := patient()
		managers, alive, locked := 0, 0, 0
		for _, n := range v.Nodes {
			if n.State == StateLocked {
				locked++
			}
			outside := n.State == StateInactive || n.State == StateForeign
			if n.Role == lab.RoleManager || n.Role == "" && n.Want == lab.RoleManager && !outside {
				managers++
				if running(n.Name) && (!n.Hangs() || patient) {
					alive++
				}
			}
		}
		majority := Majority(max(managers, v.Quorum.Managers)) // there may be more than labs.yaml knows
		known := v.Quorum.HasQuorum && (!v.Hanging() || !patient)
		switch {
		case known || len(v.Swarms) == 0 || alive < majority:
			return Finding{Holds: true}
		case len(v.CandidateSwarms) > 0: // no election makes one of two swarms
			return Finding{Hopeless: true, Missing: []string{"one swarm"}}
		case v.Quorum.HasQuorum:
			return Finding{Missing: []string{"a manager that does not answer"}}
		}
		return Finding{Hopeless: alive-locked < majority, Missing: []string{"the swarm to elect a leader"}}
	}}
}

// MachinesAnswer holds where each node whose machine runs is reached: one that
// boots answers soon, and one that goes down is down. After the timeout, from now,
// it holds as it is. For running see QuorumKnown.
func MachinesAnswer(timeout time.Duration) func(running func(node string) bool) Condition {
	began := time.Now()
	return func(running func(node string) bool) Condition {
		return Condition{"machines that answer", func(v View) Finding {
			var f Finding
			for _, n := range v.Nodes {
				if n.State == StateUnreachable && running(n.Name) && time.Since(began) < timeout {
					f.Missing = append(f.Missing, n.Name+", which is booting or going down, or does not answer")
				}
			}
			f.Holds = len(f.Missing) == 0
			return f
		}}
	}
}

// MembersAnswer holds where there is a leader, and no member hangs, so that all
// can be told to leave. It holds, too, where no leader can come: too few managers of the
// lab's swarm run to elect one. For running, and for engines that hang, see
// QuorumKnown.
func MembersAnswer(running func(node string) bool) Condition {
	patient := patience()
	return Condition{"members that answer", func(v View) Finding {
		patient := patient()
		alive, hanging := 0, false
		for _, n := range v.Nodes {
			if n.Cluster != v.Cluster {
				continue
			}
			hanging = hanging || n.Hangs() && patient
			if n.Role == lab.RoleManager && n.State != StateLocked && running(n.Name) && (!n.Hangs() || patient) {
				alive++
			}
		}
		switch {
		case v.Cluster == "":
		case !v.Quorum.HasQuorum && alive >= v.Quorum.Majority:
			return Finding{Missing: []string{"the swarm to elect a leader"}}
		case hanging:
			return Finding{Missing: []string{"a node that does not answer"}}
		}
		return Finding{Holds: true}
	}}
}

package swarm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"

	"github.com/dcalab/dcalab/trouble"
)

// AfterRemoving is the quorum once these managers have been taken out of raft
// (demoted, removed): the majority shrinks with them.
func (v View) AfterRemoving(nodes ...string) Quorum {
	hit, reachable := managersAmong(v, nodes)
	return QuorumOf(v.Quorum.Managers-len(hit), v.Quorum.Reachable-reachable)
}

// AfterStopping is the quorum once these managers no longer answer (halted,
// killed, cut off): they stay members of raft, so that the majority stays what
// it is.
func (v View) AfterStopping(nodes ...string) Quorum {
	_, reachable := managersAmong(v, nodes)
	return QuorumOf(v.Quorum.Managers, v.Quorum.Reachable-reachable)
}

// GuardRemoval refuses to take managers out of raft (demote, remove, leave)
// where the rest would be no quorum, or nobody. Nodes are short names, full
// names or ids; those that are no managers count for nothing. The error is a
// *trouble.Error with ID "quorum-would-be-lost" or "last-manager" and the
// arithmetic in it. Where there is no quorum already, nothing can be lost, and
// nothing is refused but the last manager.
func (v View) GuardRemoval(nodes ...string) error {
	hit, reachable := managersAmong(v, nodes)
	if len(hit) == 0 {
		return nil
	}
	who := strings.Join(hit, ", ")
	if len(hit) >= v.Quorum.Managers {
		return &trouble.Error{
			ID: "last-manager", Exit: trouble.ExitRefused,
			What: "refused to remove " + who + " from the managers",
			Why:  "a swarm without a manager is lost, with everything that runs in it",
			Next: []string{"make another node a manager first: dcalab promote NODE"},
		}
	}
	after := v.AfterRemoving(nodes...)
	if !v.Quorum.HasQuorum || after.HasQuorum {
		return nil
	}
	return &trouble.Error{
		ID: "quorum-would-be-lost", Exit: trouble.ExitRefused,
		What: "refused to remove " + who + " from the managers",
		Why: fmt.Sprintf("the swarm has %s, %d reachable; without %s it has %d, %d reachable, and a majority of %d is required",
			managers(v.Quorum.Managers), v.Quorum.Reachable, who, after.Managers, v.Quorum.Reachable-reachable, after.Majority),
		Next: []string{"bring back the managers that do not answer, or demote one of them instead: dcalab status"},
	}
}

// GuardStopping refuses to stop managers (halt, destroy, kill, partition)
// where those that stay reachable would be no quorum. Otherwise as
// GuardRemoval.
func (v View) GuardStopping(nodes ...string) error {
	hit, reachable := managersAmong(v, nodes)
	after := v.AfterStopping(nodes...)
	if reachable == 0 || !v.Quorum.HasQuorum || after.HasQuorum {
		return nil
	}
	who := strings.Join(hit, ", ")
	next := "demote it first, so that the majority shrinks with it: dcalab demote " + strings.Join(hit, " ")
	if len(hit) >= v.Quorum.Managers { // the last one cannot be demoted
		next = "first make another node a manager in its place: dcalab promote NODE, dcalab demote " + strings.Join(hit, " ") + "; or stop the whole lab: dcalab halt"
	}
	return &trouble.Error{
		ID: "quorum-would-be-lost", Exit: trouble.ExitRefused,
		What: "refused to stop " + who,
		Why: fmt.Sprintf("the swarm has %s, %d reachable; without %s only %d would be reachable, and the majority of %d is %d",
			managers(v.Quorum.Managers), v.Quorum.Reachable, who, after.Reachable, after.Managers, after.Majority),
		Next: []string{next},
	}
}

// GuardRestarting refuses to restart the engine of a node where the swarm has
// no quorum, or loses it by that because another manager does not answer. With
// one or two managers every restart of one costs it for a moment.
func (v View) GuardRestarting(node string) error {
	if err := v.NeedManager(); err != nil {
		return err
	}
	err := v.GuardStopping(node)
	var t *trouble.Error
	if !errors.As(err, &t) || v.Quorum.Reachable == v.Quorum.Managers {
		return nil
	}
	t.What = "refused to restart the engine of " + node
	t.Next = []string{"bring back the managers that do not answer: dcalab status", "then continue: dcalab up --yes"}
	return t
}

// GuardDestroying is GuardStopping for nodes that will not come back. Where
// the quorum is lost already, or nobody could tell, it also refuses managers:
// a loss that starting them would undo would become permanent.
func (v View) GuardDestroying(nodes ...string) error {
	if v.Quorum.HasQuorum {
		return v.GuardStopping(nodes...)
	}
	dark := v.NoNodeAnswers(nodes...)
	// One that was promoted is known by the others, whatever labs.yaml calls it.
	managers := nodeNames(v.managers())
	var hit []string
	for _, n := range v.Nodes {
		silent := n.Want == lab.RoleManager && !n.State.Answered()
		named := slices.Contains(nodes, n.Name) || slices.Contains(nodes, n.Hostname)
		if errors.Is(n.Err, ErrAbsent) || n.State == StateInactive {
			continue // what it was is lost already
		}
		if named && (len(v.Swarms) > 0 || dark) && (slices.Contains(managers, n.Name) || silent) {
			hit = append(hit, n.Name)
		}
	}
	if len(hit) == 0 {
		return nil
	}
	why := "the swarm has no quorum now, and without this manager it may never have one again"
	if dark {
		why = "no node is reachable, so the quorum without this manager cannot be checked"
	}
	return &trouble.Error{
		ID: "quorum-would-be-lost", Exit: trouble.ExitRefused,
		What: "refused to destroy " + strings.Join(hit, ", "),
		Why:  why,
		Next: []string{"bring the managers back first: dcalab start", "to destroy it anyway: dcalab destroy --force " + strings.Join(hit, " ")},
	}
}

// NoNodeAnswers tells whether no node answers, so that nobody could tell of a swarm, and
// a machine that is not among the named ones exists.
func (v View) NoNodeAnswers(nodes ...string) bool {
	others := false
	for _, n := range v.Nodes {
		if n.State.Answered() {
			return false
		}
		if !slices.Contains(nodes, n.Name) && !slices.Contains(nodes, n.Hostname) && !errors.Is(n.Err, ErrAbsent) {
			others = true
		}
	}
	return others
}

// managersAmong gives the names of the managers that nodes mean, each once,
// and how many of them are reachable.
func managersAmong(v View, nodes []string) (names []string, reachable int) {
	seen := map[string]bool{}
	add := func(id, name string, reaches bool) {
		if seen[id] {
			return
		}
		seen[id] = true
		names = append(names, name)
		if reaches {
			reachable++
		}
	}
	for _, e := range v.entries() {
		if !e.IsManager() {
			continue
		}
		name := e.Hostname
		at := slices.IndexFunc(v.Nodes, func(n NodeView) bool { return n.NodeID == e.ID })
		if at >= 0 {
			name = v.Nodes[at].Name
		}
		if slices.ContainsFunc(nodes, func(want string) bool {
			return want == e.ID || at >= 0 && (want == v.Nodes[at].Name || want == v.Nodes[at].Hostname)
		}) {
			add(e.ID, name, v.reaches(e))
		}
	}
	return names, reachable
}

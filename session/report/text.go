package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
)

// What a status says in words.

// Cells are what a table shows of a node: name, machine, engine, role,
// availability, state, address.
func (n Node) Cells() []string {
	role := string(n.Swarm.Role)
	switch {
	case n.Swarm.Leader:
		role += " (Leader)"
	case n.Swarm.Reachability == string(engine.ReachabilityReachable) && n.Machine == machine.StatusHalted:
		// The swarm has not missed it yet.
	case n.Swarm.Reachability != "":
		role += " (" + title(n.Swarm.Reachability) + ")"
	}
	state := string(n.Swarm.State)
	if n.Swarm.State == swarm.StateMember && n.Swarm.Status != "" {
		state = title(n.Swarm.Status)
	}
	switch {
	case n.Swarm.Status == "down" && !n.Swarm.State.Answered():
		state = "Down" // a node that answers knows better: locked, pending, error
	case n.Machine != machine.StatusRunning:
		state = ""
	}
	return []string{n.Name, string(n.Machine), dash(n.Engine), dash(role), dash(title(n.Swarm.Availability)), dash(state), n.IP}
}

// MoreCells are those of a wide table: host name, id in the swarm, the days that
// the certificate is still good.
func (n Node) MoreCells() []string {
	days := ""
	if n.CertificateDaysLeft != nil {
		days = fmt.Sprintf("%d days", *n.CertificateDaysLeft)
	}
	return []string{n.Hostname, dash(n.Swarm.ID), dash(days)}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Notices are faults, what is wrong with nodes, and the warnings. That there is no
// leader, QuorumLine says for all of them.
func (r Status) Notices() []string {
	var out []string
	for _, f := range r.Faults {
		out = append(out, f.Notice())
	}
	for _, n := range r.Nodes {
		why := strings.TrimPrefix(n.Error, n.Name+": ")
		switch {
		case n.Error == "" || n.Machine != machine.StatusRunning || strings.Contains(n.Error, "does not have a leader"):
			continue
		case n.Swarm.State == swarm.StateLocked: // Docker's words know nothing of other nodes
			why = "it waits for the swarm's unlock key: dcalab swarm unlock"
		case n.Swarm.State == Electing:
			why = "its engine runs, and waits for the swarm to elect a leader"
		case n.Swarm.State == Waiting:
			why = "its engine runs, and did not answer in time; an engine does that while its leader or its role changes"
		case n.Swarm.State == Asking:
			continue
		}
		out = append(out, n.Name+": "+why)
	}
	return append(out, r.Warnings...)
}

// QuorumLine says how many failures the managers tolerate, and what would let
// them tolerate more. What to do where there is no leader, the ailments say.
func (r Status) QuorumLine() string {
	v := r.View
	q := v.Quorum
	switch {
	case !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return !errors.Is(n.Err, swarm.ErrAbsent) }):
		return "no swarm yet: dcalab up --swarm"
	case v.Election():
		return v.Leaderless()
	case !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return n.State.Answered() || errors.Is(n.Err, engine.ErrHangs) }):
		if slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return errors.Is(n.Err, swarm.ErrNotYet) }) {
			return "no engine has answered yet"
		}
		return "no engine answers: bring the machines up with dcalab up"
	}
	if len(v.Swarms) == 0 && q.Managers == 0 {
		return "no swarm yet: dcalab swarm bootstrap"
	}
	if q.Managers > 0 && !q.HasQuorum {
		if len(v.Locked()) > 0 {
			return v.Leaderless() + "; unlock the managers: dcalab swarm unlock"
		}
		return v.Leaderless()
	}
	line := "quorum: " + q.String()
	switch q.Managers {
	case 1:
		line += "\n  with three managers the swarm survives the loss of one: dcalab promote NODE1 NODE2"
	case 2:
		line += "\n  with a third manager the swarm survives the loss of one: dcalab promote NODE"
	}
	return line
}

// Leader is the leader's name; empty where there is none.
func (r Status) Leader() string { return r.View.Leader }

// Labels are those of a node in the swarm.
func (r Status) Labels(node string) map[string]string {
	n, _ := r.View.Node(node)
	return n.Labels
}

// Unmet is what keeps the swarm, as far as the nodes shown go, from being what l
// wants: machines that do not run, nodes that are not healthy members, and what
// dcalab swarm bootstrap would do. It is empty where all is as wanted.
func (r Status) Unmet(l *lab.Lab) []string {
	var out, members []string
	for _, n := range r.Nodes {
		switch want, ok := l.Node(n.Name); {
		case n.Machine != machine.StatusRunning:
			out = append(out, fmt.Sprintf("%s: its machine is %s", n.Name, n.Machine))
		case !n.Swarm.State.Answered():
			out = append(out, n.Name+": its engine does not answer")
		case ok && want.Role != lab.RoleNone:
			members = append(members, n.Name)
		}
	}
	conditions := []swarm.Condition{swarm.Healthy(members...), swarm.Ready(members...)}
	if len(members) > 0 {
		conditions = append(conditions, swarm.HasLeader())
	}
	for _, c := range conditions {
		for _, line := range c.Check(r.View).Missing {
			if name, _, _ := strings.Cut(line, ":"); !slices.ContainsFunc(out, func(o string) bool { return strings.HasPrefix(o, name+":") }) {
				out = append(out, line)
			}
		}
	}
	if len(out) > 0 {
		return out
	}
	plan, err := swarm.PlanBootstrap(l, r.View, swarm.PlanOptions{})
	if err != nil {
		return []string{err.Error()}
	}
	for _, step := range plan.Steps() {
		if step.Kind() == swarm.KindAwait {
			continue // it follows the others
		}
		if step.Node() == "" {
			out = append(out, step.String())
		} else if slices.ContainsFunc(r.Nodes, func(n Node) bool { return n.Name == step.Node() }) {
			out = append(out, step.Node()+": "+step.String())
		}
	}
	return out
}

package swarm

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

type planner struct {
	lab   *lab.Lab
	v     View
	taken []string
	only  []string
	// ignoreHung are nodes that hang and are not waited for.
	ignoreHung []string
	out        Plan
}

func (p *planner) checkTaken() error {
	for _, name := range p.taken {
		if n, ok := p.lab.Node(name); !ok || n.Name != name {
			return &trouble.Error{ID: "no-such-node", Exit: trouble.ExitUsage,
				What: "take over " + name, Why: "the lab has no node of that name",
				Next: []string{"nodes of the lab: " + strings.Join(p.lab.NodeNames(), ", ")}}
		}
	}
	return nil
}

// narrow makes the planner blind to all nodes but those that it is to care
// for: what the lab gives no role is left alone everywhere.
func (p *planner) narrow() {
	if len(p.only) == 0 {
		return
	}
	p.v.Nodes = slices.Clone(p.v.Nodes)
	for i := range p.v.Nodes {
		if n := &p.v.Nodes[i]; !slices.Contains(p.only, n.Name) {
			n.Want = lab.RoleNone
		}
	}
	p.v.Stale = slices.DeleteFunc(slices.Clone(p.v.Stale), func(e Entry) bool { return !slices.Contains(p.only, e.Lab) })
	p.v.Settings = nil
}

// refuseAside: a new swarm would begin over what may be all that is left of another.
func (p *planner) refuseAside() error {
	aside := p.pick(func(n NodeView) bool {
		at := slices.IndexFunc(p.v.labNodes, func(m Node) bool { return m.Name == n.Name })
		return at >= 0 && p.v.facts[at].aside && n.Want != lab.RoleNone
	})
	if p.v.Cluster != "" {
		return nil
	}
	for _, f := range p.v.facts {
		if f.noAside != nil { // it may be there
			return f.noAside
		}
	}
	if len(aside) == 0 {
		return nil
	}
	var next []string
	for _, n := range aside {
		next = append(next, "to give up the data of "+n.Name+": dcalab reset "+n.Name)
	}
	return &trouble.Error{ID: "swarm-set-aside", Exit: trouble.ExitRefused, Where: named(aside),
		What: "refused to start a new swarm",
		Why:  "its engine is in no swarm, and a swarm's data is in /var/lib/docker/swarm, which a new one would replace: a recovery or a restore was cut short",
		Next: append([]string{"go on with the swarm that was: dcalab swarm recover"}, next...)}
}

// refuseForeignSwarm: two swarms that could both be the lab's, or nodes in a
// swarm that is not.
func (p *planner) refuseForeignSwarm() error {
	if len(p.v.CandidateSwarms) > 0 {
		var next []string
		for _, h := range p.v.CandidateSwarms {
			var others []string
			for _, other := range p.v.CandidateSwarms {
				if other.Cluster != h.Cluster {
					others = append(others, other.Nodes...)
				}
			}
			next = append(next, fmt.Sprintf("to keep the swarm of %s: dcalab swarm bootstrap --take-over %s",
				strings.Join(h.Nodes, ", "), strings.Join(others, ",")))
		}
		return &trouble.Error{ID: "two-swarms", Exit: trouble.ExitRefused,
			What: "refused to choose between two swarms",
			Why:  "managers of the lab are in more than one: " + describeSwarms(p.v.CandidateSwarms) + "; what runs in the one that is not kept is lost",
			Next: next}
	}
	foreign := groupBySwarm(p.v.Nodes, func(n NodeView) bool {
		return n.State == StateForeign && n.Want != lab.RoleNone && !slices.Contains(p.taken, n.Name)
	})
	if len(foreign) == 0 {
		return nil
	}
	var names []string
	why := describeSwarms(foreign) + ", which is not the lab's; what runs there would be lost"
	for _, h := range foreign {
		names = append(names, h.Nodes...)
		if left := formerManagers(p.v, h.Cluster); len(left) > 0 {
			why += "; " + strings.Join(left, ", ") + ", which managed " + h.Cluster + ", left it, so nobody can manage it any more"
		}
	}
	return &trouble.Error{ID: "foreign-swarm", Exit: trouble.ExitRefused, Where: strings.Join(names, ", "),
		What: "refused to take a node out of another swarm",
		Why:  why,
		Next: []string{
			"to take it over anyway: dcalab swarm bootstrap --take-over " + strings.Join(names, ","),
			"or leave that swarm by hand: docker swarm leave",
		}}
}

// leftOut names the nodes that do not answer and are not waited for, and the
// nodes that are taken over although they need not be.
func (p *planner) leftOut() {
	waited := map[string]bool{}
	for _, s := range p.out.Steps() {
		waited[s.Node()] = waited[s.Node()] || s.Kind() == KindWait
	}
	for _, n := range p.v.Nodes {
		if n.Want != lab.RoleNone && !n.State.Answered() && !waited[n.Name] {
			left := Unfinished{Node: n.Name, Why: reason(n), Err: n.Err}
			if n.outOfRaft() { // what its error advises, to start it, would be wrong
				left.Err = nil
				left.Why += "; it was a manager, and the swarm goes on without it"
				left.next = "recreate it: dcalab destroy --force " + n.Name + ", then dcalab up --swarm"
			}
			p.out.Unfinished = append(p.out.Unfinished, left)
		}
		if slices.Contains(p.taken, n.Name) && n.State != StateForeign && !p.mustRejoin(n) {
			p.out.Warnings = append(p.out.Warnings, fmt.Sprintf("%s is not taken over: it is %s, and in no other swarm", n.Name, n.State))
		}
	}
}

func reason(n NodeView) string {
	if n.Err != nil {
		return cause(n.Name, n.Err)
	}
	return string(n.State)
}

func (p *planner) pick(keep func(NodeView) bool) []NodeView {
	var out []NodeView
	for _, n := range p.v.Nodes {
		if keep(n) {
			out = append(out, n)
		}
	}
	return out
}

func (p *planner) node(n NodeView) lab.Node {
	w, _ := p.lab.Node(n.Name)
	return w
}

func named(nodes []NodeView) string {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

func wanted(role lab.Role) func(NodeView) bool {
	return func(n NodeView) bool { return n.Want == role }
}

// planNewSwarm plans a new swarm, where no node that labs.yaml calls manager is in
// one. A wanted manager that cannot be asked may hold the lab's swarm: a
// second one is never started beside it.
func (p *planner) planNewSwarm() error {
	managers := p.pick(wanted(lab.RoleManager))
	var silent, locked, pending, broken []NodeView
	for _, n := range managers {
		switch n.State {
		case StateUnreachable, StateEngineDown:
			if !errors.Is(n.Err, ErrAbsent) {
				silent = append(silent, n)
			}
		case StateLocked:
			locked = append(locked, n)
		case StatePending:
			pending = append(pending, n)
		case StateError:
			if !p.neverMember(n) {
				broken = append(broken, n)
			}
		}
	}
	switch {
	case len(silent) > 0:
		var errs []error
		for _, n := range silent {
			errs = append(errs, n.Err)
		}
		return &trouble.Error{ID: "manager-not-answering", Exit: trouble.ExitRefused, Where: named(silent),
			What: "refused to start a new swarm",
			Why:  fmt.Sprintf("%s may hold the lab's swarm already, and does not answer: %s", named(silent), reason(silent[0])),
			Next: []string{"start it: dcalab up " + strings.ReplaceAll(named(silent), ", ", " "), "or, if it is gone for good, recreate it: dcalab destroy --force " + strings.ReplaceAll(named(silent), ", ", " ") + ", then dcalab up"},
			Err:  errors.Join(errs...)}
	case len(locked) > 0:
		return p.v.LockedError(locked)
	case len(broken) > 0:
		return inErrorError(broken)
	case len(pending) > 0:
		p.waitFor(pending)
		return nil
	}
	leaving := p.leave()
	var first *NodeView
	for _, clean := range []bool{true, false} {
		for i := range managers {
			if n := &managers[i]; first == nil && n.State.Answered() && (n.State == StateInactive) == clean {
				first = n
			}
		}
	}
	if first == nil && len(managers) > 0 {
		next := []string{"create it: dcalab up " + strings.ReplaceAll(named(managers), ", ", " ")}
		if !slices.ContainsFunc(p.v.Nodes, func(n NodeView) bool { return !errors.Is(n.Err, ErrAbsent) }) {
			next = []string{"create the lab's nodes: dcalab up --swarm"}
		}
		return &trouble.Error{ID: "managers-absent", Exit: trouble.ExitRefused, What: "start a swarm",
			Why:  "no machine exists for a node with role: manager in labs.yaml (" + named(managers) + ")",
			Next: next, Err: ErrAbsent}
	}
	if first == nil {
		return &trouble.Error{ID: "no-manager", Exit: trouble.ExitConfig, What: "start a swarm",
			Why: "no node in labs.yaml has role: manager"}
	}
	s, w := p.lab.Swarm, p.node(*first)
	opts := engine.InitOptions{
		Advertise:    first.Addr.String(),
		Pools:        s.DefaultAddrPool,
		SubnetSize:   s.SubnetSize,
		DataPathPort: s.DataPathPort,
		Autolock:     s.Autolock,
		Availability: engine.Availability(w.Availability),
		CertExpiry:   s.CertExpiry,
		TaskHistory:  s.TaskHistory,
	}
	p.out.stage("leave", leaving)
	p.out.stage("init", []Step{initStep{on: on(first.Name), Options: opts}})
	joining := p.join(first.Name)
	p.out.stage("join", joining)
	p.out.stage("update", p.update(append(joining, initStep{on: on(first.Name)})))
	p.await(append([]string{first.Name}, nodesOf(joining)...))
	return nil
}

// neverMember: the node certainly holds no swarm's state, so that leaving
// loses nothing but a join that failed.
func (p *planner) neverMember(n NodeView) bool {
	at := slices.IndexFunc(p.v.labNodes, func(m Node) bool { return m.Name == n.Name })
	return at >= 0 && p.v.facts[at].noCert
}

func (p *planner) waitFor(nodes []NodeView) {
	var steps []Step
	for _, n := range nodes {
		steps = append(steps, waitStep{on(n.Name), n.hung()})
	}
	p.out.stage("wait", steps)
}

// planElection plans to wait for an election, where enough managers answer for
// one to come, and refuses otherwise.
func (p *planner) planElection() error {
	q := p.v.Quorum
	ours := func(s State) []NodeView {
		return p.pick(func(n NodeView) bool {
			// Of a join of some nodes the others have no part in the plan.
			return n.State == s && (n.Cluster == p.v.Cluster || n.Cluster == "") && (n.Want != lab.RoleNone || n.Role == lab.RoleManager)
		})
	}
	locked, broken, pending := ours(StateLocked), ours(StateError), ours(StatePending)
	if q.Managers > 0 && q.Reachable >= q.Majority {
		p.out.stage("wait", []Step{awaitQuorumStep{}})
		return nil
	}
	// A call that is under way when the leader is lost gets no answer for 20 s;
	// the next one tells more.
	if hung := p.hung(); len(hung) > 0 {
		p.waitFor(hung)
		return nil
	}
	// Pending nodes that have not become managers yet may be coming back.
	comingBack := 0
	for _, n := range pending {
		if !n.Control && n.Role == lab.RoleManager {
			comingBack++
		}
	}
	switch {
	case q.Managers > 0 && q.Reachable+comingBack >= q.Majority:
		p.waitFor(pending)
		return nil
	case len(locked) > 0:
		return p.v.LockedError(locked)
	}
	return p.noQuorum(broken)
}

// hung are the managers that do not answer a call that is under way.
func (p *planner) hung() []NodeView {
	return p.pick(func(n NodeView) bool {
		return n.hung() && n.Cluster == p.v.Cluster && !slices.Contains(p.ignoreHung, n.Name)
	})
}

// noQuorum says which managers are missing. broken are managers whose engine gave
// up on the swarm.
func (p *planner) noQuorum(broken []NodeView) error {
	q := p.v.Quorum
	var missing []string
	known := map[string]bool{}
	for _, n := range p.v.Nodes {
		known[n.Addr.String()] = true
		if !n.State.Answered() && n.Want == lab.RoleManager {
			missing = append(missing, fmt.Sprintf("%s (%s)", n.Name, reason(n)))
		}
	}
	lost := lostManagers(p.v)
	for _, n := range lost {
		if n.State.Answered() {
			missing = append(missing, n.Name+" (no longer in this swarm)")
		}
	}
	for _, n := range broken {
		missing = append(missing, fmt.Sprintf("%s (in error: %s)", n.Name, reason(n)))
	}
	for _, addr := range p.peers() {
		if !known[addr] {
			missing = append(missing, addr+" (not a node of the lab)")
		}
	}
	why := fmt.Sprintf("%d of %s answer, %d required", q.Reachable, managers(q.Managers), q.Majority)
	if q.Reachable == 0 {
		why = "none of its managers answers"
	}
	if len(missing) > 0 {
		why += "; missing: " + strings.Join(missing, ", ")
	}
	next := []string{
		"bring the missing managers back: dcalab up",
		"if they are lost for good: dcalab destroy --force NODE..., then dcalab swarm recover",
	}
	left := p.pick(func(n NodeView) bool { return n.Control && n.Cluster == p.v.Cluster })
	if q.Managers-len(lost) < q.Majority && len(left) > 0 {
		why += "; the majority cannot come back"
		next = []string{recoverFix}
	}
	return &trouble.Error{ID: "no-quorum", Exit: trouble.ExitRefused,
		What: "refused to change a swarm without a quorum", Why: why, Next: next}
}

// lostManagers are the managers of the lab's swarm that cannot come back into
// it: their machines are gone or were recreated, or they left it.
func lostManagers(v View) []NodeView {
	return slices.DeleteFunc(v.managers(), func(n NodeView) bool {
		return !errors.Is(n.Err, ErrAbsent) && n.State != StateInactive && (n.State != StateForeign || n.Cluster == v.Cluster)
	})
}

// peers are the addresses of all the managers that nodes of the lab's swarm
// know of.
func (p *planner) peers() []string {
	seen := map[string]bool{}
	for i, n := range p.v.Nodes {
		if n.Cluster != p.v.Cluster {
			continue
		}
		for _, peer := range p.v.facts[i].info.Remotes {
			if host, _, err := net.SplitHostPort(peer.Addr); err == nil {
				seen[host] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// LockedError is why nothing can be changed in a swarm whose managers, these, wait for
// its key.
func (v View) LockedError(nodes []NodeView) *trouble.Error {
	next := []string{"enter the unlock key: dcalab swarm unlock"}
	if slices.ContainsFunc(v.managers(), func(n NodeView) bool { return n.State == StateUnreachable && !errors.Is(n.Err, ErrAbsent) }) {
		next = []string{"start the managers that are halted: dcalab start", "or enter the unlock key: dcalab swarm unlock"}
	}
	return &trouble.Error{ID: "locked", Exit: trouble.ExitRefused, Where: named(nodes),
		What: "the swarm is locked",
		Why:  "its managers were restarted with autolock on, and no unlocked manager is left to give the key",
		Next: next, Err: ErrLocked}
}

// ErrLocked is in the chain of LockedError.
var ErrLocked = errors.New("managers wait for the unlock key")

func inErrorError(nodes []NodeView) error {
	return &trouble.Error{ID: "manager-in-error", Exit: trouble.ExitRefused, Where: named(nodes),
		What: "refused to start a new swarm",
		Why:  fmt.Sprintf("the engine of %s reports swarm state error, and may hold the only copy of its data: %s", nodes[0].Name, reason(nodes[0])),
		Next: []string{
			"read the engine's log: dcalab ssh " + nodes[0].Name + " -- sudo tail /var/log/docker.log    # or: sudo journalctl -u docker",
			"to give that swarm up: dcalab ssh " + nodes[0].Name + " -- docker swarm leave --force",
		},
		Err: nodes[0].Err}
}

package swarm

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// planMembers plans for a swarm that can be changed.
func (p *planner) planMembers() {
	var settle []Step
	for _, n := range p.v.Nodes {
		if n.Want == lab.RoleNone {
			continue
		}
		switch {
		case p.mustRejoin(n):
		case n.State == StateLocked:
			settle = append(settle, unlockStep{on: on(n.Name)})
		case n.State == StatePending:
			settle = append(settle, waitStep{on: on(n.Name)})
		case n.Hangs() && !slices.Contains(p.ignoreHung, n.Name) && (n.Cluster == p.v.Cluster || n.Cluster == ""): // what it is, the next plan knows
			settle = append(settle, waitStep{on(n.Name), true})
		}
	}
	drop, late := p.drop()
	leaving := p.leave()
	joining := p.join("")
	var promote []Step
	for _, n := range p.v.Nodes {
		if n.Want == lab.RoleManager && n.State == StateMember && n.Listed && n.Role == lab.RoleWorker && n.WantedRole != lab.RoleManager {
			promote = append(promote, promoteStep{on: on(n.Name), ID: n.NodeID})
		}
	}
	p.out.stage("settle", settle)
	p.out.stage("clear", append(drop, leaving...))
	p.out.stage("join", joining)
	p.out.stage("promote", promote)
	p.out.stage("update", p.update(joining))
	p.out.stage("clear", late)
	p.out.stage("configure", p.configure())
	p.await(nodesOf(joining))
}

// drop plans to remove stale entries, and those of nodes that are about to
// leave the lab's own swarm. A dead manager counts against the quorum until
// it is demoted, so that this comes before any join; late are those that hold
// what their nodes, which never came into raft, are to have again.
func (p *planner) drop() (steps, late []Step) {
	hold := p.late()
	var drops []removeEntryStep
	for _, e := range p.v.Stale {
		drops = append(drops, removeEntryStep{on(e.Lab), e.ID, e.IsManager() || e.Role == engine.RoleManager})
	}
	for _, n := range p.v.Nodes {
		if n.State != StateForeign && n.Listed && p.mustRejoin(n) {
			drops = append(drops, removeEntryStep{on(n.Name), n.NodeID, n.Role == lab.RoleManager || n.WantedRole == lab.RoleManager})
		}
	}
	// What the swarm itself would refuse is left out, one entry at a time.
	var ids []string
	for _, d := range drops {
		if _, holds := hold[d.ID]; holds {
			d.Manager = false // it never came into raft
			late = append(late, d)
			continue
		}
		if p.v.GuardRemoval(append(ids, d.ID)...) == nil {
			ids = append(ids, d.ID)
			steps = append(steps, d)
		}
	}
	return steps, late
}

// leave plans the leaving of nodes that have to join again: those taken over,
// those whose entry was removed from the node list, and those whose engine reports an error.
func (p *planner) leave() []Step {
	var steps []Step
	for _, n := range p.v.Nodes {
		if !p.mustRejoin(n) {
			continue
		}
		why := "taken over"
		switch n.State {
		case StateRemoved:
			why = "it was removed from there"
			if n.dissolved {
				why = "which was dissolved"
			}
		case StateError:
			why = "in error: " + reason(n)
		}
		steps = append(steps, leaveStep{on: on(n.Name), Cluster: n.Cluster, Why: why})
	}
	return steps
}

func (p *planner) mustRejoin(n NodeView) bool {
	if n.Want == lab.RoleNone {
		return false
	}
	switch n.State {
	case StateForeign:
		return slices.Contains(p.taken, n.Name)
	case StateRemoved:
		return true
	case StateError:
		return p.v.GuardRemoval(n.NodeID) == nil
	case StatePending, StateLocked:
		// It may never come back by itself: its key is lost, or it was killed right
		// after its promotion and demoted while it was down (measured on 20.10: its
		// raft log is empty, so it never learns that it was removed from raft; one
		// that had been a manager for longer comes back as a worker). Only the user
		// can know.
		return slices.Contains(p.taken, n.Name) && p.v.Quorum.HasQuorum && p.v.GuardRemoval(n.NodeID) == nil
	}
	return false
}

// join plans the joins, straight into the role that labs.yaml wants. Without a
// swarm that can be changed there is nobody to join, but for the one that is
// about to be started by the node named except.
func (p *planner) join(except string) []Step {
	var steps []Step
	for _, n := range p.v.Nodes {
		if n.Name == except || n.Want == lab.RoleNone || n.State != StateInactive && !p.mustRejoin(n) {
			continue
		}
		steps = append(steps, joinStep{on(n.Name), engine.Role(n.Want), n.Addr.String(), engine.Availability(p.node(n).Availability)})
	}
	return steps
}

// update plans the labels and the availability of members and of nodes that
// are about to be. Labels that labs.yaml does not name are left alone.
func (p *planner) update(arriving []Step) []Step {
	var steps []Step
	for _, n := range p.v.Nodes {
		w := p.node(n)
		s := updateStep{on: on(n.Name)}
		switch {
		case slices.ContainsFunc(arriving, func(a Step) bool { return a.Node() == n.Name }):
			// The availability goes with the init or the join.
			s.Labels = map[string]string{}
			maps.Copy(s.Labels, p.keptLabels(n))
			maps.Copy(s.Labels, w.Labels)
		case n.Want != lab.RoleNone && n.State == StateMember && n.Listed:
			s.ID = n.NodeID
			s.Labels = map[string]string{}
			for k, val := range p.keptLabels(n) {
				if _, ok := n.Labels[k]; !ok {
					s.Labels[k] = val
				}
			}
			for k, val := range w.Labels {
				if have, ok := n.Labels[k]; !ok || have != val {
					s.Labels[k] = val
				}
			}
			if w.Availability != "" && engine.Availability(w.Availability) != n.Availability {
				s.Availability = engine.Availability(w.Availability)
			}
		}
		if len(s.Labels) > 0 || s.Availability != "" {
			steps = append(steps, s)
		}
	}
	return steps
}

// configure plans the settings that can be changed, and warns of those that
// only the start of a swarm can set. What labs.yaml does not say stays as
// somebody has set it.
func (p *planner) configure() []Step {
	have := p.v.Settings
	if have == nil {
		return nil
	}
	want := p.lab.Swarm
	var set settings
	if !want.Unsaid.CertExpiry && want.CertExpiry > 0 && want.CertExpiry != have.CertExpiry {
		set.CertExpiry = &want.CertExpiry
	}
	if !want.Unsaid.TaskHistory && want.TaskHistory >= 0 && want.TaskHistory != have.TaskHistory {
		set.TaskHistory = &want.TaskHistory
	}
	if cut := p.pick(func(n NodeView) bool {
		return n.Role == lab.RoleManager && (n.State == StateLocked || !n.State.Answered())
	}); want.Unsaid.Autolock {
	} else if have.Autolock && !want.Autolock && len(cut) > 0 {
		// With autolock goes the key that these still need.
		p.out.Warnings = append(p.out.Warnings, fmt.Sprintf("autolock stays on for now: without it %s could no longer be unlocked", named(cut)))
	} else if want.Autolock != have.Autolock {
		set.Autolock = &want.Autolock
	}
	warn := func(what string, wanted, is any) {
		p.out.Warnings = append(p.out.Warnings, fmt.Sprintf("labs.yaml sets %s to %v, and the swarm has %v: only a new swarm can change that (dcalab swarm dissolve, then dcalab swarm bootstrap)", what, wanted, is))
	}
	if !want.Unsaid.DefaultAddrPool && len(want.DefaultAddrPool) > 0 && !slices.Equal(want.DefaultAddrPool, have.Pools) {
		is := fmt.Sprint(have.Pools)
		if len(have.Pools) == 0 {
			is = "Docker's own, 10.0.0.0/8"
		}
		warn("the address pools", want.DefaultAddrPool, is)
	}
	if !want.Unsaid.SubnetSize && want.SubnetSize > 0 && have.SubnetSize > 0 && want.SubnetSize != have.SubnetSize {
		warn("the subnet size", want.SubnetSize, have.SubnetSize)
	}
	if !want.Unsaid.DataPathPort && want.DataPathPort > 0 && have.DataPathPort > 0 && want.DataPathPort != have.DataPathPort {
		warn("the data path port", want.DataPathPort, have.DataPathPort)
	}
	if set.empty() {
		return nil
	}
	return []Step{configureStep{Want: set}}
}

// await plans the end: every node that answers Ready, every wanted manager
// Reachable. It is there only where something else is, or somebody is not.
func (p *planner) await(arriving []string) {
	s := awaitStep{}
	lacking := false
	for _, n := range p.v.Nodes {
		arrives := slices.Contains(arriving, n.Name)
		settles := n.State == StatePending || n.State == StateLocked
		if n.Want == lab.RoleNone || !arrives && !settles && n.State != StateMember {
			continue
		}
		s.Ready = append(s.Ready, n.Name)
		lacking = lacking || n.unready() != ""
		// A node that is only coming in may come as a worker; then the next plan
		// promotes it.
		coming := settles && n.Role != lab.RoleManager && n.WantedRole != lab.RoleManager
		if n.Want == lab.RoleManager && !coming {
			s.Reachable = append(s.Reachable, n.Name)
			lacking = lacking || n.unreachable() != ""
		}
	}
	if len(s.Ready) > 0 && (!p.out.Empty() || lacking) {
		p.out.stage("await", []Step{s})
	}
}

func nodesOf(steps []Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.Node())
	}
	return out
}

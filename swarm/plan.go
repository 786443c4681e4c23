package swarm

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// RaftPort is where managers speak to each other and nodes join (TCP).
const RaftPort = "2377"

// Stage is a group of steps that run at the same time.
type Stage struct {
	Name  string
	Steps []Step
}

// Unfinished is a node that the plan leaves as it is, and why.
type Unfinished struct {
	Node string
	Why  string
	Err  error

	again bool   // the node's own engine is to be asked again
	next  string // what a person can do about it
}

// Plan is what has to be done, in order. Printed, it is the dry run.
type Plan struct {
	Stages []Stage
	// Unfinished are nodes that cannot be brought where labs.yaml wants them
	// now (halted, for example).
	Unfinished []Unfinished
	Warnings   []string
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Stages) == 0 }

// Steps gives the steps of all stages, in order.
func (p Plan) Steps() []Step {
	var out []Step
	for _, s := range p.Stages {
		out = append(out, s.Steps...)
	}
	return out
}

// String lists the steps, a line each: "node01: join as worker, …".
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps() {
		if s.Node() != "" {
			b.WriteString(s.Node() + ": ")
		}
		b.WriteString(s.String() + "\n")
	}
	return b.String()
}

func (p *Plan) stage(name string, steps []Step) {
	if len(steps) > 0 {
		p.Stages = append(p.Stages, Stage{Name: name, Steps: steps})
	}
}

// settings are those settings of a swarm that can be changed after init; nil
// leaves one alone.
type settings struct {
	CertExpiry  *time.Duration
	TaskHistory *int
	Autolock    *bool
}

func (s settings) empty() bool { return s == settings{} }

func (s settings) String() string {
	var parts []string
	if s.CertExpiry != nil {
		parts = append(parts, "certificate expiry "+s.CertExpiry.String())
	}
	if s.TaskHistory != nil {
		parts = append(parts, fmt.Sprintf("task history %d", *s.TaskHistory))
	}
	if s.Autolock != nil {
		parts = append(parts, "autolock "+map[bool]string{true: "on", false: "off"}[*s.Autolock])
	}
	return strings.Join(parts, ", ")
}

func (s settings) apply(to *engine.SwarmSettings) {
	if s.CertExpiry != nil {
		to.CertExpiry = *s.CertExpiry
	}
	if s.TaskHistory != nil {
		to.TaskHistory = *s.TaskHistory
	}
	if s.Autolock != nil {
		to.Autolock = *s.Autolock
	}
}

// MakePlan says what has to be done to bring what v shows to what l wants. It
// is pure. Where a person must decide or do something first, it gives a
// *trouble.Error with ExitRefused instead, and nothing is touched: two-swarms,
// foreign-swarm, manager-not-answering, manager-in-error, no-quorum, locked.
//
// Where what is to be done depends on something that is still under way (an
// election, a join), the plan is to wait for that; the next plan has the rest.
func MakePlan(l *lab.Lab, v View, o Options) (Plan, error) {
	p := planner{lab: l, taken: o.TakeOver}
	if err := p.checkTaken(); err != nil {
		return Plan{}, err
	}
	p.v = v
	if len(o.TakeOver) > 0 {
		p.v = assemble(v.targets, v.facts, o.TakeOver)
	}
	if err := p.refuseStrangers(); err != nil {
		return Plan{}, err
	}
	p.leftOut()
	var err error
	switch {
	case p.v.Cluster == "":
		err = p.fresh()
	case !p.v.Quorum.HasQuorum:
		err = p.leaderless()
	default:
		p.grow()
	}
	if err != nil {
		return Plan{}, err
	}
	p.out.Warnings = append(p.out.Warnings, p.v.Warnings...)
	return p.out, nil
}

type planner struct {
	lab   *lab.Lab
	v     View
	taken []string
	out   Plan
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

// refuseStrangers: two swarms that could both be the lab's, or nodes in a
// swarm that is not.
func (p *planner) refuseStrangers() error {
	if len(p.v.Rivals) > 0 {
		var next []string
		for _, h := range p.v.Rivals {
			var others []string
			for _, other := range p.v.Rivals {
				if other.Cluster != h.Cluster {
					others = append(others, other.Nodes...)
				}
			}
			next = append(next, fmt.Sprintf("to keep the swarm of %s: dcalab swarm bootstrap --take-over %s",
				strings.Join(h.Nodes, ", "), strings.Join(others, ",")))
		}
		return &trouble.Error{ID: "two-swarms", Exit: trouble.ExitRefused,
			What: "refused to choose between two swarms",
			Why:  "managers of the lab are in more than one: " + describeHalves(p.v.Rivals) + "; what runs in the one that is not kept is lost",
			Next: next}
	}
	foreign := halves(p.v.Nodes, func(n NodeView) bool {
		return n.State == StateForeign && n.Want != lab.RoleNone && !slices.Contains(p.taken, n.Name)
	})
	if len(foreign) == 0 {
		return nil
	}
	var names []string
	for _, h := range foreign {
		names = append(names, h.Nodes...)
	}
	return &trouble.Error{ID: "foreign-swarm", Exit: trouble.ExitRefused, Where: strings.Join(names, ", "),
		What: "refused to take a node out of another swarm",
		Why:  describeHalves(foreign) + ", which is not the lab's; what runs there would be lost",
		Next: []string{
			"to take it over all the same: dcalab swarm bootstrap --take-over " + strings.Join(names, ","),
			"or leave that swarm by hand: docker swarm leave",
		}}
}

// leftOut names the nodes that do not answer, and the nodes that are taken
// over although they need not be.
func (p *planner) leftOut() {
	for _, n := range p.v.Nodes {
		if n.Want != lab.RoleNone && !n.State.Answered() {
			p.out.Unfinished = append(p.out.Unfinished, Unfinished{Node: n.Name, Why: reason(n), Err: n.Err})
		}
		if slices.Contains(p.taken, n.Name) && n.State != StateForeign && !p.leaves(n) {
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

// fresh plans a new swarm, where no node that labs.yaml calls manager is in
// one. A wanted manager that cannot be asked may hold the lab's swarm: a
// second one is never started beside it.
func (p *planner) fresh() error {
	managers := p.pick(wanted(lab.RoleManager))
	var silent, locked, pending, broken []NodeView
	for _, n := range managers {
		switch n.State {
		case StateUnreachable, StateEngineDown:
			silent = append(silent, n)
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
			Next: []string{"start it: dcalab up " + strings.ReplaceAll(named(silent), ", ", " "), "or, if it is gone for good: dcalab destroy " + strings.ReplaceAll(named(silent), ", ", " ")},
			Err:  errors.Join(errs...)}
	case len(locked) > 0:
		return lockedError(locked)
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
			if n := &managers[i]; first == nil && (n.State == StateInactive) == clean {
				first = n
			}
		}
	}
	if first == nil {
		return &trouble.Error{ID: "no-manager", Exit: trouble.ExitConfig, What: "start a swarm",
			Why: "labs.yaml calls no node a manager"}
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
	p.out.stage("init", []Step{initStep{on(first.Name), opts}})
	joining := p.join(first.Name)
	p.out.stage("join", joining)
	p.out.stage("update", p.update(append(joining, initStep{on: on(first.Name)})))
	p.await(append([]string{first.Name}, nodesOf(joining)...))
	return nil
}

// neverMember: the node certainly holds no swarm's state, so that leaving
// loses nothing but a join that failed.
func (p *planner) neverMember(n NodeView) bool {
	at := slices.IndexFunc(p.v.targets, func(t Target) bool { return t.Name == n.Name })
	return at >= 0 && p.v.facts[at].noCert
}

func (p *planner) waitFor(nodes []NodeView) {
	var steps []Step
	for _, n := range nodes {
		steps = append(steps, waitStep{on(n.Name)})
	}
	p.out.stage("wait", steps)
}

// leaderless plans to wait for an election, where enough managers answer for
// one to come, and refuses otherwise.
func (p *planner) leaderless() error {
	q := p.v.Quorum
	ours := func(s State) []NodeView {
		return p.pick(func(n NodeView) bool {
			return n.State == s && (n.Cluster == p.v.Cluster || n.Cluster == "") && n.Want != lab.RoleNone
		})
	}
	locked, broken, pending := ours(StateLocked), ours(StateError), ours(StatePending)
	if q.Managers > 0 && q.Reachable >= q.Majority {
		p.out.stage("wait", []Step{awaitQuorumStep{}})
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
		return lockedError(locked)
	}
	var missing []string
	known := map[string]bool{}
	for _, n := range p.v.Nodes {
		known[n.Addr.String()] = true
		if !n.State.Answered() && n.Want == lab.RoleManager {
			missing = append(missing, fmt.Sprintf("%s (%s)", n.Name, reason(n)))
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
	why := fmt.Sprintf("%d of %s answer, and %d are needed", q.Reachable, managers(q.Managers), q.Majority)
	if q.Reachable == 0 {
		why = "none of its managers answers"
	}
	if len(missing) > 0 {
		why += "; missing: " + strings.Join(missing, ", ")
	}
	return &trouble.Error{ID: "no-quorum", Exit: trouble.ExitRefused,
		What: "refused to change a swarm without a quorum", Why: why,
		Next: []string{
			"bring the missing managers back: dcalab up",
			"if they are lost for good, on a manager that is left: docker swarm init --force-new-cluster --advertise-addr ADDRESS",
		}}
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

func lockedError(nodes []NodeView) error {
	return &trouble.Error{ID: "locked", Exit: trouble.ExitRefused, Where: named(nodes),
		What: "the swarm is locked",
		Why:  "its managers were restarted with autolock on, and no other manager holds the key",
		Next: []string{"give the key: dcalab swarm unlock"}}
}

func inErrorError(nodes []NodeView) error {
	return &trouble.Error{ID: "manager-in-error", Exit: trouble.ExitRefused, Where: named(nodes),
		What: "refused to start a new swarm",
		Why:  fmt.Sprintf("the engine of %s gave up on its swarm, whose only copy it may hold: %s", nodes[0].Name, reason(nodes[0])),
		Next: []string{
			"look into the engine's log: dcalab ssh " + nodes[0].Name + " -- sudo journalctl -u docker",
			"to give that swarm up: dcalab ssh " + nodes[0].Name + " -- docker swarm leave --force",
		},
		Err: nodes[0].Err}
}

// grow plans for a swarm that can be changed.
func (p *planner) grow() {
	var settle []Step
	for _, n := range p.v.Nodes {
		if n.Want == lab.RoleNone {
			continue
		}
		switch {
		case p.leaves(n):
		case n.State == StateLocked:
			settle = append(settle, unlockStep{on(n.Name)})
		case n.State == StatePending:
			settle = append(settle, waitStep{on(n.Name)})
		}
	}
	drop := p.drop()
	leaving := p.leave()
	joining := p.join("")
	var promote []Step
	for _, n := range p.v.Nodes {
		if n.Want == lab.RoleManager && n.State == StateMember && n.Listed && n.Role == lab.RoleWorker && n.WantedRole != lab.RoleManager {
			promote = append(promote, promoteStep{on(n.Name), n.NodeID})
		}
	}
	p.out.stage("settle", settle)
	p.out.stage("clear", append(drop, leaving...))
	p.out.stage("join", joining)
	p.out.stage("update", append(promote, p.update(joining)...))
	p.out.stage("configure", p.configure())
	p.await(nodesOf(joining))
}

// drop plans to strike stale entries, and those of nodes that are about to
// leave the lab's own swarm. A dead manager counts against the quorum until
// it is demoted, so that this comes before any join.
func (p *planner) drop() []Step {
	var drops []dropStep
	for _, e := range p.v.Stale {
		drops = append(drops, dropStep{on(e.Lab), e.ID, e.IsManager() || e.Role == engine.RoleManager})
	}
	for _, n := range p.v.Nodes {
		if n.State != StateForeign && n.Listed && p.leaves(n) {
			drops = append(drops, dropStep{on(n.Name), n.NodeID, n.Role == lab.RoleManager || n.WantedRole == lab.RoleManager})
		}
	}
	// What the swarm itself would refuse is left out, one entry at a time.
	var steps []Step
	var ids []string
	for _, d := range drops {
		if p.v.GuardRemoval(append(ids, d.ID)...) == nil {
			ids = append(ids, d.ID)
			steps = append(steps, d)
		}
	}
	return steps
}

// leave plans the leaving of nodes that have to join again: those taken over,
// those that the swarm struck from its list, and those whose engine gave up.
func (p *planner) leave() []Step {
	var steps []Step
	for _, n := range p.v.Nodes {
		if !p.leaves(n) {
			continue
		}
		why := "taken over"
		switch n.State {
		case StateRemoved:
			why = "it was removed from there"
		case StateError:
			why = "in error: " + reason(n)
		}
		steps = append(steps, leaveStep{on(n.Name), n.Cluster, why})
	}
	return steps
}

func (p *planner) leaves(n NodeView) bool {
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
		// Raft may have let go of it while it was down, or its key may be lost:
		// then it never comes back by itself. Only the user can know.
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
		if n.Name == except || n.Want == lab.RoleNone || n.State != StateInactive && !p.leaves(n) {
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
			s.Labels = maps.Clone(w.Labels)
		case n.Want != lab.RoleNone && n.State == StateMember && n.Listed:
			s.ID = n.NodeID
			s.Labels = map[string]string{}
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
// only the start of a swarm can set.
func (p *planner) configure() []Step {
	have := p.v.Settings
	if have == nil {
		return nil
	}
	want := p.lab.Swarm
	var set settings
	if want.CertExpiry > 0 && want.CertExpiry != have.CertExpiry {
		set.CertExpiry = &want.CertExpiry
	}
	if want.TaskHistory >= 0 && want.TaskHistory != have.TaskHistory {
		set.TaskHistory = &want.TaskHistory
	}
	if want.Autolock != have.Autolock {
		set.Autolock = &want.Autolock
	}
	warn := func(what string, wanted, is any) {
		p.out.Warnings = append(p.out.Warnings, fmt.Sprintf("labs.yaml wants %s %v, and the swarm has %v: only a new swarm can change that (dcalab destroy, dcalab up --swarm)", what, wanted, is))
	}
	if len(want.DefaultAddrPool) > 0 && !slices.Equal(want.DefaultAddrPool, have.Pools) {
		warn("the address pools", want.DefaultAddrPool, have.Pools)
	}
	if want.SubnetSize > 0 && have.SubnetSize > 0 && want.SubnetSize != have.SubnetSize {
		warn("the subnet size", want.SubnetSize, have.SubnetSize)
	}
	if want.DataPathPort > 0 && have.DataPathPort > 0 && want.DataPathPort != have.DataPathPort {
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
		lacking = lacking || n.Status != engine.NodeReady
		// A node that is only coming in may come as a worker; then the next plan
		// promotes it.
		coming := settles && n.Role != lab.RoleManager && n.WantedRole != lab.RoleManager
		if n.Want == lab.RoleManager && !coming {
			s.Reachable = append(s.Reachable, n.Name)
			lacking = lacking || n.Reachability != engine.ReachabilityReachable
		}
	}
	if !p.out.Empty() || lacking && len(s.Ready) > 0 {
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

// Options of MakePlan and Apply.
type Options struct {
	// TakeOver names nodes (short names) that may be taken out of the swarm
	// that they are in, where that is not the lab's; and nodes that are pending
	// or locked and will not come back into the lab's by themselves, where it
	// keeps its quorum without them. They leave, and join anew.
	TakeOver []string
	// View is what was observed just now, for Apply to start from; nil makes it
	// observe first. MakePlan ignores it.
	View *View
	// Patience is how long Apply waits for a node to come into the swarm or to
	// get Ready; zero means a minute. MakePlan ignores it.
	Patience time.Duration
	// Progress is called as steps begin and end, from several goroutines at
	// once. May be nil. MakePlan ignores it.
	Progress func(Event)
}

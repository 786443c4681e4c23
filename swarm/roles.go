package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
	"github.com/dcalab/dcalab/trouble"
)

// ChangeOptions of Promote, Demote, Remove, SetAvailability and SetLabels.
type ChangeOptions struct {
	// Force leaves the refusal of a demotion that costs the quorum to the swarm
	// itself. The last manager is never demoted.
	Force bool
	// Gone: Remove removes the entries of nodes that do not answer, too, which
	// cannot leave by themselves.
	Gone bool
	// DryRun: nothing is done; Change.Steps says what would be.
	DryRun bool
	// View is what was observed just now; nil makes it observe first.
	View *View

	// former: a node that left in the middle of a promotion is meant, too.
	former bool
}

// Changed is one node that was to be changed.
type Changed struct {
	Name string // short name, or host name where it is none of the lab's
	ID   string
	// Already: it was so before; nothing was done.
	Already bool
}

// Change is what Promote, Demote, Remove, SetAvailability or SetLabels did.
type Change struct {
	Before, After Quorum
	Nodes         []Changed
	// Steps that were planned, in order, and what a person would type for them.
	Steps    []Step
	Lesson   lesson.Lesson
	Warnings []string
	View     View // at the end
}

// Promote makes managers of the named nodes (short name, full name, node id or
// the unique beginning of one) and waits until each is Reachable. A node that
// is a manager already is a success. Errors are of type *trouble.Error:
// no-swarm, nobody-answers, two-swarms, no-quorum, no-such-node, ambiguous-node, not-in-swarm,
// node-down, change-unfinished.
func (c *Cluster) Promote(ctx context.Context, names []string, o ChangeOptions) (Change, error) {
	o.former = true
	r, ch, err := c.beginChange(ctx, names, o, func(_ NodeView, named bool) bool { return named })
	if err != nil {
		return ch, err
	}
	var todo []member
	anew := map[string][]Step{}
	for i, m := range r.members {
		manages := m.IsManager() && m.Role == engine.RoleManager
		if n, ok := r.view.Node(m.name); ok && !manages {
			if steps, ok := r.view.rejoin(n, engine.RoleManager); ok {
				anew[m.name] = steps
				todo = append(todo, m)
				continue
			}
		}
		if !manages {
			m = r.awaitKnown(ctx, m)
		}
		switch {
		case manages:
			ch.Nodes[i].Already = true
			if m.Reachability != engine.ReachabilityReachable {
				ch.Warnings = append(ch.Warnings, m.name+" is a manager already, and does not answer the leader ("+string(m.Reachability)+")")
			}
		case r.down(m) != "":
			return ch, &trouble.Error{ID: "node-down", Exit: trouble.ExitRefused, Where: m.name,
				What: "refused to promote " + m.name,
				Why:  r.down(m) + ": as a manager that does not answer it would count against the quorum",
				Next: []string{"see where it stands: dcalab status", "start it, if it does not run: dcalab up " + m.name}}
		default:
			todo = append(todo, m)
		}
	}
	for _, m := range todo {
		if steps := anew[m.name]; steps != nil {
			ch.Steps = append(ch.Steps, steps...)
		} else {
			ch.Steps = append(ch.Steps, promoteStep{on(m.name), m.ID, true})
		}
	}
	ch.Lesson = r.view.Lesson(ch.Steps)
	if o.DryRun {
		return ch, nil
	}
	errs := make([]error, len(todo))
	each(len(todo), func(i int) {
		m := todo[i]
		if steps := anew[m.name]; steps != nil {
			errs[i] = r.rejoin(ctx, m.name, steps)
			return
		}
		errs[i] = r.change(ctx, promoteStep{on(m.name), m.ID, true})
	})
	ch, err = r.endChange(ctx, ch, errs)
	if err == nil {
		err = r.standing(ctx, &ch, todo)
	}
	r.account(&ch)
	return ch, err
}

// Demote makes workers of the named nodes, one after the other, and waits
// until each has left raft. A manager that does not answer can be demoted too:
// with three managers and one dead, that is the right thing to do. A node that
// is a worker already is a success. Errors are those of Promote, and the
// refusals of GuardRemoval.
func (c *Cluster) Demote(ctx context.Context, names []string, o ChangeOptions) (Change, error) {
	r, ch, err := c.beginChange(ctx, names, o, judged)
	if err != nil {
		return ch, err
	}
	var todo []member
	var ids []string
	var anew [][]Step
	for i, m := range r.members {
		if !m.IsManager() && m.Role == engine.RoleWorker {
			ch.Nodes[i].Already = true
			continue
		}
		if n, ok := r.view.Node(m.name); ok {
			if steps, ok := r.view.rejoin(n, engine.RoleWorker); ok { // the swarm cannot demote it
				anew = append(anew, steps)
				ch.Steps = append(ch.Steps, steps...)
				continue
			}
		}
		todo = append(todo, m)
		ids = append(ids, m.ID)
	}
	r.view.silentFirst(todo)
	for _, m := range todo {
		ch.Steps = append(ch.Steps, demoteStep{on(m.name), m.ID})
	}
	if err := r.view.GuardRemoval(ids...); err != nil {
		var t *trouble.Error
		if !o.Force || errors.As(err, &t) && t.ID == "last-manager" {
			return ch, err
		}
	}
	ch.Lesson = r.view.Lesson(ch.Steps)
	if o.DryRun {
		return ch, nil
	}
	r.askOthersFirst(todo)
	var errs []error
	for _, steps := range anew {
		errs = append(errs, r.rejoin(ctx, steps[0].Node(), steps))
	}
	for _, m := range todo {
		err := r.change(ctx, demoteStep{on(m.name), m.ID})
		errs = append(errs, err)
		if err != nil {
			break
		}
	}
	return r.endChange(ctx, ch, errs)
}

// silentFirst puts members that do not answer before those that do: each dead
// manager that is taken out makes the majority smaller, each living one makes
// it harder to reach.
func (v View) silentFirst(going []member) {
	silent := func(m member) int {
		if v.reaches(m.Node) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(going, func(a, b member) int { return silent(a) - silent(b) })
}

// askOthersFirst puts managers that stay before those that go: asking them
// spares following the change through one that stops answering in its midst.
func (r *changer) askOthersFirst(going []member) {
	slices.SortStableFunc(r.via, func(a, b string) int {
		goes := func(name string) int {
			if slices.ContainsFunc(going, func(m member) bool { return m.name == name }) {
				return 1
			}
			return 0
		}
		return goes(a) - goes(b)
	})
}

// member is a node of the swarm that a user named.
type member struct {
	engine.Node
	name string
}

type changer struct {
	*Run
	members []member
}

// awaitKnown waits until the leader has heard from a node that answers us: a
// new leader calls every node unknown until then, and one that was just started
// is down.
func (r *changer) awaitKnown(ctx context.Context, m member) member {
	unheard := func() bool { return m.Status == engine.NodeUnknown || m.Status == engine.NodeDown }
	if n, ok := r.view.Node(m.name); !ok || !n.State.Answered() || !unheard() {
		return m
	}
	r.o.Progress(Event{Node: m.name, Kind: KindAwait, Step: "wait until the leader has heard from it"})
	timeout := r.o.Timeout
	if m.Status == engine.NodeDown { // perhaps for good
		timeout = min(timeout, heartbeatTimeout)
	}
	_ = poll(ctx, timeout, shortPauses(), func() error { // what it is in the end, down judges
		list, err := r.nodes(ctx)
		if err != nil {
			return err
		}
		if at := find(list, m.ID); at >= 0 {
			m.Node = list[at]
		}
		if unheard() {
			return errors.New("the leader has not heard from it yet")
		}
		return nil
	})
	return m
}

// down says why a node cannot be promoted now, if so. Its own engine is asked
// first: the list calls a dead node Ready for up to 17 s.
func (r *changer) down(m member) string {
	if n, ok := r.view.Node(m.name); ok && !n.State.Answered() {
		return "it does not answer (" + reason(n) + ")"
	}
	if m.Status != engine.NodeReady {
		why := "its status in the swarm is " + string(m.Status)
		if n, ok := r.view.Node(m.name); ok && n.Err != nil {
			why += " (" + reason(n) + ")"
		}
		return why
	}
	return ""
}

// counts says of which nodes a change has to know whether they live; named are
// those that are to be changed. nil: of none.
type counts func(n NodeView, named bool) bool

// judged: how many failures the quorum tolerates depends on the managers.
func judged(n NodeView, named bool) bool { return named || n.hung() }

func (c *Cluster) beginChange(ctx context.Context, names []string, o ChangeOptions, counts counts) (*changer, Change, error) {
	var ch Change
	v, err := c.usable(ctx, names, o, counts)
	ch.View, ch.Before, ch.After = v, v.Quorum, v.Quorum
	if err != nil {
		return nil, ch, err
	}
	r := &changer{Run: c.begin(v)}
	for _, name := range names {
		m, err := v.resolve(name)
		if n, ok := v.Node(name); err != nil && ok && o.former && n.State == StateInactive {
			if old, ok := v.former(n); ok {
				m, err = member{old, n.Name}, nil
			}
		}
		if err != nil {
			return nil, ch, err
		}
		if slices.ContainsFunc(r.members, func(have member) bool { return have.ID == m.ID }) {
			continue
		}
		r.members = append(r.members, m)
		ch.Nodes = append(ch.Nodes, Changed{Name: m.name, ID: m.ID})
	}
	return r, ch, nil
}

// usable gives a view of a swarm that can be changed, or says why it cannot.
// Where it has to look itself, an election that is under way is waited for, and
// for as long as HangTimeout, those that count and let a call hang.
func (c *Cluster) usable(ctx context.Context, names []string, o ChangeOptions, counts counts) (v View, err error) {
	if o.View != nil {
		return *o.View, cmp.Or(ctx.Err(), o.View.NeedManager())
	}
	told := map[Event]bool{}
	wait := func(e Event) Finding {
		if !told[e] {
			told[e] = true
			c.o.Progress(e)
		}
		return Finding{Missing: []string{e.Step}}
	}
	patient := patience()
	v, _ = c.awaitWith(ctx, c.o.Timeout, shortPauses(), Condition{"a swarm that can be changed", func(v View) Finding {
		patient := patient()
		err = v.needManager(patient)
		switch hung := v.hanging(names, counts); {
		case err == nil && len(hung) > 0 && patient:
			return wait(Event{Node: hung[0].Name, Kind: KindAwait, Step: "wait until its engine answers"})
		case errors.Is(err, errElection) && !o.DryRun:
			return wait(Event{Kind: KindAwait, Step: "wait until the swarm has elected a leader"})
		}
		return Finding{Holds: true} // or it cannot come: err says why
	}})
	return v, cmp.Or(ctx.Err(), err)
}

// hanging are those of the nodes that count whose engine hangs.
func (v View) hanging(names []string, counts counts) []NodeView {
	named := map[string]bool{}
	for _, name := range names {
		if m, err := v.resolve(name); err == nil {
			name = m.name
		}
		if n, ok := v.Node(name); ok {
			named[n.Name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(v.Nodes), func(n NodeView) bool {
		return counts == nil || !n.Hangs() || !counts(n, named[n.Name])
	})
}

// errElection: enough managers are there for a leader, and there is none yet.
var errElection = errors.New("no leader")

// NeedManager says why nobody can be asked about the lab's swarm, or change
// it, if so. Errors are those of Promote: no-swarm, nobody-answers, two-swarms, no-quorum.
func (v View) NeedManager() error { return v.needManager(true) }

// needManager is NeedManager; patient hopes for managers that hang.
func (v View) needManager(patient bool) error {
	p := planner{lab: &lab.Lab{}, v: v}
	if !patient {
		p.frozen = nodeNames(v.Nodes)
	}
	switch {
	case len(v.Rivals) > 0:
		return p.refuseStrangers()
	case v.Cluster == "":
		return v.noSwarm()
	case v.Quorum.HasQuorum:
		return nil
	}
	electing := &trouble.Error{ID: "no-quorum", Exit: trouble.ExitRefused, What: "the swarm has no leader at this moment",
		Why: v.Leaderless(), Next: []string{"an election takes 10 to 20 seconds; then try again"}, Err: errElection}
	if !patient && v.Election() { // their engines run: none of them is missing
		return electing
	}
	if err := p.leaderless(); err != nil {
		return err
	}
	// Of one that hangs the next look tells more; of how many there are, too.
	if alive := max(len(v.Voters()), v.Quorum.Reachable+len(p.pick(func(n NodeView) bool { return n.State == StatePending }))); (!patient || !v.Hanging()) && alive < v.Quorum.Majority {
		return p.noQuorum(nil) // no election can mend that
	}
	return electing
}

// noSwarm is why nothing can be changed where there is no swarm.
func (v View) noSwarm() error {
	why := "no node of the lab is in one"
	var silent []string
	for _, n := range v.Nodes {
		if !n.State.Answered() {
			silent = append(silent, n.Name+" does not answer ("+reason(n)+")")
		}
	}
	if len(silent) > 0 {
		why = "no node that answers is in one; " + strings.Join(silent, ", ")
	}
	next := []string{"make one: dcalab swarm bootstrap"}
	if len(silent) > 0 {
		next = []string{"start the machines that are halted: dcalab start", "see where it stands: dcalab status", "if there never was one: dcalab swarm bootstrap"}
	}
	if slices.ContainsFunc(v.Nodes, func(n NodeView) bool { return n.State == StateEngineDown }) {
		next = slices.Insert(next, 0, "an engine that runs may be silent while its swarm elects a leader, up to 20 s: then try again")
	}
	if len(silent) == len(v.Nodes) {
		return &trouble.Error{ID: "nobody-answers", Exit: trouble.ExitFailure, What: "no node answers that could tell of a swarm",
			Why: strings.Join(silent, ", "), Next: next}
	}
	return &trouble.Error{ID: "no-swarm", Exit: trouble.ExitFailure, What: "the lab has no swarm", Why: why, Next: next}
}

// resolve finds the entry of the swarm's list that a user means: a node of the
// lab by the id that its own engine tells, else an id, the unique beginning of
// one, or a host name.
func (v View) resolve(name string) (member, error) {
	list := v.entries()
	if n, ok := v.Node(name); ok {
		if at := find(list, n.NodeID); at >= 0 && n.Listed {
			return member{list[at], n.Name}, nil
		}
		why := "its state is " + string(n.State)
		if n.Err != nil {
			why += ": " + reason(n)
		}
		next := []string{"take it in: dcalab join " + n.Name}
		if n.Err != nil {
			next = append(trouble.Advice(n.Err), "then take it in: dcalab join "+n.Name)
		}
		return member{}, &trouble.Error{ID: "not-in-swarm", Exit: trouble.ExitFailure, Where: n.Name,
			What: "it is not in the lab's swarm", Why: why, Next: next}
	}
	var found []engine.Node
	for _, e := range list {
		if e.ID == name || strings.EqualFold(e.Hostname, name) {
			found = append(found, e)
		}
	}
	if len(found) == 0 && name != "" {
		for _, e := range list {
			if strings.HasPrefix(e.ID, name) {
				found = append(found, e)
			}
		}
	}
	var known []string
	addresses := map[string]string{}
	for _, n := range v.Nodes {
		known = append(known, n.Name)
		addresses[n.Addr.String()] = n.Name
	}
	switch len(found) {
	case 0:
		e := &trouble.Error{ID: "no-such-node", Exit: trouble.ExitUsage, What: fmt.Sprintf("there is no node %q", name),
			Why:  "it is neither a name in the lab nor a node id in its swarm",
			Next: []string{"nodes of the lab: " + strings.Join(known, ", ")}}
		e.Next = append(lab.NodeMeant(name, known, addresses), e.Next...)
		return member{}, e
	case 1:
		m := member{found[0], found[0].Hostname}
		for _, n := range v.Nodes {
			if n.NodeID == m.ID {
				m.name = n.Name
			}
		}
		return m, nil
	}
	var ids []string
	for _, e := range found {
		ids = append(ids, e.ID+" ("+e.Hostname+")")
	}
	return member{}, &trouble.Error{ID: "ambiguous-node", Exit: trouble.ExitUsage, What: name + " means more than one node",
		Why: strings.Join(ids, ", "), Next: []string{"name it by its whole id"}}
}

// change does a step that changes one node.
func (r *changer) change(ctx context.Context, s Step) error {
	return changeError(ctx, s, r.step(ctx, s))
}

// changeError words why a step did not come true.
func changeError(ctx context.Context, s Step, err error) error {
	node := s.Node()
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, engine.ErrQuorumLoss), errors.Is(err, engine.ErrLastManager):
		return &trouble.Error{ID: "quorum-would-be-lost", Exit: trouble.ExitRefused, Where: node,
			What: "the swarm refused to " + s.String(), Why: cause(node, err), Err: err}
	}
	return &trouble.Error{ID: "change-unfinished", Exit: trouble.ExitUnfinished, Where: node,
		What: s.String(), Why: cause(node, err), Next: []string{"see where it stands: dcalab status"}, Err: err}
}

// AwaitDemoted waits until those of the named nodes that are workers have a
// worker's certificate, which takes some seconds after a demotion. Stopped
// before that, a node would come back as a manager and take its place in raft
// again, and with it perhaps the quorum. waiting is told of each node that is
// waited for; after the timeout they are left as they are.
func (c *Cluster) AwaitDemoted(ctx context.Context, v View, names []string, timeout time.Duration, waiting func(node string)) error {
	for _, t := range c.targets {
		n, ok := v.Node(t.Name)
		if !ok || !slices.Contains(names, t.Name) || n.Role != lab.RoleWorker || certified(ctx, t) == nil {
			continue
		}
		waiting(t.Name)
		_ = poll(ctx, timeout, shortPauses(), func() error { return certified(ctx, t) })
	}
	return ctx.Err()
}

func (r *changer) endChange(ctx context.Context, ch Change, errs []error) (Change, error) {
	if len(errs) > 0 {
		ch.View = r.Observe(ctx)
		ch.After = ch.View.Quorum
	}
	ch.Warnings = append(ch.Warnings, ch.After.Warnings()...)
	if err := interruptedChange(ctx); err != nil {
		return ch, err
	}
	return ch, errors.Join(errs...)
}

func interruptedChange(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &trouble.Error{ID: "interrupted", Exit: trouble.ExitInterrupted, What: "interrupted",
			Why:  "what was asked of the swarm may still come true there",
			Next: []string{"see where it stands: dcalab status"}, Err: err}
	}
	return nil
}

package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// PlanPromote plans to make managers of the named nodes (short name, full name,
// node id or the unique beginning of one); run, it waits until each is Reachable.
// A node that is a manager already is a success. Errors are of type
// *trouble.Error: no-swarm, nobody-answers, two-swarms, no-quorum, no-such-node,
// ambiguous-node, not-in-swarm, node-down; run, change-unfinished and
// quorum-would-be-lost. The plan tells of the nodes where there is an error, too.
func PlanPromote(v View, names []string) (Plan, error) {
	p := Plan{View: v, end: endPromotion}
	members, err := p.resolve(names, true)
	if err != nil {
		return p, err
	}
	var steps []Step
	for i, m := range members {
		manages := m.manages()
		if n, ok := v.Node(m.name); ok && !manages {
			if again, ok := planRejoin(v, n, engine.RoleManager); ok {
				steps = append(steps, rejoinStep{on(m.name), again})
				continue
			}
		}
		switch {
		case manages:
			p.Nodes[i].Already = true
			if m.Reachability != engine.ReachabilityReachable {
				p.Warnings = append(p.Warnings, m.name+" is already a manager, but the leader cannot reach it ("+string(m.Reachability)+")")
			}
		case whyDown(v, m) != "":
			return p, &trouble.Error{ID: "node-down", Exit: trouble.ExitRefused, Where: m.name,
				What: "refused to promote " + m.name,
				Why:  whyDown(v, m) + ": a manager that does not answer would count against the quorum",
				Next: []string{"check the state: dcalab status", "if it is not running, start it: dcalab up " + m.name}}
		default:
			steps = append(steps, promoteStep{on(m.name), m.ID, true})
		}
	}
	p.stageThat(goOn, "promote", steps...)
	p.Runbook = v.Runbook(p.Steps())
	return p, nil
}

// PlanDemote plans to make workers of the named nodes, one after the other; run,
// it waits until each has left raft. A manager that does not answer can be
// demoted too: with three managers and one dead, that is the right thing to do.
// A node that is a worker already is a success. force leaves the refusal of a
// demotion that costs the quorum to the swarm itself; the last manager is never
// demoted. Errors are those of PlanPromote, and the refusals of GuardRemoval.
func PlanDemote(v View, names []string, force bool) (Plan, error) {
	p := Plan{View: v, end: endRoles}
	members, err := p.resolve(names, false)
	if err != nil {
		return p, err
	}
	var todo []member
	var ids []string
	for i, m := range members {
		if !m.IsManager() && m.Role == engine.RoleWorker {
			p.Nodes[i].Already = true
			continue
		}
		if n, ok := v.Node(m.name); ok {
			if again, ok := planRejoin(v, n, engine.RoleWorker); ok { // the swarm cannot demote it
				p.stageThat(goOn, "rejoin", rejoinStep{on(m.name), again})
				continue
			}
		}
		todo = append(todo, m)
		ids = append(ids, m.ID)
	}
	silentFirst(v, todo)
	for _, m := range todo {
		p.stageThat(stopRun, "demote", demoteStep{on(m.name), m.ID})
	}
	if err := v.GuardRemoval(ids...); err != nil {
		if !force || errors.Is(err, trouble.ErrLastManager) {
			return p, err
		}
	}
	p.Runbook = v.Runbook(p.Steps())
	return p, nil
}

// silentFirst puts members that do not answer before those that do: each dead
// manager that is taken out makes the majority smaller, each living one makes
// it harder to reach.
func silentFirst(v View, going []member) {
	silent := func(m member) int {
		if v.reaches(m.Node) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(going, func(a, b member) int { return silent(a) - silent(b) })
}

// member is a node of the swarm that a user named.
type member struct {
	engine.Node
	name string
}

// manages: it is a manager, and is to stay one.
func (m member) manages() bool { return m.IsManager() && m.Role == engine.RoleManager }

// whyDown says why a node cannot be promoted now, if so. Its own engine is asked
// first: the list calls a dead node Ready for up to 17 s.
func whyDown(v View, m member) string {
	n, ours := v.Node(m.name)
	if ours && !n.State.Answered() {
		return "it does not answer (" + reason(n) + ")"
	}
	if m.Status != engine.NodeReady {
		why := "its status in the swarm is " + string(m.Status)
		if ours && n.Err != nil {
			why += " (" + reason(n) + ")"
		}
		return why
	}
	return ""
}

// resolveMember finds the members that a user named, each once, and notes them in the
// plan; there has to be a manager that can be asked. With former, a node that
// left in the middle of a promotion is meant, too.
func (p *Plan) resolve(names []string, former bool) ([]member, error) {
	if err := p.View.NeedManager(); err != nil {
		return nil, err
	}
	var out []member
	for _, name := range names {
		m, err := resolveMember(p.View, name)
		if n, ok := p.View.Node(name); err != nil && ok && former && n.State == StateInactive {
			if old, ok := formerEntry(p.View, n); ok {
				m, err = member{old, n.Name}, nil
			}
		}
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(have member) bool { return have.ID == m.ID }) {
			continue
		}
		out = append(out, m)
		p.Nodes = append(p.Nodes, Changed{Name: m.name, ID: m.ID})
	}
	return out, nil
}

// resolveMember finds the entry of the swarm's list that a user means: a node of the
// lab by the id that its own engine tells, else an id, the unique beginning of
// one, or a host name.
func resolveMember(v View, name string) (member, error) {
	list := v.entries()
	if n, ok := v.Node(name); ok {
		if at := find(list, n.NodeID); at >= 0 && n.Listed {
			return member{list[at], n.Name}, nil
		}
		why := "its state is " + string(n.State)
		if n.Err != nil {
			why += ": " + reason(n)
		}
		next := []string{"join it to the swarm: dcalab join " + n.Name}
		if n.Err != nil {
			next = append(trouble.Advice(n.Err), "then join it to the swarm: dcalab join "+n.Name)
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
	return member{}, &trouble.Error{ID: "ambiguous-node", Exit: trouble.ExitUsage, What: name + " matches more than one node",
		Why: strings.Join(ids, ", "), Next: []string{"use its full id"}}
}

// endRoles ends what changes the managers.
func endRoles(ctx context.Context, r *Run, p Plan, failed []failure, res *Result) error {
	return r.endChange(ctx, p, res, changeErrors(ctx, failed, changeError))
}

// changeErrors makes one error of all, in the words of each step's kind.
func changeErrors(ctx context.Context, failed []failure, word func(context.Context, Step, error) error) error {
	var errs []error
	for _, f := range failed {
		if _, worded := f.step.(rejoinStep); worded {
			errs = append(errs, f.err)
		} else {
			errs = append(errs, word(ctx, f.step, f.err))
		}
	}
	return errors.Join(errs...)
}

func (r *Run) endChange(ctx context.Context, p Plan, res *Result, failed error) error {
	if !p.Empty() {
		res.View = r.Observe(ctx)
		res.After = res.View.Quorum
	}
	r.account(res)
	res.Warnings = append(res.Warnings, res.After.Warnings()...)
	return cmp.Or(interruptedChange(ctx), failed)
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
		What: s.String(), Why: cause(node, err), Next: []string{"check the state: dcalab status"}, Err: err}
}

func interruptedChange(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &trouble.Error{ID: "interrupted", Exit: trouble.ExitInterrupted, What: "interrupted",
			Why:  "what was requested may still take effect",
			Next: []string{"check the state: dcalab status"}, Err: err}
	}
	return nil
}

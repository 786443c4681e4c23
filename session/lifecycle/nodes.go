package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// nodeChange changes nodes of the swarm, all in one way.
type nodeChange struct {
	Operator
	nodes []string // as the user names them: a short or full name, or the swarm's id
	plan  func(swarm.View, []string) (swarm.Plan, error)
	// awaits is whose answer the plan depends on.
	awaits swarm.Awaited
	// done says what a node is now; already is said of one that was so before.
	done    func(swarm.NodeView) string
	already string
	// quorum: managers change, and the quorum before and after is noted.
	quorum bool
	// after adds what else is to be said of the nodes that were changed.
	after func(out *Outcome, changed []lab.Node)
}

// Promote makes nodes managers, and waits until each takes part in raft.
func (s Swarm) Promote(nodes ...string) Operation {
	return nodeChange{
		Operator: s.of, nodes: nodes, plan: swarm.PlanPromote, awaits: swarm.AwaitNamed,
		done: swarm.NodeView.Summary, already: "is a manager already", quorum: true,
	}
}

// Demote makes managers workers, and waits until each has left raft. With
// force, also where the quorum is lost by it.
func (s Swarm) Demote(force bool, nodes ...string) Operation {
	return nodeChange{
		Operator: s.of, nodes: nodes, awaits: swarm.AwaitManagers,
		plan: func(v swarm.View, names []string) (swarm.Plan, error) { return swarm.PlanDemote(v, names, force) },
		done: swarm.NodeView.Summary, already: "is a worker already", quorum: true,
	}
}

// Remove takes nodes out of the swarm gracefully; their machines stay. With force,
// the entries of nodes that do not answer are removed, too.
func (s Swarm) Remove(force bool, nodes ...string) Operation {
	return nodeChange{
		Operator: s.of, nodes: nodes, awaits: swarm.AwaitManagers,
		plan:    func(v swarm.View, names []string) (swarm.Plan, error) { return swarm.PlanRemove(v, names, force) },
		done:    func(swarm.NodeView) string { return "out of the swarm" },
		already: "is not in the swarm",
		after: func(out *Outcome, changed []lab.Node) {
			out.Notes = append(out.Notes, fmt.Sprintf("to take %s back in: dcalab join %s", strings.Join(lab.Names(changed), ", "), strings.Join(lab.Names(changed), " ")))
		},
	}
}

// SetAvailability sets the availability of nodes; where they are drained, it
// waits until no task is left there.
func (s Swarm) SetAvailability(want engine.Availability, nodes ...string) Operation {
	say := map[engine.Availability]struct{ done, already string }{
		engine.AvailabilityDrain:  {"drained: no task of a service is left on it", "is drained already, and empty"},
		engine.AvailabilityPause:  {"paused: it gets no new tasks", "is paused already"},
		engine.AvailabilityActive: {"active: it takes tasks", "is active already"},
	}[want]
	return nodeChange{
		Operator: s.of, nodes: nodes,
		plan: func(v swarm.View, names []string) (swarm.Plan, error) { return swarm.PlanAvailability(v, names, want) },
		done: func(swarm.NodeView) string { return say.done }, already: say.already,
		after: func(out *Outcome, changed []lab.Node) {
			for _, n := range changed {
				if engine.Availability(n.Availability) != want && n.Role != lab.RoleNone {
					out.Warnings = append(out.Warnings, fmt.Sprintf("labs.yaml has availability: %s for %s, and dcalab swarm bootstrap would set it again; to keep the change, write availability: %s there", n.Availability, n.Name, want))
				}
			}
		},
	}
}

// ChangeLabels sets labels of nodes, and removes those of these keys; other
// labels stay. The warnings are the plan's own.
func (s Swarm) ChangeLabels(set map[string]string, remove, warnings []string, nodes ...string) Operation {
	already := "has no such label"
	if len(set) > 0 {
		already = "has these labels already"
	}
	return nodeChange{
		Operator: s.of, nodes: nodes,
		plan: func(v swarm.View, names []string) (swarm.Plan, error) {
			plan, err := swarm.PlanLabels(v, names, set, remove)
			if err == nil {
				plan.Warnings = append(plan.Warnings, warnings...)
			}
			return plan, err
		},
		done: func(n swarm.NodeView) string { return "labels: " + labelText(n.Labels) }, already: already,
		after: func(out *Outcome, changed []lab.Node) {
			for _, n := range changed {
				for _, k := range slices.Sorted(maps.Keys(n.Labels)) {
					if v, named := set[k]; named && v != n.Labels[k] || slices.Contains(remove, k) {
						out.Warnings = append(out.Warnings, fmt.Sprintf("labs.yaml gives %s the label %s=%s, and dcalab swarm bootstrap would set it again; to keep the change, change it there", n.Name, k, n.Labels[k]))
					}
				}
			}
		},
	}
}

func labelText(labels map[string]string) string {
	if len(labels) == 0 {
		return "none"
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ", ")
}

func (nodeChange) NeedsRoot() bool { return false }

func (c nodeChange) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	var p Plan
	_, plan, engines, err := c.prepare(ctx, tell, true)
	if err != nil {
		return p, err
	}
	engines.Close()
	p.change(plan.Result())
	return p, nil
}

// prepare observes until the nodes can be changed, and plans how. The caller
// closes the engines, which are nil with an error.
func (c nodeChange) prepare(ctx context.Context, tell session.Reporter, dryRun bool) (*swarm.Cluster, swarm.Plan, *session.Engines, error) {
	engines, err := c.AllEngines(ctx, nil)
	if err != nil {
		return nil, swarm.Plan{}, nil, err
	}
	cluster := engines.Cluster(swarm.Options{Progress: session.Events(tell)})
	v, err := cluster.Changeable(ctx, c.nodes, c.awaits, dryRun)
	var plan swarm.Plan
	switch {
	case err == nil:
		plan, err = c.plan(v, c.nodes)
	case ctx.Err() == nil:
		err = c.misspelt(err)
	}
	if err != nil {
		engines.Close()
		return nil, plan, nil, err
	}
	return cluster, plan, engines, nil
}

// misspelt is the error for a name that is near to one of the lab's, rather than
// why the swarm could not be asked about the names: the user would meet it next.
func (c nodeChange) misspelt(err error) error {
	for _, name := range c.nodes {
		if _, ok := c.Lab().Node(name); ok {
			continue
		}
		if e := c.NoSuchNode(name); len(trouble.Advice(e)) > 1 {
			return e
		}
	}
	return err
}

func (c nodeChange) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	c.Faults().warn(tell)
	cluster, plan, engines, err := c.prepare(ctx, tell, false)
	if err != nil {
		return Outcome{}, err
	}
	defer engines.Close()
	result, err := cluster.Run(ctx, plan)
	out := Outcome{Warnings: result.Warnings, Runbook: result.Runbook}
	var changed []lab.Node
	for _, n := range result.Nodes {
		if n.Already {
			tell.Done(n.Name, c.already)
			continue
		}
		if v, ok := result.View.Node(n.Name); err == nil && (ok || !c.quorum) {
			tell.Done(n.Name, c.done(v))
		}
		if in, ok := c.Lab().Node(n.Name); ok {
			changed = append(changed, in)
		}
	}
	if err != nil {
		return out, err
	}
	if c.quorum {
		out.Notes = []string{"before: " + result.Before.String(), "after:  " + result.After.String()}
	}
	if c.after != nil && len(changed) > 0 {
		c.after(&out, changed)
	}
	return out, nil
}

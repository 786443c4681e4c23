package cmd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	labsession "github.com/dcalab/dcalab/session"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/swarm"
)

// nodeChange is a command that changes nodes of the swarm, all in one way.
type nodeChange struct {
	nodes []string
	// plan says what is to be done; awaits, whose answer it depends on.
	plan   func(swarm.View, []string) (swarm.Plan, error)
	awaits swarm.Awaited
	// done says what a node is now, as its view tells; already what it was
	// before.
	done    func(swarm.NodeView) string
	already string
	// quorum: it changes managers, and the quorum is told before and after.
	quorum bool
	// after is what else is to be said, of those that were changed.
	after func(s *session, changed []lab.Node)
}

func changeNodes(ctx context.Context, a *app, c nodeChange) error {
	s, err := a.existing()
	if err != nil {
		return err
	}
	if !a.dryRun() {
		release, err := s.change(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	crew, err := s.AllEngines(ctx, nil)
	if err != nil {
		return err
	}
	defer crew.Close()
	p := s.progress(s.Lab().NodeNames())
	defer p.Close()
	cluster := crew.Cluster(swarm.Options{Progress: labsession.Events(p)})
	v, err := cluster.Changeable(ctx, c.nodes, c.awaits, a.dryRun())
	var plan swarm.Plan
	if err == nil {
		plan, err = c.plan(v, c.nodes)
	}
	if err == nil && a.dryRun() {
		p.Close()
		s.warn(plan.Warnings...)
		return s.rehearse(lifecycle.Lines(plan.Steps()), plan.Runbook)
	}
	result := plan.Result()
	if err == nil {
		result, err = cluster.Run(ctx, plan)
	}
	err = namesFirst(s, c.nodes, err)
	var changed []lab.Node
	for _, n := range result.Nodes {
		if n.Already {
			p.Done(n.Name, c.already)
			continue
		}
		if v, ok := result.View.Node(n.Name); err == nil && (ok || !c.quorum) {
			p.Done(n.Name, c.done(v))
		}
		if in, ok := s.Lab().Node(n.Name); ok {
			changed = append(changed, in)
		}
	}
	p.Close()
	if err == nil && c.quorum {
		s.note("before: %s", result.Before)
		s.note("after:  %s", result.After)
	}
	s.warn(result.Warnings...)
	if err != nil {
		return err
	}
	if c.after != nil && len(changed) > 0 {
		c.after(s, changed)
	}
	return s.recount(result.Runbook)
}

func drainCommand(a *app) *cobra.Command {
	return availabilityCommand(a, "drain NODE...", engine.AvailabilityDrain, "Take all tasks away from nodes, and wait until they are gone",
		`Tell the scheduler to end the tasks of services on the named nodes and to
start them elsewhere, and wait until none is left there; after a minute it
says which still are. Nothing new comes to a drained node.

A drained manager stays a manager, with its vote: what it gives up is work.
Containers that were started by hand stay as well.`,
		"  dcalab drain node01\n  dcalab drain node01 node02 --dry-run")
}

func pauseCommand(a *app) *cobra.Command {
	return availabilityCommand(a, "pause NODE...", engine.AvailabilityPause, "Give nodes no new tasks; those that they have stay",
		`Tell the scheduler to give the named nodes no new tasks. What runs there goes
on running.`,
		"  dcalab pause node01")
}

func activateCommand(a *app) *cobra.Command {
	return availabilityCommand(a, "activate NODE...", engine.AvailabilityActive, "Let nodes have tasks again, after drain or pause",
		`Tell the scheduler that the named nodes take tasks again. Tasks that went
elsewhere do not come back by themselves: docker service update --force
SERVICE spreads them anew.`,
		"  dcalab activate node01")
}

func availabilityCommand(a *app, use string, want engine.Availability, short, long, example string) *cobra.Command {
	return explained(&cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			return changeNodes(c.Context(), a, nodeChange{
				nodes: args,
				plan: func(v swarm.View, names []string) (swarm.Plan, error) {
					return swarm.PlanAvailability(v, names, want)
				},
				done: func(swarm.NodeView) string {
					if want == engine.AvailabilityDrain {
						return "drained: no task of a service is left on it"
					}
					if want == engine.AvailabilityPause {
						return "paused: it gets no new tasks"
					}
					return "active: it takes tasks"
				},
				already: map[engine.Availability]string{
					engine.AvailabilityDrain: "is drained already, and empty", engine.AvailabilityPause: "is paused already", engine.AvailabilityActive: "is active already",
				}[want],
				after: func(s *session, changed []lab.Node) {
					for _, n := range changed {
						if engine.Availability(n.Availability) != want && n.Role != lab.RoleNone {
							s.warn(fmt.Sprintf("labs.yaml wants %s %s, and dcalab swarm bootstrap would make it so again; to keep it, write availability: %s there", n.Name, n.Availability, want))
						}
					}
				},
			})
		},
	})
}

func removeCommand(a *app) *cobra.Command {
	return removalCommand(a, "remove NODE...", "Take nodes out of the swarm in order; their machines stay",
		"  dcalab remove node02\n  dcalab remove --force node02")
}

// leave is remove, under the name that Docker's own command has.
func leaveCommand(a *app) *cobra.Command {
	return removalCommand(a, "leave NODE...", "Let nodes leave the swarm in order: the same as dcalab remove",
		"  dcalab swarm leave node02")
}

func removalCommand(a *app, use, short, example string) *cobra.Command {
	gone := false
	c := &cobra.Command{
		Use: use, Short: short,
		Long: `Take the named nodes out of the swarm, one after the other: a manager is
demoted first, then the node leaves, then its entry is removed from the
swarm's list. Its tasks start elsewhere. It is refused where the managers that
are left would be no quorum. The machine stays, its engine in no swarm;
dcalab join NODE takes it back in, as a new node.

A node that does not answer cannot leave in order, and is refused. --force
removes its entry all the same: for one that is gone for good. It never costs
the quorum.`,
		Example: example, Args: cobra.MinimumNArgs(1), ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			return changeNodes(c.Context(), a, nodeChange{
				nodes: args, awaits: swarm.AwaitManagers,
				plan:    func(v swarm.View, names []string) (swarm.Plan, error) { return swarm.PlanRemove(v, names, gone) },
				done:    func(swarm.NodeView) string { return "out of the swarm" },
				already: "is not in the swarm",
				after: func(s *session, changed []lab.Node) {
					s.note("to take %s back in: dcalab join %s", strings.Join(names(changed), ", "), strings.Join(names(changed), " "))
				},
			})
		},
	}
	c.Flags().BoolVarP(&gone, "force", "f", false, "remove the entries of nodes that do not answer, too")
	return explained(c)
}

func joinCommand(a *app) *cobra.Command {
	return explained(&cobra.Command{
		Use:   "join NODE...",
		Short: "Take nodes into the swarm, in the role that labs.yaml gives them",
		Long: `Take the named nodes, whose machines run, into the lab's swarm: new ones, and
those that were removed. They get the role, the labels and the availability
of labs.yaml. It is what dcalab swarm bootstrap does, for these nodes alone,
and ends when they are Ready.`,
		Example: "  dcalab up node03 && dcalab join node03",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			return joinNodes(c.Context(), a, args)
		},
	})
}

func joinNodes(ctx context.Context, a *app, args []string) error {
	s, err := a.existing()
	if err != nil {
		return err
	}
	nodes, err := s.pick(args)
	if err != nil {
		return notYet(err)
	}
	for _, n := range nodes {
		if n.Role == lab.RoleNone {
			return usage(n.Name+" has no role in the swarm: labs.yaml says role: none", "write role: worker, or role: manager, for it in labs.yaml")
		}
	}
	return s.perform(ctx, s.operator().Join(names(nodes)...), true)
}

func labelCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "label",
		Short: "Set, remove and list labels of nodes in the swarm",
		Long: `Labels of nodes are what services are placed by: docker service create
--constraint node.labels.zone==east. The case of their keys counts.`,
	}
	c.AddCommand(labelSetCommand(a), labelRemoveCommand(a), labelListCommand(a))
	return c
}

func labelSetCommand(a *app) *cobra.Command {
	return explained(&cobra.Command{
		Use:   "set NODE[,NODE...] KEY=VALUE...",
		Short: "Set labels of nodes; other labels stay",
		Long: `Set labels of a node, or of several, joined by commas, and wait until the
swarm's list shows them. Labels that are not named stay.`,
		Example:           "  dcalab label set node01 zone=east disk=ssd\n  dcalab label set node01,node02 zone=west",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completer{a}.one,
		RunE: func(c *cobra.Command, args []string) error {
			set, warnings, err := parseLabels(args[1:])
			if err != nil {
				return err
			}
			return changeLabels(c.Context(), a, args[0], set, nil, warnings)
		},
	})
}

func labelRemoveCommand(a *app) *cobra.Command {
	return explained(&cobra.Command{
		Use:     "rm NODE[,NODE...] KEY...",
		Aliases: []string{"remove"},
		Short:   "Remove labels of nodes",
		Long: `Remove labels of a node, or of several, joined by commas, and wait until the
swarm's list no longer shows them. One that a node does not have is no error.`,
		Example:           "  dcalab label rm node01 zone\n  dcalab label rm node01,node02 zone disk",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completer{a}.one,
		RunE: func(c *cobra.Command, args []string) error {
			for _, key := range args[1:] {
				if name, _, found := strings.Cut(key, "="); found {
					return usage(fmt.Sprintf("%q has a value", key), "labels are removed by their key: dcalab label rm "+args[0]+" "+name)
				}
				if err := swarm.CheckLabelKey(key); err != nil {
					return usage(err.Error(), "dcalab label rm NODE KEY")
				}
			}
			return changeLabels(c.Context(), a, args[0], nil, args[1:], nil)
		},
	})
}

// parseLabels reads KEY=VALUE arguments, and says of which of them no
// placement constraint could make use.
func parseLabels(args []string) (set map[string]string, warnings []string, err error) {
	set = map[string]string{}
	for _, arg := range args {
		key, value, found := strings.Cut(arg, "=")
		if !found {
			return nil, nil, usage(fmt.Sprintf("%q is no KEY=VALUE", arg), "several nodes are joined by commas: dcalab label set node01,node02 zone=east")
		}
		if err := swarm.CheckLabelKey(key); err != nil {
			return nil, nil, usage(err.Error(), "a label is written KEY=VALUE: zone=east")
		}
		if have, twice := set[key]; twice && have != value {
			return nil, nil, usage(fmt.Sprintf("the label %s is given two values, %q and %q", key, have, value), "give it one: "+key+"="+value)
		}
		set[key] = value
		if w := swarm.LabelWarning(key, value); w != "" {
			warnings = append(warnings, w)
		}
	}
	return set, warnings, nil
}

func changeLabels(ctx context.Context, a *app, nodes string, set map[string]string, drop, warnings []string) error {
	var list []string
	for name := range strings.SplitSeq(nodes, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return usage("no node is named", "dcalab label set node01 zone=east")
	}
	return changeNodes(ctx, a, nodeChange{
		nodes: list,
		plan: func(v swarm.View, names []string) (swarm.Plan, error) {
			plan, err := swarm.PlanLabels(v, names, set, drop)
			if err == nil {
				plan.Warnings = append(plan.Warnings, warnings...)
			}
			return plan, err
		},
		done:    func(n swarm.NodeView) string { return "labels: " + labelText(n.Labels) },
		already: map[bool]string{true: "has these labels already", false: "has no such label"}[len(set) > 0],
		after: func(s *session, changed []lab.Node) {
			for _, n := range changed {
				for _, k := range slices.Sorted(maps.Keys(n.Labels)) {
					if v, named := set[k]; named && v != n.Labels[k] || slices.Contains(drop, k) {
						s.warn(fmt.Sprintf("labs.yaml gives %s the label %s=%s, and dcalab swarm bootstrap would set it again; to keep it otherwise, change it there", n.Name, k, n.Labels[k]))
					}
				}
			}
		},
	})
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

package cmd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) halt() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "halt [NODE...]", Aliases: []string{"stop"},
		Short: "Power machines off, keeping their disks",
		Long: `Stop the engine of each node in order and power its machine off. Its disk
stays; dcalab start brings it back into the swarm.

Halting some of the nodes is refused when the managers that are left would
be no quorum: the swarm would stand still. --force does it all the same.`,
		Example:           "  dcalab halt\n  dcalab halt node02",
		ValidArgsFunction: a.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			s, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := s.pick(args)
			if err != nil {
				return err
			}
			if !s.Created() {
				s.note("lab %s does not exist here: nothing to halt", s.Lab().Name)
				for _, line := range s.Neighbours() {
					s.note("%s", line)
				}
				if a.dryRun() {
					return s.rehearse(nil, nil)
				}
				return nil
			}
			if a.dryRun() {
				return s.rehearseHalt(ctx, nodes, force)
			}
			if s.asRoot() {
				return s.sudo(ctx)
			}
			release, err := s.change(ctx)
			if err != nil {
				return err
			}
			defer release()
			p := s.progress(names(nodes))
			defer p.Close()
			if !force {
				if err := s.beforeStopping(ctx, p, nodes, len(nodes) < len(s.Lab().Nodes)); err != nil {
					return err
				}
			}
			before, err := s.Driver().Status(ctx)
			if err != nil {
				return err
			}
			if err := s.Driver().Halt(ctx, machine.Observer{Step: p.Step}, names(nodes)...); err != nil {
				return err
			}
			for _, n := range nodes {
				if before[n.Name] == machine.StatusRunning {
					p.Done(n.Name, "halted")
				} else {
					p.Done(n.Name, "was not running")
				}
			}
			p.Close()
			return s.recount(s.halting(runningOf(nodes, before)))
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "halt even where the swarm loses its quorum")
	return explained(c)
}

// rehearseHalt is the dry run of halt.
func (s *session) rehearseHalt(ctx context.Context, nodes []lab.Node, force bool) error {
	if !force && len(nodes) < len(s.Lab().Nodes) {
		p := s.progress(names(nodes))
		defer p.Close()
		v, c, err := s.observeSettled(ctx, p)
		if err != nil {
			return orForce(err)
		}
		c.Close()
		if err := v.GuardStopping(names(nodes)...); err != nil {
			return err
		}
		p.Close()
	}
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return err
	}
	var r rehearsal
	running := runningOf(nodes, machines)
	for _, name := range running {
		r.add("%s: stop its engine, and power it off", name)
	}
	return s.rehearse(r.plan, s.halting(running))
}

// halting is the runbook of a halt of these nodes, which run.
func (s *session) halting(running []string) runbook.Runbook {
	if len(running) == 0 {
		return nil
	}
	return s.deed(machine.Deed{Act: machine.ActHalt, Nodes: running})
}

// observeSettled observes, and waits for a leader where enough managers run
// to elect one: in between nobody could tell how many failures the quorum tolerates. Where
// none comes, or the lab has two swarms, noLeader tells its error.
func (s *session) observeSettled(ctx context.Context, p *ui.Progress) (swarm.View, *crew, error) {
	v, c, err := s.await(ctx, p, swarm.QuorumKnown)
	var unmet *swarm.UnmetError
	if !errors.As(err, &unmet) {
		return v, c, err
	}
	c.Close()
	switch {
	case len(v.CandidateSwarms) > 0:
		err = v.NeedManager()
		if t := noLeader(err); t != nil {
			t.What = "look at the quorum"
		}
	case unmet.Hopeless:
		err = v.LockedError(slices.DeleteFunc(slices.Clone(v.Nodes), func(n swarm.NodeView) bool { return n.State != swarm.StateLocked }))
	default:
		err = &trouble.Error{
			ID: "no-leader", What: "look at the quorum", Why: "enough managers run, and the swarm has no leader",
			Next: []string{"see where it stands: dcalab status"}, Exit: trouble.ExitRefused,
		}
	}
	return v, nil, err
}

// await observes, over new connections each time, until a condition holds that
// depends on which machines run. The crew is that of the last look; there is one
// where the condition does not hold in the end, too.
func (s *session) await(ctx context.Context, p *ui.Progress, condition func(running func(node string) bool) swarm.Condition) (swarm.View, *crew, error) {
	var c *crew
	cluster := swarm.New(nil, swarm.Options{
		Reconnect: func(ctx context.Context) ([]swarm.Target, error) {
			if c != nil {
				c.Close()
			}
			var err error
			if c, err = s.musterAll(ctx, nil); err != nil {
				return nil, err
			}
			return c.Targets, nil
		},
		Waiting: func(missing []string) { p.Detail("", "waiting for "+strings.Join(missing, "; ")) },
	})
	v, err := cluster.Await(ctx, swarm.ElectionTimeout, condition(func(node string) bool { return c.Machines[node] == machine.StatusRunning }))
	var unmet *swarm.UnmetError
	if err != nil && !errors.As(err, &unmet) && c != nil {
		c.Close()
		c = nil
	}
	return v, c, err
}

// noLeader gives what observeSettled says where no leader comes, and nil for any
// other error.
func noLeader(err error) *trouble.Error {
	var t *trouble.Error
	if errors.As(err, &t) && (t.ID == "locked" || t.ID == "no-leader" || t.ID == "two-swarms") {
		return t
	}
	return nil
}

// orForce adds to it what a command with a --force offers.
func orForce(err error) error {
	if t := noLeader(err); t != nil {
		t.Next = append(t.Next, "or override: --force")
	}
	return err
}

// moment is what lies between two looks at something that comes by itself.
func moment(ctx context.Context) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// settlePatience is how long halt waits for a node that was just demoted.
const settlePatience = 30 * time.Second

// beforeStopping refuses, if it is to guard, to stop managers that the quorum
// needs, and lets a demotion that is under way come to its end.
func (s *session) beforeStopping(ctx context.Context, p *ui.Progress, nodes []lab.Node, guard bool) error {
	look := s.observe
	if guard {
		look = func(ctx context.Context) (swarm.View, *crew, error) { return s.observeSettled(ctx, p) }
	}
	v, c, err := look(ctx)
	if err != nil {
		return orForce(err)
	}
	defer c.Close()
	if guard {
		if err := v.GuardStopping(names(nodes)...); err != nil {
			return err
		}
	}
	return c.Cluster(swarm.Options{}).AwaitDemoted(ctx, v, names(nodes), settlePatience, func(node string) {
		p.Step(node, "waiting for its certificate as a worker")
	})
}

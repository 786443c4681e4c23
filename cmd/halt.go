package cmd

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) halt() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "halt [NODE...]",
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

// halting is the lesson of a halt of these nodes, which run.
func (s *session) halting(running []string) lesson.Lesson {
	if len(running) == 0 {
		return nil
	}
	return s.deed(machine.Deed{Act: machine.ActHalt, Nodes: running})
}

// electionPatience is how long a swarm whose leader has just gone may take to
// have another: raft's election begins after 10 to 19 s without a heartbeat,
// and one that nobody wins is held again as long after.
const electionPatience = time.Minute

// observeSettled observes, and waits for a leader where enough managers run
// to elect one: in between nobody could tell how many failures the quorum tolerates. Where
// none comes, or the lab has two swarms, noLeader tells its error.
func (s *session) observeSettled(ctx context.Context, p *ui.Progress) (swarm.View, *crew, error) {
	began := time.Now()
	for {
		v, c, err := s.observe(ctx)
		if err != nil {
			return v, c, err
		}
		managers, alive := 0, 0
		patient := time.Since(began) < swarm.HangPatience
		var locked []swarm.NodeView
		for _, n := range v.Nodes {
			if n.State == swarm.StateLocked {
				locked = append(locked, n)
			}
			outside := n.State == swarm.StateInactive || n.State == swarm.StateForeign
			if n.Role == lab.RoleManager || n.Role == "" && n.Want == lab.RoleManager && !outside {
				managers++
				if c.Machines[n.Name] == machine.StatusRunning && (!n.Hangs() || patient) {
					alive++
				}
			}
		}
		majority := swarm.Majority(max(managers, v.Quorum.Managers)) // there may be more than labs.yaml knows
		settled := v.Quorum.HasQuorum && (!v.Hanging() || !patient)
		if settled || len(v.Swarms) == 0 || alive < majority {
			return v, c, nil
		}
		c.Close()
		switch {
		case len(v.Rivals) > 0: // no election makes one of two swarms
			err := v.NeedManager()
			if t := noLeader(err); t != nil {
				t.What = "look at the quorum"
			}
			return v, nil, err
		case !v.Quorum.HasQuorum && alive-len(locked) < majority:
			return v, nil, v.LockedError(locked)
		}
		if time.Since(began) > electionPatience {
			return v, nil, &trouble.Error{
				ID: "no-leader", What: "look at the quorum", Why: "enough managers run, and the swarm has no leader",
				Next: []string{"see where it stands: dcalab status"}, Exit: trouble.ExitRefused,
			}
		}
		if v.Quorum.HasQuorum {
			p.Detail("", "waiting for a manager that does not answer")
		} else {
			p.Detail("", "waiting for the swarm to elect a leader")
		}
		if err := moment(ctx); err != nil {
			return v, nil, err
		}
	}
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
	return swarm.Settle(ctx, c.Targets, v, names(nodes), settlePatience, func(node string) {
		p.Step(node, "waiting for its certificate as a worker")
	})
}

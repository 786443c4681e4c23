package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// restartEngines restarts engines that are in a swarm and that have other
// settings than labs.yaml: one after the other, each only when the one before
// it is back, and only where the quorum bears it. What it did not come to, the
// next up finds again.
func (s *session) restartEngines(ctx context.Context, yes bool) error {
	if len(s.deferred) == 0 {
		return nil
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	p := s.progress(s.deferred)
	defer func() { p.Close() }()
	v, c, err := s.operator().Settled(ctx, p)
	if err != nil {
		return err
	}
	defer func() { c.Close() }()
	order := restartOrder(v, s.deferred)
	if !yes {
		p.Close()
		if err := s.confirm(ctx, restartQuestion(v, order)); err != nil {
			var t *trouble.Error
			if errors.As(err, &t) {
				t.Next = append(t.Next, "without it the engines go on with the settings that they have")
			}
			return err
		}
		p = s.progress(order)
	}
	for i, name := range order {
		if i > 0 {
			c.Close()
			if v, c, err = s.operator().Settled(ctx, p); err != nil {
				c = &crew{}
				return err
			}
		}
		if err := s.restartEngine(ctx, p, v, c, name); err != nil {
			return err
		}
	}
	s.deferred = nil
	return nil
}

// restartOrder is workers first, then managers, the leader last: so a leader is
// elected once.
func restartOrder(v swarm.View, nodes []string) []string {
	rank := func(name string) int {
		switch n, _ := v.Node(name); {
		case n.Leader:
			return 2
		case n.Role == lab.RoleManager:
			return 1
		}
		return 0
	}
	order := slices.Sorted(slices.Values(nodes))
	slices.SortStableFunc(order, func(a, b string) int { return rank(a) - rank(b) })
	return order
}

func restartQuestion(v swarm.View, order []string) string {
	q := fmt.Sprintf("labs.yaml changes settings of engines (registries, labels): restart the engines of %s, one after the other? tasks and containers there end", strings.Join(order, ", "))
	for _, name := range order {
		if v.GuardStopping(name) != nil {
			return q + "; while a manager restarts, the swarm has no quorum"
		}
	}
	return q
}

// restartEngine restarts one, and waits until the swarm has it back.
func (s *session) restartEngine(ctx context.Context, p *ui.Progress, v swarm.View, c *crew, name string) error {
	if n, ok := v.Node(name); ok && n.Cluster == v.Cluster && v.Cluster != "" {
		if err := v.GuardRestarting(name); err != nil {
			return err
		}
	}
	ep, err := s.Driver().Endpoint(ctx, name)
	if err != nil {
		return err
	}
	node, work, err := s.prepare(ctx, ep, p, false)
	if err != nil {
		p.Fail(name, err)
		return err
	}
	_ = node.Close()
	if s.app.explains() {
		s.typed = append(s.typed, work.Runbook(name, nodeUser)...)
	}
	return s.standAgain(ctx, p, c, name)
}

// standAgain waits until a node whose engine was restarted is back in the swarm,
// and gives a manager that is locked the key that another one has.
func (s *session) standAgain(ctx context.Context, p *ui.Progress, c *crew, name string) error {
	stand := func() (swarm.View, error) {
		return c.Cluster(swarm.Options{Waiting: func(missing []string) { p.Step(name, strings.Join(missing, "; ")) }}).AwaitHealthy(ctx, standPatience, name)
	}
	v, err := stand()
	var t *trouble.Error
	if errors.As(err, &t) && t.ID == "swarm-locked" {
		if _, keyless := c.Cluster(swarm.Options{}).Run(ctx, swarm.PlanUnlock(v, "")); keyless != nil {
			t.Next = append(t.Next, "then go on: dcalab up --yes")
			return t
		}
		v, err = stand()
	}
	if err != nil {
		p.Fail(name, err)
		return err
	}
	if n, ok := v.Node(name); ok && n.Listed {
		p.Done(name, "restarted: "+n.Summary())
	}
	return nil
}

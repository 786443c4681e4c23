package report

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/raft"
)

// Beliefs is what `dcalab status --view -o json` prints: what each manager
// believes.
type Beliefs struct {
	Lab         string `json:"lab" yaml:"lab"`
	Driver      string `json:"driver" yaml:"driver"`
	swarm.Views `yaml:",inline"`
}

// ObserveBeliefs asks each manager once.
func ObserveBeliefs(ctx context.Context, s *session.Session) (Beliefs, error) {
	engines, err := s.Engines(ctx, nil)
	if err != nil {
		return Beliefs{}, err
	}
	defer engines.Close()
	views := engines.Cluster(swarm.Options{}).ManagerViews(ctx, func(ctx context.Context, name string) (raft.State, error) {
		c := engines.Pool.Held(name)
		if c == nil {
			return raft.State{}, swarm.ErrAbsent
		}
		return raft.Read(ctx, c)
	})
	return Beliefs{Lab: s.Lab().Name, Driver: s.Driver().Name(), Views: views}, ctx.Err()
}

// Members are all nodes that any manager lists or remembers.
func (b Beliefs) Members() []string {
	out := swarm.MemberNames(b.Managers)
	for _, m := range b.Managers {
		for _, name := range m.Knows {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// Verdict says in a line whether the managers agree.
func (b Beliefs) Verdict() string {
	var led, alone []string
	for _, m := range b.Managers {
		switch m.LeaderText() {
		case "":
		case swarm.NoLeader:
			alone = append(alone, m.Manager)
		default:
			led = append(led, m.Manager)
		}
	}
	var about []string
	for _, d := range b.Disagreements {
		about = append(about, d.About)
	}
	switch {
	case len(led) > 0 && len(alone) > 0:
		return fmt.Sprintf("disagreement on %s: %s with a leader, %s without: a partition, or an election under way",
			strings.Join(about, ", "), strings.Join(led, ", "), strings.Join(alone, ", "))
	case len(led) == 0 && len(alone) > 0: // their terms may well differ: each tries to be elected
		return "no manager has a leader: the quorum is lost, or an election is under way"
	case len(about) > 0:
		return "disagreement on " + strings.Join(about, ", ")
	case len(led) == 0:
		return "no manager answers"
	case len(led) < len(b.Managers):
		return "those that answer agree"
	}
	return "all managers agree"
}

package report

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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
	// Election that is under way; null where there is none.
	Election *Election `json:"election" yaml:"election"`
}

// Election is one that is under way.
type Election struct {
	// Term is the newest that a manager is in; 0 where it is not known.
	Term uint64 `json:"term" yaml:"term"`
	// Since is from when on there has been no leader (RFC 3339), empty where it is not
	// known.
	Since string `json:"since" yaml:"since"`

	since time.Time
}

// Began tells since when there has been no leader, as somebody knows who has listened.
func (e *Election) Began(since time.Time) {
	e.since, e.Since = since, since.UTC().Format(time.RFC3339)
}

// Words read "electing, term 4, 6s"; what is not known is left out.
func (e *Election) Words(now time.Time) string {
	text := "electing"
	if e.Term > 0 {
		text += fmt.Sprintf(", term %d", e.Term)
	}
	if !e.since.IsZero() {
		text += fmt.Sprintf(", %s", max(0, now.Sub(e.since)).Truncate(time.Second))
	}
	return text
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
	b := Beliefs{Lab: s.Lab().Name, Driver: s.Driver().Name(), Views: views}
	if term, ok := views.Electing(); ok {
		b.Election = &Election{Term: term}
	}
	return b, ctx.Err()
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
func (b Beliefs) Verdict(now time.Time) string {
	var led, alone, leaderless []string
	for _, m := range b.Managers {
		if m.Leaderless() {
			leaderless = append(leaderless, m.Manager)
		}
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
	case len(led) == 0 && b.Election != nil: // their terms may well differ: each tries to be elected
		return "no manager has a leader: " + b.Election.Words(now)
	case len(led) == 0 && len(leaderless) > 0:
		return fmt.Sprintf("no manager has a leader: the quorum is lost, %d of %d managers answer, %d required",
			len(leaderless), len(b.Managers), swarm.Majority(len(b.Managers)))
	case len(about) > 0:
		return "disagreement on " + strings.Join(about, ", ")
	case len(led) == 0:
		return "no manager answers"
	case len(led) < len(b.Managers):
		return "those that answer agree"
	}
	return "all managers agree"
}

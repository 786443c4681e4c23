package report

import (
	"testing"
	"time"

	"github.com/dcalab/dcalab/swarm"
)

func TestVerdict(t *testing.T) {
	list := func(name, leader string) swarm.Belief {
		return swarm.Belief{Manager: name, Answer: swarm.AnswerList, Leader: leader}
	}
	leaderless := func(name string, term uint64) swarm.Belief {
		return swarm.Belief{Manager: name, Answer: swarm.AnswerNoList, Raft: swarm.Raft{Term: term}}
	}
	for want, v := range map[string]swarm.Views{
		"all managers agree":      {Managers: []swarm.Belief{list("m1", "m1"), list("m2", "m1")}},
		"those that answer agree": {Managers: []swarm.Belief{list("m1", "m1"), {Manager: "m2", Answer: swarm.AnswerSilent}}},
		"no manager answers":      {Managers: []swarm.Belief{{Manager: "m2", Answer: swarm.AnswerSilent}}},
		"no manager has a leader: the quorum is lost, 1 of 3 managers answer, 2 required": {
			Managers: []swarm.Belief{leaderless("m1", 3), {Manager: "m2", Answer: swarm.AnswerSilent}, {Manager: "m3", Answer: swarm.AnswerSilent}},
		},
		"no manager has a leader: electing, term 4, 6s": {
			Managers:      []swarm.Belief{leaderless("m1", 3), leaderless("m2", 4), {Manager: "m3", Answer: swarm.AnswerSilent}},
			Disagreements: []swarm.Disagreement{{About: "term"}},
		},
		"no manager has a leader: electing": {Managers: []swarm.Belief{leaderless("m1", 0)}},
		"disagreement on leader: m2 with a leader, m1 without: a partition, or an election under way": {
			Managers:      []swarm.Belief{leaderless("m1", 4), list("m2", "m2")},
			Disagreements: []swarm.Disagreement{{About: "leader"}},
		},
		"disagreement on m3": {Managers: []swarm.Belief{list("m1", "m1"), list("m2", "m1")}, Disagreements: []swarm.Disagreement{{About: "m3"}}},
	} {
		b, now := Beliefs{Views: v}, time.Now()
		if term, ok := v.Electing(); ok {
			b.Election = &Election{Term: term}
			if term > 0 {
				b.Election.Began(now.Add(-6 * time.Second))
			}
		}
		if got := b.Verdict(now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

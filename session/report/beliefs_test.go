package report

import (
	"strings"
	"testing"

	"github.com/dcalab/dcalab/swarm"
)

func TestVerdict(t *testing.T) {
	list := func(name, leader string) swarm.Belief {
		return swarm.Belief{Manager: name, Answer: swarm.AnswerList, Leader: leader}
	}
	for want, v := range map[string]swarm.Views{
		"all managers agree":      {Managers: []swarm.Belief{list("m1", "m1"), list("m2", "m1")}},
		"those that answer agree": {Managers: []swarm.Belief{list("m1", "m1"), {Manager: "m2", Answer: swarm.AnswerSilent}}},
		"no manager answers":      {Managers: []swarm.Belief{{Manager: "m2", Answer: swarm.AnswerSilent}}},
		"no manager has a leader: the quorum is lost, or an election is under way": {Managers: []swarm.Belief{{Manager: "m1", Answer: swarm.AnswerNoList}}},
		"no manager has a leader: the quorum is lost, or an election is under way ": {
			Managers:      []swarm.Belief{{Manager: "m1", Answer: swarm.AnswerNoList}, {Manager: "m2", Answer: swarm.AnswerNoList}},
			Disagreements: []swarm.Disagreement{{About: "term"}},
		},
		"disagreement on m3": {Managers: []swarm.Belief{list("m1", "m1"), list("m2", "m1")}, Disagreements: []swarm.Disagreement{{About: "m3"}}},
	} {
		if got := (Beliefs{Views: v}).Verdict(); got != strings.TrimSpace(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

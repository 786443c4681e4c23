package show

import (
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
)

func TestBeliefs(t *testing.T) {
	members := func(old, leader string) []swarm.Member {
		var out []swarm.Member
		for _, name := range []string{"m1", "m2", "m3"} {
			m := swarm.Member{Name: name, Role: lab.RoleManager, Leader: name == leader, Reachability: "reachable", Status: "ready", Availability: "active"}
			if name == old {
				m.Reachability, m.Status = "unreachable", "down"
			}
			out = append(out, m)
		}
		return out
	}
	knows := []string{"m1", "m2", "m3"}
	v := swarm.Views{
		Managers: []swarm.Belief{
			{Manager: "m1", Answer: swarm.AnswerNoList, Error: "The swarm does not have a leader.", Knows: knows,
				Raft: swarm.Raft{Term: 5, Vote: "m1", Commit: 28, LastTerm: 2, LastIndex: 28, Behind: 8}},
			{Manager: "m2", Answer: swarm.AnswerList, Leader: "m2", Knows: knows, Members: members("m1", "m2"),
				Raft: swarm.Raft{Term: 3, Vote: "m2", Commit: 35, LastTerm: 3, LastIndex: 36}},
			{Manager: "m3", Answer: swarm.AnswerSilent, Error: "info: no answer within 5s"},
		},
		Disagreements: []swarm.Disagreement{
			{About: "leader", Beliefs: map[string]string{"m1": "none", "m2": "m2"}},
			{About: "term", Beliefs: map[string]string{"m1": "5", "m2": "3"}},
		},
	}
	var got strings.Builder
	if err := Beliefs(&got, report.Beliefs{Views: v}, Style{}); err != nil {
		t.Fatal(err)
	}
	want := `BELIEVED BY   m1                        m2                                  m3
answer        no list                   list                                silent
leader        ≠ none                    ≠ m2                                -
raft term     ≠ 5                       ≠ 3                                 -
voted for     m1                        m2                                  -
committed     28                        35                                  -
last entry    28, of term 2, 8 behind   36                                  -
m1            itself                    manager unreachable, down, active   -
m2            known, not seen           leader, ready, active               -
m3            known, not seen           manager reachable, ready, active    -

warning: m1: The swarm does not have a leader; its engine remembers the managers m1, m2, m3
warning: m3: info: no answer within 5s
disagreement on leader, term: m2 with a leader, m1 without: a partition, or an election under way
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

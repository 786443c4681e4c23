package timeline

import (
	"testing"

	"github.com/dcalab/dcalab/swarm/raft"
)

// TestElectedByTheOthersLogs: who has won may be in the logs of the others before it was read
// in its own.
func TestElectedByTheOthersLogs(t *testing.T) {
	var said []Event
	l := &listener{tell: func(e Event) { said = append(said, e) }, stock: make(chan struct{}, 1)}
	voted := raft.State{HardState: raft.HardState{Term: 22, Vote: 1}, Last: raft.Position{Term: 22, Index: 9}}
	m2, m3 := voted, voted
	m2.ID, m3.ID = 2, 3
	l.logs = map[string]raft.State{"m1": {ID: 1, HardState: raft.HardState{Term: 21, Vote: 2}, Last: raft.Position{Term: 20, Index: 7}}, "m2": m2, "m3": m3}
	l.elected()
	if len(said) != 1 || said[0].Kind != KindLeader || said[0].Node != "m1" || said[0].Raft.Term != 22 || said[0].Raft.Vote != "m1" {
		t.Errorf("it tells %+v", said)
	}
	l.elected()
	if len(said) != 1 {
		t.Errorf("it tells it again: %+v", said[1:])
	}
}

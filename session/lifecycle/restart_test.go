package lifecycle

import (
	"slices"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
)

// Workers are restarted first and the leader last, so that a leader is elected
// once.
func TestRestartOrder(t *testing.T) {
	v := swarm.View{Nodes: []swarm.NodeView{
		{Name: "a", Role: lab.RoleManager, Leader: true}, {Name: "b", Role: lab.RoleManager}, {Name: "c", Role: lab.RoleWorker}, {Name: "d", Role: lab.RoleManager},
	}}
	if got := restartOrder(v, []string{"d", "a", "c", "b"}); !slices.Equal(got, []string{"c", "b", "d", "a"}) {
		t.Errorf("%v", got)
	}
}

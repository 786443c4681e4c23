package session

import (
	"slices"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
)

func TestRolesNow(t *testing.T) {
	v := swarm.View{Nodes: []swarm.NodeView{
		{Name: "promoted", Want: lab.RoleWorker, Role: lab.RoleManager, State: swarm.StateMember},
		{Name: "down", Want: lab.RoleManager, Role: lab.RoleWorker, State: swarm.StateUnreachable, Listed: true},
		{Name: "alone", Want: lab.RoleManager, State: swarm.StateInactive},
		{Name: "foreign", Want: lab.RoleWorker, Role: lab.RoleManager, State: swarm.StateForeign},
		{Name: "registry", Want: lab.RoleNone, State: swarm.StateInactive},
	}}
	roles, guessed := rolesNow(v)
	for name, want := range map[string]lab.Role{
		"promoted": lab.RoleManager, "down": lab.RoleWorker, "alone": lab.RoleManager, "foreign": lab.RoleWorker, "registry": lab.RoleNone,
	} {
		if roles[name] != want {
			t.Errorf("%s is %q, want %q", name, roles[name], want)
		}
	}
	if want := []string{"alone", "foreign"}; !slices.Equal(guessed, want) {
		t.Errorf("guessed: %q, want %q", guessed, want)
	}
}

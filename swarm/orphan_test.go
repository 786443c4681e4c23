package swarm

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// The manager is no longer in labs.yaml. By its machine the lab knows its swarm
// still, and it is not taken out before another member that labs.yaml calls a
// manager stands for the lab.
func TestTheManagerIsAnOrphan(t *testing.T) {
	for _, tt := range []struct {
		name string
		want lab.Role // of n2, in labs.yaml
		role engine.Role
		id   string
	}{
		{"nobody else is one", lab.RoleWorker, engine.RoleWorker, "last-wanted-manager"},
		{"another one is, by hand", lab.RoleWorker, engine.RoleManager, "last-wanted-manager"},
		{"another one is to be", lab.RoleManager, engine.RoleWorker, "last-manager"},
		{"another one is", lab.RoleManager, engine.RoleManager, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab("mww"))
				formed(w)
				if tt.role == engine.RoleManager {
					w.setRole(1, 0, engine.RoleManager)
				}
				targets := w.targets()
				targets[0].Role, targets[0].Orphan = lab.RoleNone, true
				targets[1].Role = tt.want
				v := observe(t.Context(), targets)
				if v.Cluster == "" || !v.Quorum.HasQuorum || v.Nodes[2].State != StateMember {
					t.Fatalf("the lab does not know its swarm: %+v", v.Nodes)
				}
				for _, dry := range []bool{true, false} {
					_, err := remove(t.Context(), targets, []string{"n1"}, how{Gone: true, DryRun: dry})
					var tr *trouble.Error
					if errors.As(err, &tr); (err == nil) != (tt.id == "") || err != nil && (tr == nil || tr.ID != tt.id) {
						t.Errorf("dry %v: got %v, want %q", dry, err, tt.id)
					}
				}
			})
		})
	}
}

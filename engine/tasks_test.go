package engine_test

import (
	"net/http"
	"testing"

	"github.com/dcalab/dcalab/engine"
)

func TestTasksHaveTheNamesOfServicePs(t *testing.T) {
	f, c := fake(t, "1.41")
	f.answer("GET /v1.41/services", http.StatusOK, []map[string]any{{"ID": "s1", "Spec": map[string]any{"Name": "web"}}})
	f.answer("GET /v1.41/tasks", http.StatusOK, []map[string]any{
		{"ID": "t1", "ServiceID": "s1", "Slot": 2, "NodeID": "n1", "DesiredState": "running", "Status": map[string]any{"State": "running"}},
		{"ID": "t2", "ServiceID": "s1", "NodeID": "n2", "DesiredState": "shutdown", "Status": map[string]any{"State": "failed"}},
		{"ID": "t3", "ServiceID": "gone", "Slot": 1, "DesiredState": "running", "Status": map[string]any{"State": "pending"}},
		{"ID": "t4", "NodeID": "n1", "DesiredState": "running", "Status": map[string]any{"State": "running"}},
	})
	tasks, err := c.Swarm.Tasks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		task            engine.Task
		running, wanted bool
	}{
		{engine.Task{ID: "t1", NodeID: "n1", ServiceID: "s1", Name: "web.2", State: "running", Desired: "running"}, true, true},
		{engine.Task{ID: "t2", NodeID: "n2", ServiceID: "s1", Name: "web.n2", State: "failed", Desired: "shutdown"}, false, false},
		{engine.Task{ID: "t3", ServiceID: "gone", Name: "t3", State: "pending", Desired: "running"}, true, true},
		{engine.Task{ID: "t4", NodeID: "n1", Name: "t4", State: "running", Desired: "running", Attached: true}, true, true},
	} {
		if got := tasks[i]; got != want.task || got.Running() != want.running || got.Wanted() != want.wanted {
			t.Errorf("got %+v (running %v, wanted %v), want %+v", got, got.Running(), got.Wanted(), want)
		}
	}
}

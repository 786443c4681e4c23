package report

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// whyOf asks about a name in a swarm of m1, w1 and x, which is no node of the lab.
func whyOf(t *testing.T, name string, edit func(*engine.Schedule)) (Why, error) {
	t.Helper()
	now := time.Unix(1000, 0)
	node := func(name string) engine.ScheduleNode {
		return engine.ScheduleNode{
			Node:      engine.Node{ID: "id-" + name, Hostname: name + ".example", Role: engine.RoleWorker, Status: engine.NodeReady, Availability: engine.AvailabilityActive},
			Resources: engine.Resources{NanoCPUs: 2e9, Memory: 1 << 30},
		}
	}
	task := func(id, service, name string, slot int, on, state, desired string) engine.ScheduleTask {
		return engine.ScheduleTask{Task: engine.Task{ID: id, Name: name, NodeID: on, State: state, Desired: desired}, Service: service, Slot: slot, Since: now.Add(-time.Minute), Created: now.Add(-time.Minute)}
	}
	known := engine.Schedule{
		Nodes: []engine.ScheduleNode{node("w1"), node("m1"), node("x")},
		Services: []engine.ScheduleService{
			{ID: "s-web", Name: "web", Mode: "replicated", Replicas: 2, UpdateOrder: "stop-first"},
			{ID: "s-all", Name: "all", Mode: "global"},
		},
		Tasks: []engine.ScheduleTask{
			task("t-web1", "s-web", "web.1", 1, "id-w1", "running", "running"), task("t-web2", "s-web", "web.2", 2, "", "pending", "running"),
			task("t-old2", "s-web", "web.2", 2, "id-w1", "failed", "shutdown"),
			task("t-all1", "s-all", "all.id-w1", 0, "id-w1", "running", "running"), task("t-all2", "s-all", "all.id-m1", 0, "id-m1", "pending", "running"),
		},
	}
	known.Tasks[1].Error, known.Tasks[2].Error = "no suitable node (…)", "it ended: 1"
	if edit != nil {
		edit(&known)
	}
	v := swarm.View{Nodes: []swarm.NodeView{{Name: "m1", NodeID: "id-m1"}, {Name: "w1", NodeID: "id-w1"}}}
	w := newWhy("dca", v, known, now)
	return w.about(name)
}

func TestWhy(t *testing.T) {
	paused := func(s *engine.Schedule) {
		for i := range s.Nodes {
			s.Nodes[i].Availability = engine.AvailabilityPause
		}
	}
	one := engine.Requirements{MaxReplicas: 1}
	for name, c := range map[string]struct {
		about string
		edit  func(*engine.Schedule)
		want  []string // in what it says
		not   []string
	}{
		"a service": {about: "web", want: []string{
			"kind service", "summary replicated, 1 of 2 tasks running, 1 pending", "pending web.2", "task web.1 on w1", "place m1 true next",
			"note web.2: no suitable node (…)", "note 1 task failed: it ended: 1 (the last, web.2 on w1, 1m00s ago)", "note a node fits",
		}, not: []string{"\nchange "}},
		"no node fits": {about: "web", edit: paused, want: []string{
			"place m1 false", "change dcalab activate m1", "change dcalab activate w1", "change docker node update --availability active x.example",
			"note web.1 would not be placed on w1 now (its availability is pause)",
		}},
		"an update that is paused": {about: "web", edit: func(s *engine.Schedule) {
			s.Services[0].UpdateState, s.Services[0].UpdateMessage = "paused", "update paused due to failure or early termination of task t-old2"
		}, want: []string{"note the update is paused: update paused due to failure or early termination of task t-old2; that is web.2 on w1, failed: it ended: 1", "docker service rollback web"}},
		"an update that waits for what it replaces": {about: "web", edit: func(s *engine.Schedule) {
			s.Services[0].UpdateState, s.Services[0].UpdateOrder, s.Services[0].Needs = "updating", "start-first", one
			s.Nodes = s.Nodes[:1]
			s.Tasks[1].Slot, s.Tasks[1].Needs = 1, one
		}, want: []string{"note the update waits for web.2", "keeps its place until the new one runs", "change docker service update --update-order stop-first --force web"}},
		"a task that is placed":   {about: "web.1", want: []string{"kind task", "summary running on w1", "place w1 true: the task is here", "place m1 true next"}, not: []string{"\nchange ", "note web.1"}},
		"a task by its id":        {about: "t-old", want: []string{"kind task", "name web.2", "summary failed on w1, wanted shutdown"}},
		"a task of a global one":  {about: "all.m1", want: []string{"summary pending on m1, wanted running", "place m1 true"}, not: []string{"place w1"}},
		"the same by the node":    {about: "all.id-m1", want: []string{"name all.m1"}},
		"a global service":        {about: "all", want: []string{"summary global, 1 task running, 1 pending", "place w1 true: it has its task (running)", "place m1 true: its task waits for the scheduler", "place x.example true: the swarm has made no task for it", "note service all waits for 1 node"}},
		"a global one, paused":    {about: "all", edit: paused, want: []string{"place m1 false", "change dcalab activate m1", "place x.example false"}, not: []string{"change dcalab activate w1"}},
		"a node":                  {about: "w1", want: []string{"kind node", "summary ready, active, 2 tasks here", "place all on w1", "place web on w1"}, not: []string{"on m1", "\nchange "}},
		"a node by its full name": {about: "w1.example", want: []string{"name w1"}},
		"a node of none":          {about: "x.example", want: []string{"summary ready, active, 0 tasks here"}},
		"a job": {about: "web", edit: func(s *engine.Schedule) {
			s.Services[0].Mode = "replicated-job"
			s.Tasks[0].State, s.Tasks[0].Desired = "complete", "complete"
		}, want: []string{"summary replicated-job, 0 running, 1 complete, 1 pending", "task web.1 on w1"}},
		"a task before the scheduler": {about: "web", edit: func(s *engine.Schedule) {
			s.Tasks[1].State, s.Tasks[1].Error, s.Tasks[1].Message = "new", "", "created"
		}, want: []string{"note web.2: it has no addresses in its networks yet (created)"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := whyOf(t, c.about, c.edit)
			if err != nil {
				t.Fatal(err)
			}
			said := strings.Join(told(r), "\n")
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q:\n%s", want, said)
				}
			}
			for _, not := range c.not {
				if strings.Contains(said, not) {
					t.Errorf("it says %q:\n%s", not, said)
				}
			}
		})
	}
}

// told is a Why in lines.
func told(r Why) []string {
	out := []string{"kind " + r.Kind, "name " + r.Name, "summary " + r.Summary, "pending " + strings.Join(r.Pending, " ")}
	for _, one := range r.Tasks {
		out = append(out, "task "+one.Name+" on "+one.Node)
	}
	for _, p := range r.Placements {
		line := "place " + p.Node
		if r.Kind == "node" {
			line = "place " + p.Service + " on " + p.Node
		}
		line += map[bool]string{true: " true", false: " false"}[p.Fits]
		if p.Next {
			line += " next"
		}
		out = append(out, line+": "+p.Note)
	}
	for _, n := range r.Notes {
		out = append(out, "note "+n)
	}
	for _, c := range r.Changes {
		out = append(out, "change "+strings.Join(c, " && "))
	}
	return out
}

func TestWhyOfNothing(t *testing.T) {
	_, err := whyOf(t, "wep", nil)
	var e *trouble.Error
	if !errors.As(err, &e) || e.ID != "no-such-task" || !slices.Contains(e.Next, "did you mean: dcalab why web") {
		t.Errorf("%v: %+v", err, e)
	}
}

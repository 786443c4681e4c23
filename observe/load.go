package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/image"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session/store"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
)

const (
	// loadName is the service that is a load, with loadTasks tasks for each node.
	loadName  = "dcalab-load"
	loadTasks = 2
	// loadTimeout is how long its tasks may take until they run.
	loadTimeout = 2 * time.Minute
)

// load makes the service, and counts its containers on each node until ctx ends.
func (r *runner) load(ctx context.Context, failed <-chan error, count func(do func())) error {
	machines, err := r.session.Driver().Status(ctx)
	if err != nil {
		return err
	}
	var nodes []string
	for _, n := range r.session.Lab().Nodes {
		if machines[n.Name] == machine.StatusRunning {
			nodes = append(nodes, n.Name)
		}
	}
	want := loadTasks * len(nodes)
	r.Tell.Step("", fmt.Sprintf("running %s of the demo image", trouble.Count(want, "task")))
	if err := store.Persist(ctx, r.stores, cleanTimeout, func(ctx context.Context, m *store.Manager) error {
		c, err := m.Engine(ctx)
		if err == nil {
			err = c.Services.Remove(ctx, r.set.Label) // of an earlier run
		}
		if err != nil {
			return err
		}
		held, err := c.Swarm.Holdings(ctx)
		if err != nil {
			return err
		}
		if slices.Contains(held.Services, loadName) {
			return &trouble.Error{
				ID: "service-name-taken", What: "make the service " + loadName, Why: "there is one of this name, which dcalab observe did not make", Exit: trouble.ExitRefused,
				Next: []string{"look at it: dcalab ssh " + m.Name + " -- docker service inspect " + loadName, "where nobody needs it: dcalab ssh " + m.Name + " -- docker service rm " + loadName},
			}
		}
		return c.Services.Create(ctx, engine.NewService{
			Name: loadName, Image: image.DemoName + ":" + image.DemoVersions()[0], Replicas: uint64(want), Labels: map[string]string{r.set.Label: ""}, //nolint:gosec // a count
			Env: []string{"NODE={{.Node.Hostname}}", "TASK={{.Task.Name}}"},
		})
	}); err != nil {
		return err
	}
	if err := r.until(ctx, failed, loadTimeout, func() bool { return r.observer.tasks.running(loadName) == want }); err != nil {
		if errors.Is(err, errLate) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return &trouble.Error{
				ID: "observe-no-load", What: "run " + loadName, Why: fmt.Sprintf("of %d tasks %d run after %s", want, r.observer.tasks.running(loadName), trouble.Duration(loadTimeout)), Exit: trouble.ExitRefused,
				Next: []string{"why they do not: dcalab ssh " + r.stores[0].Name + " -- docker service ps --no-trunc " + loadName},
			}
		}
		return err
	}
	for _, name := range nodes {
		count(func() { r.countContainers(ctx, r.set.Through(r.session, r.pool, name)) })
	}
	r.Tell.Done("", fmt.Sprintf("%s of %s run", trouble.Count(want, "task"), loadName))
	return nil
}

// countContainers asks an engine again and again how many containers of the service it
// runs, whatever the swarm believes, and records whenever that changes.
func (r *runner) countContainers(ctx context.Context, m *store.Manager) {
	defer m.Close()
	recording := timeline.Recording{State: r.session.State()}
	told := ""
	for ctx.Err() == nil {
		text := r.containers(ctx, m)
		if ctx.Err() != nil {
			return
		}
		if text != told {
			told = text
			_ = recording.Add(timeline.Event{Time: time.Now(), Source: timeline.SourceProbe, Kind: timeline.KindContainers, Node: m.Name, Text: text})
		}
		select {
		case <-ctx.Done():
		case <-time.After(acceptedPause):
		}
	}
}

func (r *runner) containers(ctx context.Context, m *store.Manager) string {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := m.Engine(ctx)
	n := 0
	if err == nil {
		n, err = c.Services.Containers(ctx, loadName)
	}
	switch {
	case err == nil:
		return fmt.Sprintf("containers of %s that run there: %d", loadName, n)
	case errors.Is(err, store.ErrNotSent):
		return "its containers cannot be counted: it cannot be connected to"
	}
	return "its containers cannot be counted: the engine does not answer"
}

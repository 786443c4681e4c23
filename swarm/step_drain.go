package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/runbook"
)

// emptyStep waits until no task of a service runs on a node; on one that does
// not answer, until the swarm wants none there.
type emptyStep struct {
	on
	ID string
}

func (emptyStep) Kind() Kind     { return KindDrain }
func (emptyStep) String() string { return "wait until no task of a service is left on it" }

// quiet: it tells itself what it waits for.
func (emptyStep) quiet() {}

func (s emptyStep) Do(ctx context.Context, r *Run) error {
	var left []string
	told := ""
	err := r.poll(ctx, func() error {
		tasks, err := r.runningTasks(ctx)
		if err != nil {
			return err
		}
		if left = s.left(r.view, tasks); len(left) == 0 {
			return nil
		}
		if text := "waiting for its tasks to end: " + strings.Join(left, ", "); told != text {
			told = text
			r.o.Progress(Event{Node: s.Node(), Kind: KindDrain, Step: text})
		}
		return errTasksLeft
	})
	s.tellOthers(ctx, r)
	if errors.Is(err, errTasksLeft) {
		return &tasksLeftError{s.Node(), left}
	}
	return err
}

// runningTasks asks a manager for the tasks of all services; steps that want them
// at the same time ask once.
func (r *Run) runningTasks(ctx context.Context) ([]engine.Task, error) {
	r.tasksMu.Lock()
	defer r.tasksMu.Unlock()
	if r.tasksAt.IsZero() || time.Since(r.tasksAt) > sameLook {
		if err := r.viaAnyManager(ctx, func(e Engine) error {
			var err error
			r.tasks, err = e.Tasks(ctx)
			return err
		}); err != nil {
			return nil, err
		}
		r.tasksAt = time.Now()
	}
	return r.tasks, nil
}

var errTasksLeft = errors.New("tasks are left")

// tasksLeftError: a node still has these tasks when the timeout is over.
type tasksLeftError struct {
	node  string
	tasks []string
}

func (e *tasksLeftError) Error() string { return e.node + " still has " + strings.Join(e.tasks, ", ") }

// left names the tasks of services that the node still has. What a node that
// does not answer last told says nothing: there the swarm's wish counts.
func (s emptyStep) left(v View, tasks []engine.Task) []string {
	n, ours := v.Node(s.Node())
	at := find(v.entries(), s.ID)
	silent := ours && !n.State.Answered() || at >= 0 && v.entries()[at].Status == engine.NodeDown
	var out []string
	for _, t := range tasks {
		if t.NodeID != s.ID || t.Attached || !t.Running() || silent && !t.Wanted() {
			continue
		}
		out = append(out, t.Name+" ("+t.State+")")
	}
	slices.Sort(out)
	return out
}

// tellOthers tells of the containers on the node that no service started. What
// cannot be counted is not told.
func (s emptyStep) tellOthers(ctx context.Context, r *Run) {
	n, ours := r.view.Node(s.Node())
	e, err := r.engine(s.Node())
	if !ours || !n.State.Answered() || err != nil {
		return
	}
	switch count, _ := e.Standalone(ctx); {
	case count == 1:
		r.warn(s.Node(), "1 other container stays on "+s.Node()+": no service started it")
	case count > 1:
		r.warn(s.Node(), fmt.Sprintf("%d other containers stay on %s: no service started them", count, s.Node()))
	}
}

func (s emptyStep) Runbook(w *RunbookWriter) {
	line := []string{"docker", "node", "ps"}
	// What a node that does not answer last told says nothing.
	if n, ours := w.v.Node(s.Node()); ours && !n.State.Answered() {
		line = append(line, "--filter", "desired-state=running")
	}
	text := runbook.Template(append(line, "--format", "{{.CurrentState}}", w.entry(s.Node(), s.ID))...) + " | grep -c Running"
	w.await(runbook.Command{Node: w.manager(), Text: text, Why: "how many tasks run there", Until: "0"})
}

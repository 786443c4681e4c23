package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

// live shows the lab on the whole screen, until somebody leaves.
func (s *session) live(ctx context.Context) error {
	w := &watcher{app: s.app, held: map[string]*held{}}
	defer w.close()
	return ui.Live(ctx, s.app.streams, ui.LiveOptions{
		Look: w.look, Interval: lookInterval,
		Color: s.app.streams.OutColor(s.app.settings.GetBool("no-color")),
	})
}

const (
	lookInterval = 500 * time.Millisecond
	// lookPatience is how long one look waits for answers; what comes later is
	// shown by a later one.
	lookPatience = time.Second
	// staleAfter is from when on what is shown is called old.
	staleAfter = 2 * time.Second
)

// watcher looks at a lab again and again, over connections that it keeps.
// Machines, engines and tasks are asked independently of each other: whoever
// is slow is shown as it was, and called old.
type watcher struct {
	app      *app
	id       string // of the lab that the connections belong to
	held     map[string]*held
	engines  swarm.Watch
	machines background[map[string]machine.Status]
	tasks    background[[]engine.Task]
	known    map[string]machine.Status // what the driver told last; nil before
	told     []engine.Task             // what a manager told last
	since    time.Time                 // when it did; zero where none ever did
}

// held is a node that is connected, or is being connected.
type held struct {
	dialing background[*node.Conn]
	node    *node.Conn
	client  *engine.Client
}

// background is one question at a time, answered in a goroutine of its own.
type background[T any] struct {
	done chan struct{}
	got  T
	err  error
}

// begin asks, unless the last question is still under way.
func (b *background[T]) begin(ask func() (T, error)) {
	if b.done != nil {
		return
	}
	done := make(chan struct{})
	b.done = done
	go func() {
		defer close(done)
		b.got, b.err = ask()
	}()
}

// take gives the answer once, where it comes before ctx ends; ok tells that.
func (b *background[T]) take(ctx context.Context) (got T, err error, ok bool) {
	if b.done == nil {
		return got, nil, false
	}
	select {
	case <-b.done:
	default:
		select {
		case <-b.done:
		case <-ctx.Done():
			return got, nil, false
		}
	}
	b.done = nil
	return b.got, b.err, true
}

// close is called when the context of the looks has ended.
func (w *watcher) close() {
	_, _, _ = w.machines.take(context.Background())
	_, _, _ = w.tasks.take(context.Background())
	for name := range w.held {
		w.drop(name)
	}
	w.engines.Wait()
}

func (w *watcher) drop(name string) {
	h := w.held[name]
	delete(w.held, name)
	if node, _, ok := h.dialing.take(context.Background()); ok && node != nil {
		_ = node.Close()
	}
	if h.client != nil {
		_ = h.client.Close()
	}
	if h.node != nil {
		_ = h.node.Close()
	}
}

// look opens the lab anew: it may be made, changed and destroyed meanwhile.
func (w *watcher) look(ctx context.Context) (ui.Picture, error) {
	s, err := w.app.open()
	if err != nil {
		return ui.Picture{}, err
	}
	if s.Record().ID != w.id {
		_, _, _ = w.machines.take(ctx)
		_, _, _ = w.tasks.take(ctx)
		for name := range w.held {
			w.drop(name)
		}
		w.id, w.known, w.told, w.since = s.Record().ID, nil, nil, time.Time{}
	}
	soon, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	machines, err := w.lookAtMachines(ctx, soon, s)
	if err != nil {
		return ui.Picture{}, err
	}
	targets := w.connect(ctx, soon, s, machines)
	v, old := w.engines.Look(ctx, targets, lookPatience)
	v = labsession.Settled(v, machines)
	for _, n := range v.Nodes {
		// The next look makes a new connection: this may be what does not answer.
		_, busy := old[n.Name]
		if h := w.held[n.Name]; h != nil && h.node != nil && n.State == swarm.StateEngineDown && !busy && !errors.Is(n.Err, engine.ErrHangs) && !errors.Is(n.Err, swarm.ErrNotYet) {
			w.drop(n.Name)
		}
	}
	w.askForTasks(ctx, soon, swarm.New(targets, swarm.Options{}), v)
	r, err := s.reportOn(ctx, v, machines)
	if err != nil {
		return ui.Picture{}, err
	}
	r.Ailments = append(r.Ailments, swarm.Diagnose(v, nil, time.Now())...)
	p := picture(r, v, w.told, !w.since.IsZero())
	for i, f := range p.Facts {
		p.Facts[i].Value = s.app.hint(f.Value)
	}
	if p.Meter != nil {
		p.Meter.Text = s.app.hint(p.Meter.Text)
	}
	now := time.Now()
	p.Stale = stale(old, w.since, now)
	for i := range p.Rows {
		at, ok := old[p.Rows[i].Name]
		p.Rows[i].Stale = ok && now.Sub(at) >= staleAfter
	}
	return p, nil
}

// lookAtMachines tells which machines run. Whose connection is held does, and
// its end tells of the machine's; the driver is asked where one is missing.
func (w *watcher) lookAtMachines(ctx, soon context.Context, s *session) (map[string]machine.Status, error) {
	for name, h := range w.held {
		_, ok := s.Lab().Node(name)
		if gone := h.node != nil && ended(h.node); !ok || gone {
			w.drop(name)
			if w.known != nil && gone {
				w.known[name] = machine.StatusUnknown // until the driver tells
			}
		}
	}
	if slices.ContainsFunc(s.Lab().Nodes, func(n lab.Node) bool { h := w.held[n.Name]; return h == nil || h.node == nil }) {
		w.machines.begin(func() (map[string]machine.Status, error) { return s.Driver().Status(ctx) })
	}
	wait := soon
	if w.known == nil { // the first look has nothing to show without it
		wait = ctx
	}
	if known, err, ok := w.machines.take(wait); ok {
		if err != nil {
			return nil, err
		}
		w.known = maps.Clone(known)
	}
	machines := maps.Clone(w.known)
	for name, h := range w.held {
		if h.node != nil {
			machines[name] = machine.StatusRunning
		}
	}
	return machines, nil
}

// connect makes the connections that are missing, and gives the way to each
// engine.
func (w *watcher) connect(ctx, soon context.Context, s *session, machines map[string]machine.Status) []swarm.Target {
	for _, n := range s.Lab().Nodes {
		if machines[n.Name] != machine.StatusRunning {
			if h := w.held[n.Name]; h != nil && h.node == nil && h.dialing.done == nil {
				w.drop(n.Name)
			}
			continue
		}
		h := w.held[n.Name]
		if h == nil {
			h = &held{}
			w.held[n.Name] = h
		}
		if h.node == nil {
			h.dialing.begin(func() (*node.Conn, error) { return s.Dial(ctx, n.Name, machine.StatusRunning) })
		}
	}
	var targets []swarm.Target
	for _, n := range s.Lab().Nodes {
		t := swarm.TargetFor(s.Lab(), n)
		t.Unreachable = labsession.NotRunning(n.Name, machines[n.Name])
		if h := w.held[n.Name]; h != nil {
			conn, err, ok := h.dialing.take(soon)
			switch {
			case ok && err != nil:
				t.Unreachable = err
			case ok:
				if h.client, err = engine.New(n.Name, conn.DialEngine); err != nil {
					_ = conn.Close()
					t.Unreachable = err
					break
				}
				h.node = conn
			case h.node == nil:
				t.Unreachable = fmt.Errorf("connecting: %w", swarm.ErrNotYet)
			}
			if h.node != nil {
				t.Engine, t.Certificate, t.Unreachable = h.client, labsession.CertificateOf(h.node), nil
			}
		}
		targets = append(targets, t)
	}
	return targets
}

// askForTasks asks a manager for the tasks; what it told last is kept.
func (w *watcher) askForTasks(ctx, soon context.Context, cluster *swarm.Cluster, v swarm.View) {
	w.tasks.begin(func() ([]engine.Task, error) { return cluster.Tasks(ctx, v) })
	tasks, err, ok := w.tasks.take(soon)
	switch {
	case ok && err == nil:
		w.told, w.since = tasks, time.Now()
	case ok && errors.Is(err, swarm.ErrNoManager) && !v.Election():
		w.told, w.since = nil, time.Time{}
	}
}

// stale says what of a picture is old, and how old.
func stale(old map[string]time.Time, tasks, now time.Time) string {
	var names []string
	var oldest time.Time
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if at := old[name]; now.Sub(at) >= staleAfter {
			names = append(names, name)
			if oldest.IsZero() || at.Before(oldest) {
				oldest = at
			}
		}
	}
	if len(names) > 0 {
		return fmt.Sprintf("data of %s is %s old", strings.Join(names, ", "), ui.Duration(now.Sub(oldest).Truncate(time.Second)))
	}
	if !tasks.IsZero() && now.Sub(tasks) >= 2*staleAfter {
		return fmt.Sprintf("data of tasks is %s old", ui.Duration(now.Sub(tasks).Truncate(time.Second)))
	}
	return ""
}

func ended(n *node.Conn) bool {
	select {
	case <-n.Done():
		return true
	default:
		return false
	}
}

// picture is the live view of a lab; told tells that a manager gave the tasks.
func picture(r report, v swarm.View, tasks []engine.Task, told bool) ui.Picture {
	p := ui.Picture{
		Title: "lab " + r.Lab + " (" + r.Driver + ")",
		Columns: []ui.Column{
			{Title: "NODE", Sort: 'n'},
			{Title: "MACHINE", Keep: 5},
			{Title: "ROLE", Keep: 8, Sort: 'r'},
			{Title: "AVAILABILITY", Keep: 3},
			{Title: "STATE", Keep: 9, Sort: 's', WorstFirst: true},
			{Title: "TASKS", Keep: 4},
			{Title: "ENGINE", Keep: 2},
			{Title: "ADDRESS", Keep: 1},
		},
		Warnings: r.notices(),
	}
	for _, a := range r.Ailments {
		p.Warnings = append(p.Warnings, a.Cause+": "+strings.Join(a.Fix, "; "))
	}
	text := strings.ReplaceAll(strings.TrimPrefix(quorumLine(v), "quorum: "), "\n ", ";")
	if q := r.Quorum; q.Managers > 0 {
		p.Facts = append(p.Facts, ui.Fact{Label: "leader", Value: cmp.Or(v.Leader, "none"), Since: true})
		p.Meter = &ui.Meter{Label: "quorum", Have: q.Reachable, Need: q.Majority, Of: q.Managers, Lost: !q.HasQuorum, Text: text}
	} else {
		p.Facts = append(p.Facts, ui.Fact{Label: "swarm", Value: text})
	}
	for i, n := range r.Nodes {
		cells := row(n)
		name, run, version, role, availability, state, address := cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6]
		var own []engine.Task
		for _, t := range tasks {
			if t.NodeID != "" && t.NodeID == n.Swarm.ID {
				own = append(own, t)
			}
		}
		p.Rows = append(p.Rows, ui.Row{
			Name:    name,
			Cells:   []string{name, run, role, availability, state, tasksOn(n, own, told), version, address},
			Details: details(n, v.Nodes[i], own, told),
		})
	}
	return p
}

// tasksOn is how many tasks a node runs. A halted one runs none, whatever the
// swarm goes on saying until it misses the node.
func tasksOn(n nodeReport, tasks []engine.Task, told bool) string {
	told = told && n.Swarm.Status != ""
	if told && n.Machine == machine.StatusHalted {
		return "0"
	}
	return taskCount(tasks, told)
}

// taskCount reads "2", or "1/2" where the swarm wants two and one runs.
func taskCount(tasks []engine.Task, told bool) string {
	if !told {
		return "-"
	}
	running, wanted := 0, 0
	for _, t := range tasks {
		if t.State == "running" {
			running++
		}
		if t.Wanted() {
			wanted++
		}
	}
	if running == wanted {
		return strconv.Itoa(running)
	}
	return fmt.Sprintf("%d/%d", running, wanted)
}

// details are what is known of one node.
func details(n nodeReport, v swarm.NodeView, tasks []engine.Task, told bool) []ui.Section {
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(v.Labels)) {
		labels = append(labels, key+"="+v.Labels[key])
	}
	about := ui.Section{}
	for _, pair := range [][]string{
		{"host name", n.Hostname},
		{"address", n.IP},
		{"machine", string(n.Machine)},
		{"engine", n.Engine},
		{"its own account", string(n.Swarm.State)},
		{"error", n.Error},
		{"id", n.Swarm.ID},
		{"swarm", n.Swarm.Cluster},
		{"role", string(n.Swarm.Role)},
		{"reachability", n.Swarm.Reachability},
		{"availability", n.Swarm.Availability},
		{"state in the list", n.Swarm.Status},
		{"labels", strings.Join(labels, " ")},
	} {
		if pair[1] == "" {
			pair[1] = "-"
		}
		about.Rows = append(about.Rows, pair)
	}
	title := "tasks"
	if n.Machine == machine.StatusHalted {
		title = "tasks, as the swarm said last"
	}
	section := ui.Section{Title: title, Header: []string{"TASK", "STATE", "WANTED"}}
	// What the swarm wants first; then what has ended.
	slices.SortStableFunc(tasks, func(a, b engine.Task) int {
		if a.Wanted() != b.Wanted() {
			if a.Wanted() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, t := range tasks {
		section.Rows = append(section.Rows, []string{t.Name, t.State, t.Desired})
	}
	if len(tasks) == 0 {
		section.Header = nil
		section.Rows = [][]string{{"none"}}
		if !told {
			section.Rows = [][]string{{"no manager tells: it takes a leader"}}
		}
	}
	return []ui.Section{about, section}
}

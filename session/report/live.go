package report

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
)

const (
	// lookPatience is how long one look waits for answers; what comes later is
	// shown by a later one.
	lookPatience = time.Second
	// StaleAfter is from when on what is shown is called old.
	StaleAfter = 2 * time.Second
)

// Live looks at a lab again and again, over connections that it keeps.
// Machines, engines and tasks are asked independently of each other: whoever
// is slow is shown as it was, and called old.
type Live struct {
	open     func() (*session.Session, error)
	options  Options
	id       string // of the lab that the connections belong to
	held     map[string]*held
	engines  swarm.Watch
	machines background[map[string]machine.Status]
	tasks    background[[]engine.Task]
	known    map[string]machine.Status // what the driver told last; nil before
	told     []engine.Task             // what a manager told last
	since    time.Time                 // when it did; zero where none ever did
}

// NewLive makes a Live. open opens the lab, anew for each look: it may be made,
// changed and destroyed meanwhile.
func NewLive(open func() (*session.Session, error), o Options) *Live {
	return &Live{open: open, options: o, held: map[string]*held{}}
}

// Picture is what one look saw.
type Picture struct {
	Status Status
	// Tasks of the services, as a manager told last; Told that one has.
	Tasks []engine.Task
	Told  bool
	// Old are the nodes whose engine has not answered this look, with the time of
	// what is shown of each; TasksAt is that of the tasks.
	Old     map[string]time.Time
	TasksAt time.Time
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

// Close is called when the context of the looks has ended.
func (w *Live) Close() {
	_, _, _ = w.machines.take(context.Background())
	_, _, _ = w.tasks.take(context.Background())
	for name := range w.held {
		w.drop(name)
	}
	w.engines.Wait()
}

func (w *Live) drop(name string) {
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

// Look asks, and gives what is known after a second at the latest.
func (w *Live) Look(ctx context.Context) (Picture, error) {
	s, err := w.open()
	if err != nil {
		return Picture{}, err
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
		return Picture{}, err
	}
	targets := w.connect(ctx, soon, s, machines)
	v, old := w.engines.Look(ctx, targets, lookPatience)
	v = session.Settled(v, machines)
	for _, n := range v.Nodes {
		// The next look makes a new connection: this may be what does not answer.
		_, busy := old[n.Name]
		if h := w.held[n.Name]; h != nil && h.node != nil && n.State == swarm.StateEngineDown && !busy && !errors.Is(n.Err, engine.ErrHangs) && !errors.Is(n.Err, swarm.ErrNotYet) {
			w.drop(n.Name)
		}
	}
	w.askForTasks(ctx, soon, swarm.New(targets, swarm.Options{}), v)
	r, err := statusOf(ctx, s, v, machines, w.options)
	if err != nil {
		return Picture{}, err
	}
	r.Ailments = append(r.Ailments, swarm.Diagnose(v, nil, time.Now())...)
	r.only(w.options.Nodes)
	return Picture{Status: r, Tasks: w.told, Told: !w.since.IsZero(), Old: old, TasksAt: w.since}, nil
}

// lookAtMachines tells which machines run. Whose connection is held does, and
// its end tells of the machine's; the driver is asked where one is missing.
func (w *Live) lookAtMachines(ctx, soon context.Context, s *session.Session) (map[string]machine.Status, error) {
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
func (w *Live) connect(ctx, soon context.Context, s *session.Session, machines map[string]machine.Status) []swarm.Target {
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
		t.Unreachable = session.NotRunning(n.Name, machines[n.Name])
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
				t.Engine, t.Disk, t.Unreachable = h.client.Swarm, provision.SwarmData{Conn: h.node}, nil
			}
		}
		targets = append(targets, t)
	}
	return targets
}

// askForTasks asks a manager for the tasks; what it told last is kept.
func (w *Live) askForTasks(ctx, soon context.Context, cluster *swarm.Cluster, v swarm.View) {
	w.tasks.begin(func() ([]engine.Task, error) { return cluster.Tasks(ctx, v) })
	tasks, err, ok := w.tasks.take(soon)
	switch {
	case ok && err == nil:
		w.told, w.since = tasks, time.Now()
	case ok && errors.Is(err, swarm.ErrNoManager) && !v.Election():
		w.told, w.since = nil, time.Time{}
	}
}

func ended(n *node.Conn) bool {
	select {
	case <-n.Done():
		return true
	default:
		return false
	}
}

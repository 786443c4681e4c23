package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/runbook"
)

// Run is what steps work with: the engines, and what is known of them by now.
type Run struct {
	*Cluster
	view   View
	asking sync.WaitGroup
	// raft is held while managers are taken out, one after the other.
	raft sync.Mutex

	mu    sync.Mutex    // guards what follows
	facts []fact        // what the nodes said, as far as is known by now
	asked []int         // how often each node was asked again
	via   []string      // managers that take calls on the swarm, the best first
	list  []engine.Node // the last list that an await saw
	begun []Step        // in order
	// awaits: a step wants to know what ask hears.
	awaits bool
	tokens func() (worker, manager engine.Secret, err error)
	key    func() (engine.Secret, error)
	// changed are entries as the list showed them after their change.
	changed []engine.Node
	// again are the steps of nodes that left and rejoined, by name.
	again map[string][]Step
	// warned is what steps had to say, by node.
	warned map[string][]string

	noIngress atomic.Bool // it took one node too long

	tasksMu sync.Mutex // guards what follows
	tasks   []engine.Task
	tasksAt time.Time
}

// Event tells of a step that is run, or waited for.
type Event struct {
	// Node is a short name of the lab, or a host name that is none of the
	// lab's; empty for a step that concerns the whole swarm.
	Node string
	// Kind and Step name the step: machine and human words.
	Kind Kind
	Step string
	// Done is false when the step begins, true when it has ended; Err says how.
	Done bool
	Err  error
}

// Result is what came of a plan.
type Result struct {
	// View and After are at the end, Before is the quorum when it was planned.
	View          View
	Before, After Quorum
	// Steps in order: those that were begun to bring the swarm where labs.yaml
	// wants it; of other plans all, with what was done in their place. None where
	// there was nothing to do.
	Steps []Step
	// Runbook is what a person would have typed for Steps.
	Runbook runbook.Runbook
	// Nodes are those that were named.
	Nodes []Changed
	// Unfinished are the nodes that the plan left as they were; Failed are those
	// whose steps failed.
	Unfinished, Failed []Unfinished
	Warnings           []string
	// Dissolved are the ids of swarms that no node is in any more that answers, and
	// that others may come back into: Node.Dissolved, from now on.
	Dissolved []string
}

// Result is what can be told of a plan before it is run.
func (p Plan) Result() Result {
	return Result{
		View: p.View, Before: p.View.Quorum, After: p.View.Quorum, Steps: p.Steps(), Runbook: p.Runbook,
		Nodes: slices.Clone(p.Nodes), Unfinished: p.Unfinished, Warnings: slices.Clone(p.Warnings),
	}
}

// Run does what was planned, and waits until it has come true. The result is
// filled in where there is an error, too; errors are told where plans are made.
func (c *Cluster) Run(ctx context.Context, p Plan) (Result, error) {
	if p.timeout > 0 {
		limited := *c
		limited.o.Timeout = p.timeout
		c = &limited
	}
	r := c.begin(p.View)
	steps := p.Steps()
	r.awaits = slices.ContainsFunc(steps, func(s Step) bool { return s.Kind() == KindAwait })
	r.askLastWhoGoes(steps)
	failed := r.stages(ctx, p)
	res := p.Result()
	err := p.end(ctx, r, p, failed, &res)
	return res, err
}

// ending looks at what came of a plan, and words what did not.
type ending func(ctx context.Context, r *Run, p Plan, failed []failure, res *Result) error

// failure is a step that failed.
type failure struct {
	step Step
	err  error
}

// onFailure is what a failed step means for what comes after.
type onFailure int

const (
	// leaveNode alone from then on, the others go on; where the swarm could not be
	// started, nothing does.
	leaveNode onFailure = iota
	stopRun
	goOn
)

// stages runs the stages in order, the steps of each concurrently.
func (r *Run) stages(ctx context.Context, plan Plan) []failure {
	var failed []failure
	out := map[string]bool{}
	defer r.asking.Wait() // nobody is asked any more once the caller closes the engines
	for _, stage := range plan.Stages {
		if ctx.Err() != nil {
			break
		}
		var steps []Step
		for _, s := range stage.Steps {
			if !out[s.Node()] {
				steps = append(steps, without(s, out))
			}
		}
		r.begun = append(r.begun, steps...)
		errs := make([]error, len(steps))
		r.atOnce(ctx, steps, errs)
		stop := false
		for i, err := range errs {
			if err == nil {
				continue
			}
			s := steps[i]
			failed = append(failed, failure{s, err})
			if s.Node() != "" && stage.failure == leaveNode {
				out[s.Node()] = true
			}
			stop = stop || stage.failure == stopRun || s.Kind() == KindInit
		}
		if stop {
			break
		}
	}
	return failed
}

// atOnce does steps at the same time, and waits for all of them; of joins, those
// of managers first, and not more than the machine bears: a node makes room for
// the next one when it has its end of the ingress network.
func (r *Run) atOnce(ctx context.Context, steps []Step, errs []error) {
	late := func(i int) int {
		if j, ok := steps[i].(joinStep); ok && j.Role != engine.RoleManager {
			return 1
		}
		return 0
	}
	order := make([]int, len(steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return late(a) - late(b) })
	slots := make(chan struct{}, joinsAtOnce)
	waiting, begun := context.WithCancel(ctx) // until all have begun
	defer begun()
	var all sync.WaitGroup
	for _, i := range order {
		joins := steps[i].Kind() == KindJoin
		if joins {
			slots <- struct{}{}
		}
		all.Go(func() {
			errs[i] = r.step(ctx, steps[i])
			if joins {
				if errs[i] == nil {
					r.onIngress(waiting, steps[i].Node())
				}
				<-slots
			}
		})
	}
	begun()
	all.Wait()
}

// onIngress waits until a node that has joined has its end of the ingress
// network, or ctx ends. Where it takes too long, it is not waited for again:
// without a module for overlay networks there never is one.
func (r *Run) onIngress(ctx context.Context, name string) {
	e, err := r.engine(name)
	if err != nil || r.noIngress.Load() {
		return
	}
	err = poll(ctx, ingressTimeout, shortPauses(), func() error {
		if on, err := e.OnIngress(ctx); err != nil || !on {
			return errors.Join(err, errNotOnIngress)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.noIngress.Store(true)
	}
}

var errNotOnIngress = errors.New("the node is not on the ingress network yet")

// joinsAtOnce: on a machine with two processors thirty joins at once are the
// fastest, and a hundred starve each other until they give up (the engine, after
// 20 s).
const joinsAtOnce = 32

// begin makes a Run that starts from what was observed.
func (c *Cluster) begin(v View) *Run {
	r := &Run{Cluster: c, view: v, facts: slices.Clone(v.facts), asked: make([]int, len(v.facts)), again: map[string][]Step{}, warned: map[string][]string{}}
	for _, good := range []func(int, NodeView) bool{
		func(i int, n NodeView) bool { return v.facts[i].listed && n.Leader },
		func(i int, n NodeView) bool { return v.facts[i].listed && !n.Leader },
		// A manager that was promoted a moment ago has no leader yet. It may be
		// the one to ask later: where the other is demoted, the only one.
		func(i int, _ NodeView) bool { return !v.facts[i].listed },
	} {
		for i, n := range v.Nodes {
			if v.Cluster != "" && n.Cluster == v.Cluster && n.Control && good(i, n) {
				r.via = append(r.via, n.Name)
			}
		}
	}
	return r
}

// askLastWhoGoes puts managers that stay before those that are demoted or leave,
// and of these first who goes last: asking them avoids following a change
// through a manager that stops answering half-way.
func (r *Run) askLastWhoGoes(steps []Step) {
	goes := func(name string) int {
		at := slices.IndexFunc(steps, func(s Step) bool {
			return s.Node() == name && (s.Kind() == KindDemote || s.Kind() == KindLeave)
		})
		if at < 0 {
			return len(steps)
		}
		return at
	}
	slices.SortStableFunc(r.via, func(a, b string) int { return goes(b) - goes(a) })
}

func (c *Cluster) target(name string) Target {
	at := slices.IndexFunc(c.targets, func(t Target) bool { return t.Name == name })
	if at < 0 {
		return Target{Node: Node{Name: name}}
	}
	return c.targets[at]
}

// engine gives a node's engine; a step is only planned for one that answers.
func (c *Cluster) engine(name string) (Engine, error) {
	t := c.target(name)
	if t.Engine == nil {
		return nil, fmt.Errorf("%s: its engine cannot be asked", name)
	}
	return t.Engine, nil
}

func (r *Run) managers() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.via)
}

var errNoManager = errors.New("no manager answers")

// viaAnyManager calls f with a manager's engine; where that one is no manager any
// more, has lost its leader, or does not answer, with the next one's.
// Of what they say, that there is no leader counts most.
func (r *Run) viaAnyManager(ctx context.Context, f func(Engine) error) error {
	said := errNoManager
	for _, name := range r.managers() {
		e, err := r.engine(name)
		if err == nil {
			if err = f(e); err == nil || !tryNextManager(err) || ctx.Err() != nil {
				return err
			}
		}
		if !errors.Is(said, engine.ErrNoLeader) {
			said = err
		}
	}
	return said
}

// viaManagerWithRetry is viaAnyManager for what changes something, or is asked but once: while
// no manager has a leader it waits for one. The swarm may lose its leader at any
// time after it was observed, and most often gets another.
func (r *Run) viaManagerWithRetry(ctx context.Context, f func(Engine) error) error {
	return r.poll(ctx, func() error {
		err := r.viaAnyManager(ctx, f)
		// A call that hangs was made when the leader had just gone.
		if err == nil || errors.Is(err, engine.ErrNoLeader) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return finalError{err}
	})
}

// tryNextManager: another manager may do better.
func tryNextManager(err error) bool {
	for _, kind := range []error{engine.ErrUnreachable, engine.ErrNotManager, engine.ErrPreparing, engine.ErrNoLeader, engine.ErrNotInSwarm, engine.ErrLocked} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// step does one step, and tells of it.
func (r *Run) step(ctx context.Context, s Step) error {
	if _, quiet := s.(interface{ quiet() }); quiet {
		return s.Do(ctx, r)
	}
	r.o.Progress(Event{Node: s.Node(), Kind: s.Kind(), Step: s.String()})
	err := s.Do(ctx, r)
	r.o.Progress(Event{Node: s.Node(), Kind: s.Kind(), Step: s.String(), Done: true, Err: err})
	return err
}

func (r *Run) warn(node, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warned[node] = append(r.warned[node], text)
}

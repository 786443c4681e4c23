package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/dcalab/dcalab/engine"
)

// Run is what steps work with: the engines, and what is known of them by now.
type Run struct {
	*Cluster
	view   View
	asking sync.WaitGroup

	mu    sync.Mutex    // guards what follows
	facts []fact        // what the nodes said, as far as is known by now
	asked []int         // how often each node was asked anew
	via   []string      // managers that take calls on the swarm, the best first
	list  []engine.Node // the last list that an await saw
	// raft is held while managers are taken out, one after the other.
	raft   sync.Mutex
	tokens func() (worker, manager engine.Secret, err error)
	// changed are entries as the list showed them after their change.
	changed []engine.Node
	// again are the steps of nodes that left and joined anew, by name.
	again map[string][]Step
	// warned is what steps had to say, by node.
	warned map[string][]string
}

// begin takes what was observed as the ground for the next steps.
func (c *Cluster) begin(v View) *Run {
	r := &Run{Cluster: c, view: v, facts: slices.Clone(v.facts), asked: make([]int, len(v.facts)), again: map[string][]Step{}, warned: map[string][]string{}}
	for _, good := range []func(int, NodeView) bool{
		func(i int, n NodeView) bool { return v.facts[i].listed && n.Leader },
		func(i int, n NodeView) bool { return v.facts[i].listed && !n.Leader },
		// A manager that was promoted a moment ago has no leader yet. It may be
		// the one to ask by and by: where the other is demoted, the only one.
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

// through calls f with a manager's engine; where that one is no manager any
// more, has lost its leader, or does not answer, with the next one's.
// Of what they say, that there is no leader counts most.
func (r *Run) through(ctx context.Context, f func(Engine) error) error {
	said := errNoManager
	for _, name := range r.managers() {
		e, err := r.engine(name)
		if err == nil {
			if err = f(e); err == nil || !elsewhere(err) || ctx.Err() != nil {
				return err
			}
		}
		if !errors.Is(said, engine.ErrNoLeader) {
			said = err
		}
	}
	return said
}

// steadily is through for what changes something, or is asked but once: while
// no manager has a leader it waits for one. The swarm may lose its leader at any
// time after it was observed, and most often gets another.
func (r *Run) steadily(ctx context.Context, f func(Engine) error) error {
	return r.poll(ctx, func() error {
		err := r.through(ctx, f)
		// A call that hangs was made when the leader had just gone.
		if err == nil || errors.Is(err, engine.ErrNoLeader) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return finalError{err}
	})
}

// elsewhere: another manager may do better.
func elsewhere(err error) bool {
	for _, kind := range []error{engine.ErrUnreachable, engine.ErrNotManager, engine.ErrPreparing, engine.ErrNoLeader, engine.ErrNotInSwarm, engine.ErrLocked} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// run does the stages in order, the steps of each at once. A node whose step
// failed is left alone from then on, the others go on; where the swarm could
// not be started, nothing does.
func (r *Run) run(ctx context.Context, plan Plan, res *Result) []Unfinished {
	var failed []Unfinished
	out := map[string]bool{}
	defer r.asking.Wait()
	for _, stage := range plan.Stages {
		var steps []Step
		for _, s := range stage.Steps {
			if !out[s.Node()] {
				steps = append(steps, without(s, out))
			}
		}
		res.Steps = append(res.Steps, steps...)
		errs := make([]error, len(steps))
		each(len(steps), func(i int) { errs[i] = r.step(ctx, steps[i]) })
		for i, err := range errs {
			if err == nil {
				continue
			}
			s := steps[i]
			u := Unfinished{Node: s.Node(), Why: s.String() + ": " + cause(s.Node(), err), Err: err}
			if w, ok := s.(waitStep); ok && w.hung {
				u.hung = true
			} else if ok || s.Kind() == KindUnlock {
				u.next = "if " + s.Node() + " cannot come back by itself, it can leave and join anew: dcalab swarm bootstrap --take-over " + s.Node()
			}
			failed = append(failed, u)
			if s.Node() != "" {
				out[s.Node()] = true
			}
			if s.Kind() == KindInit || ctx.Err() != nil {
				return failed
			}
		}
	}
	return failed
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

// look gives the view after a round: what the last await saw, where it saw
// everything, else a new observation.
func (r *Run) look(ctx context.Context, plan Plan, failed bool) View {
	last := plan.Stages[len(plan.Stages)-1].Steps
	for _, s := range plan.Steps() {
		if w, ok := s.(waitStep); ok && w.hung {
			return r.Observe(ctx) // only a look reads certificates
		}
	}
	if _, ok := last[len(last)-1].(awaitStep); !ok || failed || r.list == nil {
		return r.Observe(ctx)
	}
	facts := r.facts
	cluster := ""
	for i, t := range r.targets {
		f := &facts[i]
		if slices.Contains(r.via, t.Name) && f.answered() && f.info.ClusterID != "" {
			cluster = f.info.ClusterID
		}
		f.listed, f.nodes, f.nodesErr = false, nil, nil
	}
	for i := range facts {
		if facts[i].answered() && facts[i].info.Control && facts[i].info.ClusterID == cluster && cluster != "" {
			facts[i].listed, facts[i].nodes = true, r.list
			return assemble(labNodes(r.targets), facts, nil)
		}
	}
	return r.Observe(ctx)
}

func (r *Run) warn(node, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warned[node] = append(r.warned[node], text)
}

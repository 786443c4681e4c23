package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// Event tells of a step of Apply, Promote or Demote.
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

// Result of Apply.
type Result struct {
	// View at the end.
	View View
	// Steps that were begun, in order; none where there was nothing to do.
	Steps []Step
	// Unfinished and Warnings of the last plan.
	Unfinished []Unfinished
	Warnings   []string
}

const (
	// maxRounds of observe, plan, apply. One does for most; a swarm that has to
	// elect a leader or unlock first takes three.
	maxRounds = 6
	// defaultPatience: an election takes 10 to 20 s, a join 20 s before the
	// engine sends it to the background.
	defaultPatience = time.Minute
	// firstPoll and lastPoll bound the time between two looks.
	firstPoll = 20 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// Apply observes, plans and does until there is nothing left to do. The error
// is a refusal of MakePlan (nothing was touched by this round), a
// *trouble.Error with ID "interrupted", or one with ID "swarm-unfinished" and
// ExitUnfinished that names the nodes that are not what labs.yaml wants, and
// why. The result is filled in either way.
func Apply(ctx context.Context, l *lab.Lab, targets []Target, o Options) (Result, error) {
	r := newRunner(targets, o.Progress, o.Patience)
	var res Result
	if o.View != nil {
		res.View = *o.View
	} else {
		res.View = Observe(ctx, targets)
	}
	taken := o.TakeOver
	for range maxRounds {
		if err := interrupted(ctx); err != nil {
			return res, err
		}
		plan, err := MakePlan(l, res.View, Options{TakeOver: taken})
		if err != nil {
			return res, err
		}
		if len(taken) > 0 {
			// Which swarm is the lab's may hang on who leaves.
			res.View = assemble(targets, res.View.facts, taken)
		}
		res.Unfinished, res.Warnings = plan.Unfinished, plan.Warnings
		if plan.Empty() {
			return res, unfinished(res.Unfinished, nil)
		}
		// From now on these are in the lab's swarm, and nobody's to take over.
		for _, s := range plan.Steps() {
			switch s.Kind() {
			case KindLeave, KindInit, KindJoin:
				taken = slices.DeleteFunc(slices.Clone(taken), func(name string) bool { return name == s.Node() })
			}
		}
		r.begin(res.View)
		failed := r.run(ctx, plan, &res)
		if err := interrupted(ctx); err != nil {
			return res, err
		}
		res.View = r.look(ctx, plan, len(failed) > 0)
		if len(failed) > 0 {
			return res, unfinished(res.Unfinished, failed)
		}
	}
	plan, err := MakePlan(l, res.View, Options{})
	if err != nil {
		return res, err
	}
	var stuck []Unfinished
	for _, s := range plan.Steps() {
		stuck = append(stuck, Unfinished{Node: s.Node(), Why: "still to do after several rounds: " + s.String()})
	}
	return res, unfinished(plan.Unfinished, stuck)
}

func interrupted(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &trouble.Error{ID: "interrupted", Exit: trouble.ExitInterrupted, What: "interrupted",
			Why:  "what was begun on the nodes goes on there",
			Next: []string{"the same command goes on from here: dcalab swarm bootstrap"}, Err: err}
	}
	return nil
}

// unfinished makes one error of the nodes that were left out and those whose
// steps failed; nil where there are none.
func unfinished(left, failed []Unfinished) error {
	all := append(slices.Clone(failed), left...)
	if len(all) == 0 {
		return nil
	}
	var why []string
	var errs []error
	next := []string{"see where it stands: dcalab status", "then go on: dcalab swarm bootstrap"}
	for _, u := range all {
		if u.next != "" {
			next = append(next, u.next)
		}
		if u.Node != "" {
			why = append(why, u.Node+": "+u.Why)
		} else {
			why = append(why, u.Why)
		}
		errs = append(errs, u.Err)
	}
	return &trouble.Error{ID: "swarm-unfinished", Exit: trouble.ExitUnfinished,
		What: "the swarm is not yet what labs.yaml asks for", Why: strings.Join(why, "; "),
		Next: next, Err: errors.Join(errs...)}
}

// runner does the steps of one Apply, Promote or Demote.
type runner struct {
	targets  []Target
	progress func(Event)
	patience time.Duration

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
}

func newRunner(targets []Target, progress func(Event), patience time.Duration) *runner {
	if patience <= 0 {
		patience = defaultPatience
	}
	if progress == nil {
		progress = func(Event) {}
	}
	return &runner{targets: targets, progress: progress, patience: patience}
}

// begin takes what was observed as the ground for the next steps.
func (r *runner) begin(v View) {
	r.view, r.facts, r.list, r.tokens, r.via = v, slices.Clone(v.facts), nil, nil, nil
	r.asked = make([]int, len(v.facts))
	for _, leader := range []bool{true, false} {
		for i, n := range v.Nodes {
			if v.Cluster != "" && n.Cluster == v.Cluster && n.Control && n.Leader == leader && (v.facts[i].listed || !v.Quorum.HasQuorum) {
				r.via = append(r.via, n.Name)
			}
		}
	}
}

func (r *runner) target(name string) Target {
	at := slices.IndexFunc(r.targets, func(t Target) bool { return t.Name == name })
	if at < 0 {
		return Target{Name: name}
	}
	return r.targets[at]
}

// engine gives a node's engine; a step is only planned for one that answers.
func (r *runner) engine(name string) (Engine, error) {
	t := r.target(name)
	if t.Engine == nil {
		return nil, fmt.Errorf("%s: its engine cannot be asked", name)
	}
	return t.Engine, nil
}

func (r *runner) managers() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.via)
}

var errNoManager = errors.New("no manager answers")

// through calls f with a manager's engine; where that one is no manager any
// more, has lost its leader, or does not answer, with the next one's.
func (r *runner) through(ctx context.Context, f func(Engine) error) error {
	err := errNoManager
	for _, name := range r.managers() {
		var e Engine
		if e, err = r.engine(name); err != nil {
			continue
		}
		if err = f(e); err == nil || !elsewhere(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
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
func (r *runner) run(ctx context.Context, plan Plan, res *Result) []Unfinished {
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
			if s.Kind() == KindWait || s.Kind() == KindUnlock {
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

// without takes the nodes that failed out of what the last step waits for.
func without(s Step, out map[string]bool) Step {
	a, ok := s.(awaitStep)
	if !ok {
		return s
	}
	gone := func(name string) bool { return out[name] }
	a.Ready = slices.DeleteFunc(slices.Clone(a.Ready), gone)
	a.Reachable = slices.DeleteFunc(slices.Clone(a.Reachable), gone)
	return a
}

func (r *runner) step(ctx context.Context, s Step) error {
	r.progress(Event{Node: s.Node(), Kind: s.Kind(), Step: s.String()})
	err := r.do(ctx, s)
	switch s.Kind() {
	case KindInit, KindJoin, KindLeave, KindUnlock, KindWait, KindPromote:
		r.ask(ctx, s.Node())
	case KindConfigure:
		for _, m := range r.managers() {
			r.ask(ctx, m)
		}
	}
	r.progress(Event{Node: s.Node(), Kind: s.Kind(), Step: s.String(), Done: true, Err: err})
	return err
}

func (r *runner) do(ctx context.Context, s Step) error {
	switch s := s.(type) {
	case awaitQuorumStep:
		return r.awaitQuorum(ctx)
	case waitStep:
		return r.settle(ctx, s.Node())
	case unlockStep:
		return r.unlock(ctx, s.Node())
	case dropStep:
		return r.drop(ctx, s)
	case leaveStep:
		e, err := r.engine(s.Node())
		if err != nil {
			return err
		}
		if err := e.Leave(ctx, true); !errors.Is(err, engine.ErrNotInSwarm) {
			return err
		}
		return nil
	case initStep:
		return r.init(ctx, s)
	case joinStep:
		return r.join(ctx, s)
	case promoteStep:
		return r.through(ctx, func(e Engine) error {
			return e.UpdateNode(ctx, s.ID, func(spec *engine.NodeSpec) { spec.Role = engine.RoleManager })
		})
	case updateStep:
		return r.update(ctx, s)
	case configureStep:
		return r.through(ctx, func(e Engine) error { return e.UpdateSwarm(ctx, s.Want.apply) })
	case awaitStep:
		return r.await(ctx, s)
	}
	panic(fmt.Sprintf("swarm: no way to do a %T", s))
}

// poll looks, soon and then ever more rarely, until look gives nil, or an
// error marked by giveUp. Any other error is the reason to look again, and the
// last one is the answer when patience is over.
func (r *runner) poll(ctx context.Context, look func() error) error {
	end := time.Now().Add(r.patience)
	wait := firstPoll
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		err := look()
		if err == nil {
			return nil
		}
		var fatal giveUp
		if errors.As(err, &fatal) {
			return fatal.error
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %s: %w", r.patience, err)
		}
		timer.Reset(wait)
		wait = min(wait*3/2, lastPoll)
	}
}

// giveUp marks an error that no further look will mend.
type giveUp struct{ error }

// nodes gives the swarm's list, through the first manager that has it.
func (r *runner) nodes(ctx context.Context) ([]engine.Node, error) {
	var list []engine.Node
	err := r.through(ctx, func(e Engine) error {
		var err error
		list, err = e.Nodes(ctx)
		return err
	})
	return list, err
}

func (r *runner) awaitQuorum(ctx context.Context) error {
	return r.poll(ctx, func() error {
		list, err := r.nodes(ctx)
		if err != nil {
			return err
		}
		if q := quorumOf(list); !q.HasQuorum {
			return errors.New(q.String())
		}
		return nil
	})
}

// settle waits until a pending node is in its swarm. One that turns out to be
// in none, or in error, is a matter for the next plan.
func (r *runner) settle(ctx context.Context, node string) error {
	e, err := r.engine(node)
	if err != nil {
		return err
	}
	return r.poll(ctx, func() error {
		info, err := e.Info(ctx)
		switch {
		case err != nil:
			return err
		case info.State != engine.StatePending:
			return nil
		case info.Error != "":
			return errors.New("its engine says: " + info.Error)
		}
		return errors.New("it is still joining")
	})
}

func (r *runner) unlock(ctx context.Context, node string) error {
	e, err := r.engine(node)
	if err != nil {
		return err
	}
	var key engine.Secret
	if err := r.through(ctx, func(m Engine) error {
		var err error
		key, err = m.UnlockKey(ctx)
		return err
	}); err != nil {
		return err
	}
	if key == "" {
		return errors.New("the swarm has no unlock key any more (autolock was switched off while this node was down): give it the old one: dcalab swarm unlock")
	}
	if err := e.Unlock(ctx, key); !errors.Is(err, engine.ErrNotLocked) {
		return err
	}
	return nil
}

// drop demotes an entry where it is a manager's, waits until it has left raft,
// and removes it.
func (r *runner) drop(ctx context.Context, s dropStep) error {
	// Somebody may have been at work since the list was read: what the node
	// itself is now is never removed.
	if e, err := r.engine(s.Node()); err == nil {
		if info, err := e.Info(ctx); err == nil && info.State == engine.StateActive && info.NodeID == s.ID {
			return nil
		}
	}
	r.raft.Lock()
	defer r.raft.Unlock()
	return r.through(ctx, func(e Engine) error {
		if s.Manager {
			// A node that was promoted and never came into raft cannot be demoted,
			// and need not be.
			err := e.UpdateNode(ctx, s.ID, func(spec *engine.NodeSpec) { spec.Role = engine.RoleWorker })
			if err != nil && !errors.Is(err, engine.ErrNotInRaft) && !errors.Is(err, engine.ErrNotFound) {
				return err
			}
		}
		// Raft lets go of a demoted node a moment after its role has changed;
		// until then its entry cannot be removed.
		return r.poll(ctx, func() error {
			err := e.RemoveNode(ctx, s.ID, true)
			switch {
			case err == nil, errors.Is(err, engine.ErrNotFound):
				return nil
			case errors.Is(err, engine.ErrStillManager):
				return err
			}
			return giveUp{err}
		})
	})
}

func (r *runner) init(ctx context.Context, s initStep) error {
	e, err := r.engine(s.Node())
	if err != nil {
		return err
	}
	if _, err := e.Init(ctx, s.Options); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.via = []string{s.Node()}
	return nil
}

// joinTokens fetches both tokens once a round. They stay in memory.
func (r *runner) joinTokens(ctx context.Context, role engine.Role) (engine.Secret, error) {
	r.mu.Lock()
	if r.tokens == nil {
		r.tokens = onceTokens(func() (worker, manager engine.Secret, err error) {
			err = r.through(ctx, func(e Engine) error {
				worker, manager, err = e.Tokens(ctx)
				return err
			})
			return worker, manager, err
		})
	}
	fetch := r.tokens
	r.mu.Unlock()
	worker, manager, err := fetch()
	if role == engine.RoleManager {
		return manager, err
	}
	return worker, err
}

// managerAddrs are where a node can join, that of the leader first.
func (r *runner) managerAddrs() []string {
	var out []string
	for _, name := range r.managers() {
		n, _ := r.view.Node(name)
		addr := net.JoinHostPort(r.target(name).Addr.String(), RaftPort)
		if at := find(r.view.entries(), n.NodeID); at >= 0 && n.NodeID != "" {
			if a := r.view.entries()[at].ManagerAddr; a != "" {
				addr = a
			}
		}
		out = append(out, addr)
	}
	return out
}

func (r *runner) join(ctx context.Context, s joinStep) error {
	e, err := r.engine(s.Node())
	if err != nil {
		return err
	}
	token, err := r.joinTokens(ctx, s.Role)
	if err != nil {
		return err
	}
	err = e.Join(ctx, engine.JoinOptions{
		Token: token, Managers: r.managerAddrs(), Advertise: s.Advertise, Availability: s.Availability,
	})
	switch {
	case errors.Is(err, engine.ErrJoinTimeout), errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		// Not a failure: the engine goes on in the background.
		return r.settle(ctx, s.Node())
	case errors.Is(err, engine.ErrAlreadyInSwarm):
		// Somebody else was faster; the next look shows with which swarm.
		return r.settle(ctx, s.Node())
	}
	return err
}

func (r *runner) update(ctx context.Context, s updateStep) error {
	id := s.ID
	if id == "" {
		e, err := r.engine(s.Node())
		if err != nil {
			return err
		}
		info, err := e.Info(ctx)
		if err != nil {
			return err
		}
		id = info.NodeID
	}
	return r.through(ctx, func(e Engine) error {
		return e.UpdateNode(ctx, id, func(spec *engine.NodeSpec) {
			for k, v := range s.Labels {
				spec.Labels[k] = v
			}
			if s.Availability != "" {
				spec.Availability = s.Availability
			}
		})
	})
}

// ask asks a node anew in the background, after a step has changed what it
// is: its answer is there, or on its way, when await wants it.
func (r *runner) ask(ctx context.Context, node string) {
	at := slices.IndexFunc(r.targets, func(t Target) bool { return t.Name == node })
	if at < 0 || r.targets[at].Engine == nil {
		return
	}
	r.mu.Lock()
	r.asked[at]++
	turn := r.asked[at]
	r.mu.Unlock()
	r.asking.Go(func() {
		info, err := r.targets[at].Engine.Info(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.asked[at] == turn { // else a later answer counts
			r.facts[at] = fact{info: info, err: err, reached: true}
		}
	})
}

// await waits until every node is Ready and every manager Reachable, going by
// the ids that the nodes' own engines tell.
func (r *runner) await(ctx context.Context, s awaitStep) error {
	if len(r.managers()) == 0 {
		return errNoManager
	}
	return r.poll(ctx, func() error {
		r.asking.Wait()
		list, err := r.nodes(ctx)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.list = list
		missing := lacking(s, r.targets, r.facts, list)
		r.mu.Unlock()
		var why []string
		for _, m := range missing {
			if m.again {
				r.ask(ctx, m.Node)
			}
			why = append(why, m.Node+": "+m.Why)
		}
		if len(missing) > 0 {
			return errors.New(strings.Join(why, "; "))
		}
		return nil
	})
}

// lacking names the nodes that are not what s waits for, and why as far as
// their own engines or the list tell.
func lacking(s awaitStep, targets []Target, facts []fact, list []engine.Node) []Unfinished {
	var out []Unfinished
	for i, t := range targets {
		if !slices.Contains(s.Ready, t.Name) {
			continue
		}
		f := facts[i]
		at := find(list, f.info.NodeID)
		var why string
		again := false
		switch {
		case f.err != nil:
			why, again = f.err.Error(), true
		case f.info.State == engine.StateError, f.info.State == engine.StateInactive:
			// It has lost its swarm meanwhile: that is for the next plan.
			continue
		case f.info.NodeID == "" || at < 0:
			why, again = "not in the swarm's list", true
			if f.info.Error != "" {
				why = f.info.Error
			}
		case list[at].Status != engine.NodeReady:
			why = "its status is " + string(list[at].Status)
			if m := list[at].StatusMessage; m != "" {
				why += " (" + m + ")"
			}
		case slices.Contains(s.Reachable, t.Name) && list[at].Reachability != engine.ReachabilityReachable:
			why = "as a manager it is " + string(list[at].Reachability)
			if list[at].Reachability == "" {
				why = "it is not a manager yet; the leader must reach it at " + net.JoinHostPort(t.Addr.String(), RaftPort)
			}
		default:
			continue
		}
		out = append(out, Unfinished{Node: t.Name, Why: why, Err: f.err, again: again})
	}
	return out
}

// look gives the view after a round: what the last await saw, where it saw
// everything, else a new observation.
func (r *runner) look(ctx context.Context, plan Plan, failed bool) View {
	last := plan.Stages[len(plan.Stages)-1].Steps
	if _, ok := last[len(last)-1].(awaitStep); !ok || failed || r.list == nil {
		return Observe(ctx, r.targets)
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
			return assemble(r.targets, facts, nil)
		}
	}
	return Observe(ctx, r.targets)
}

// onceTokens is sync.OnceValues for three values.
func onceTokens(f func() (engine.Secret, engine.Secret, error)) func() (engine.Secret, engine.Secret, error) {
	type both struct{ worker, manager engine.Secret }
	once := sync.OnceValues(func() (both, error) {
		w, m, err := f()
		return both{w, m}, err
	})
	return func() (engine.Secret, engine.Secret, error) {
		b, err := once()
		return b.worker, b.manager, err
	}
}

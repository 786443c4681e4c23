package prove

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/store"
	"github.com/dcalab/dcalab/trouble"
)

const (
	// perManager is how many clients each manager has: two that write and read, and one
	// that only reads, which a write without an answer does not keep from it.
	perManager = 3
	// pause is between two operations of a client, on average. What is to be found out
	// needs no more than some, and a lab's disks are those of a laptop.
	pause = 60 * time.Millisecond
	// failurePause is after one that failed at once.
	failurePause = 500 * time.Millisecond
	// cleanTimeout is how long the objects may take to be made, to be read in the end, and
	// to be removed, each: an election may have to be waited for.
	cleanTimeout = time.Minute
	// searchTimeout is for each of the searches for an order.
	searchTimeout = 20 * time.Second
	// leastManagers are those of a swarm that tolerates a failure.
	leastManagers = 3
)

// objects are three configs: few, so that clients meet.
func objects() *store.Set {
	return &store.Set{Command: "dcalab prove", Label: "dcalab.prove", Names: []string{"dcalab-prove-1", "dcalab-prove-2", "dcalab-prove-3"}, Initial: Initial}
}

// Options say how a run goes.
type Options struct {
	For time.Duration
	// Seed of what is drawn by lot: the faults, and what clients do.
	Seed   uint64
	Faults []Planned
	// Break applies a fault, and gives it as the lab's list has it. Heal undoes those
	// that there still are, by their ids, and waits until the swarm is whole.
	Break func(context.Context, fault.Request) (fault.Fault, error)
	Heal  func(ctx context.Context, ids []string) error
	// Tell is told how it goes.
	Tell session.Reporter
}

// Applied is a fault that a run had.
type Applied struct {
	fault.Fault
	// From and To are since the beginning of the run.
	From, To time.Duration
}

// Election is one that a manager has won, since the beginning of a run.
type Election struct {
	At     time.Duration
	Leader string
	Term   uint64
}

// Ran is what a run was like.
type Ran struct {
	Began time.Time
	// For is how long it was to take, and Took how long it took until the last answer.
	For, Took time.Duration
	Managers  []string
	Faults    []Applied
	// Elections are those of the run, for who has heard of them.
	Elections []Election
	// Missed are faults that could not be applied, and why.
	Missed []string
	History
	// Views are what each manager told of each object in the end; as many managers as
	// there are, where all told something.
	Views map[string]map[string]string
}

// Elected notes an election, unless it was before or after the run.
func (r *Ran) Elected(at time.Time, leader string, term uint64) {
	if since := at.Sub(r.Began); since >= 0 && since <= r.Took {
		r.Elections = append(r.Elections, Election{since, leader, term})
	}
}

// Run lets clients work in a lab's swarm while faults come and go, and leaves the lab as
// it was, also where ctx ends. One run at a time is in a lab. It holds no lock: Break and
// Heal take the lab's.
func Run(ctx context.Context, s *session.Session, o Options) (Ran, error) {
	end, err := s.State().StartProbing(ctx, lab.Proving)
	if errors.Is(err, lab.ErrProbing) {
		return Ran{}, &trouble.Error{
			ID: "prove-runs", What: "dcalab prove", Why: "another one is at work on this lab", Exit: trouble.ExitRefused,
			Next: []string{"wait until it has ended, or stop it with Ctrl-C"},
		}
	}
	if err != nil {
		return Ran{}, err
	}
	defer func() { _ = end() }()
	r := &runner{Options: o, session: s, pool: s.NewPool(), set: objects()}
	defer r.pool.Close()
	if err := r.managers(ctx); err != nil {
		return Ran{}, err
	}
	defer r.close()
	err = r.run(ctx)
	return r.ran, err
}

type runner struct {
	Options
	session *session.Session
	pool    *session.Pool
	set     *store.Set
	stores  []*store.Manager // one for each manager, of the runner's own
	clients []*client
	ran     Ran

	mu  sync.Mutex // of what follows
	ops []Operation
}

// Managers are those of a lab's swarm that a run goes through. Faults say that there are
// going to be some.
func Managers(ctx context.Context, s *session.Session, pool *session.Pool, faults bool) ([]string, error) {
	managers, silent, others, err := store.Managers(ctx, s, pool)
	if err != nil {
		return nil, err
	}
	next := []string{"look at the lab: dcalab status"}
	switch {
	case len(silent) > 0 && faults:
		return nil, &trouble.Error{
			ID: "prove-not-whole", What: "dcalab prove", Why: "managers do not answer: " + strings.Join(silent, ", "), Exit: trouble.ExitRefused,
			Next: append(next, "write and read without breaking anything: dcalab prove --no-faults"),
		}
	case len(managers) < leastManagers && faults:
		e := &trouble.Error{
			ID: "prove-too-few", What: "dcalab prove", Exit: trouble.ExitRefused,
			Why:  fmt.Sprintf("the swarm has %s: with fewer than three it tolerates no failure, and there is nothing to prove", trouble.Count(len(managers), "manager")),
			Next: []string{"write and read without breaking anything: dcalab prove --no-faults"},
		}
		if missing := leastManagers - len(managers); len(others) >= missing {
			e.Next = append([]string{"dcalab promote " + strings.Join(others[:missing], " ")}, e.Next...)
		}
		return nil, e
	}
	return managers, nil
}

func (r *runner) managers(ctx context.Context) error {
	names, err := Managers(ctx, r.session, r.pool, len(r.Faults) > 0)
	if err != nil {
		return err
	}
	r.ran.Managers = names
	for _, name := range names {
		r.stores = append(r.stores, r.through(name))
	}
	r.ran.Objects = r.set.Names
	return nil
}

func (r *runner) through(manager string) *store.Manager {
	return r.set.Through(r.session, r.pool, manager)
}

func (r *runner) close() {
	for _, s := range r.stores {
		s.Close()
	}
}

// run makes the objects, lets clients work, and clears up, in this order.
func (r *runner) run(ctx context.Context) (err error) {
	r.Tell.Step("", "making the configs")
	defer func() { err = errors.Join(err, r.clear(context.WithoutCancel(ctx))) }() // also what was made in part
	if err := store.Persist(ctx, r.stores, cleanTimeout, func(ctx context.Context, m *store.Manager) error {
		left, err := m.Create(ctx)
		if len(left) > 0 && err == nil {
			r.Tell.Note("removed what an earlier run has left: " + strings.Join(left, ", "))
		}
		return err
	}); err != nil {
		return err
	}
	healed := false
	heal := func(ctx context.Context) error {
		var ids []string
		for _, f := range r.ran.Faults {
			ids = append(ids, f.ID)
		}
		if healed || len(ids) == 0 {
			return nil
		}
		healed = true
		return r.Heal(ctx, ids)
	}
	defer func() {
		healing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		err = errors.Join(err, heal(healing))
	}()
	r.work(ctx)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := heal(ctx); err != nil {
		r.Tell.Warn(trouble.OneLine(err))
	}
	r.final(ctx)
	r.ran.Operations = r.ops
	return context.Cause(ctx)
}

// work lets the clients work, and breaks the lab meanwhile, until the time is over.
func (r *runner) work(ctx context.Context) {
	r.ran.Began, r.ran.For = time.Now(), r.For
	working, stop := context.WithDeadline(ctx, r.ran.Began.Add(r.For))
	defer stop()
	var all sync.WaitGroup
	for i := range perManager {
		for _, manager := range r.ran.Managers {
			s := r.through(manager)
			seed := uint64(len(r.clients))                                                                                                                      //nolint:gosec // a count
			c := &client{runner: r, number: len(r.clients), manager: manager, store: s, onlyReads: i == perManager-1, lot: rand.New(rand.NewPCG(r.Seed, seed))} //nolint:gosec // a lot that can be drawn again
			r.clients = append(r.clients, c)
			all.Go(func() {
				defer s.Close()
				c.run(ctx, working)
			})
		}
	}
	r.Tell.Done("", fmt.Sprintf("%s write and read %s through %s", trouble.Count(len(r.clients), "client"),
		trouble.Count(len(r.ran.Objects), "config"), strings.Join(r.ran.Managers, ", ")))
	r.breakAll(working)
	<-working.Done()
	all.Wait()
	r.ran.Took = r.since()
	if ctx.Err() != nil {
		return
	}
	for i := range r.ran.Faults {
		r.ran.Faults[i].To = min(r.ran.Faults[i].To, r.ran.Took)
	}
	r.Tell.Note(r.count())
}

func (r *runner) since() time.Duration { return time.Since(r.ran.Began) }

// breakAll applies the faults, each at its time, but not before all managers answer again
// after the one before: a manager that was cut off may need longer to be heard again than
// the fault has lasted.
func (r *runner) breakAll(ctx context.Context) {
	var over time.Duration // when the last one was
	for _, p := range r.Faults {
		if !sleep(ctx, p.At-r.since()) || !r.answering(ctx, over) {
			return
		}
		if p.For = min(p.For, (r.Options.For - rest - r.since()).Truncate(time.Second)); p.For < leastFault/2 {
			return
		}
		from := r.since()
		f, err := r.Break(ctx, p.Request)
		if err != nil {
			if ctx.Err() == nil {
				r.ran.Missed = append(r.ran.Missed, p.Asked+": "+trouble.OneLine(err))
				r.Tell.Warn("left out: " + p.Asked + ": " + trouble.OneLine(err))
			}
			continue
		}
		over = r.since() + p.For
		if f.Ends != nil {
			over = f.Ends.Sub(r.ran.Began)
		}
		r.ran.Faults = append(r.ran.Faults, Applied{f, max(from, f.Begun.Sub(r.ran.Began)), over})
		if !sleep(ctx, over-r.since()) {
			return
		}
		r.Tell.Note(fmt.Sprintf("%s is over (%s): %s", f.ID, f.Words(), r.count()))
	}
}

// answering waits until all managers have answered since a time. It tells whether ctx goes
// on.
func (r *runner) answering(ctx context.Context, since time.Duration) bool {
	for {
		r.mu.Lock()
		missing := slices.DeleteFunc(slices.Clone(r.ran.Managers), func(manager string) bool {
			return slices.ContainsFunc(r.ops, func(o Operation) bool { return o.Manager == manager && o.Outcome == OK && o.Call >= since })
		})
		r.mu.Unlock()
		if len(missing) == 0 {
			return ctx.Err() == nil
		}
		if !sleep(ctx, failurePause) {
			return false
		}
	}
}

// count says how much was done so far.
func (r *runner) count() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := Tally(r.ops)
	return fmt.Sprintf("%s acknowledged, %d refused, %d without an answer; %s", trouble.Count(t.Acknowledged, "write"), t.Refused, t.Unknown, trouble.Count(t.Reads, "read"))
}

func (r *runner) record(o Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
}

// final reads every object through every manager, until all tell the same or the time is
// over. What a client was not answered may still happen meanwhile: the last look counts.
func (r *runner) final(ctx context.Context) {
	r.ran.Final, r.ran.Views = map[string]string{}, map[string]map[string]string{}
	until := time.Now().Add(cleanTimeout)
	for i, s := range r.stores {
		c := &client{runner: r, number: len(r.clients) + i, manager: s.Name, store: s}
		for _, object := range r.ran.Objects {
			for ctx.Err() == nil {
				value, ok := c.read(ctx, object)
				if ok {
					if r.ran.Views[object] == nil {
						r.ran.Views[object] = map[string]string{}
					}
					r.ran.Views[object][s.Name], r.ran.Final[object] = value.Value, value.Value
					break
				}
				if time.Now().After(until) || !sleep(ctx, failurePause) {
					break
				}
			}
		}
	}
}

// clear removes the objects.
func (r *runner) clear(ctx context.Context) error {
	r.Tell.Step("", "removing the configs")
	err := store.Persist(ctx, r.stores, cleanTimeout, func(ctx context.Context, m *store.Manager) error {
		_, err := m.Remove(ctx)
		return err
	})
	if err != nil {
		return &trouble.Error{
			ID: "prove-not-cleared", What: "remove the configs of dcalab prove", Why: trouble.OneLine(err), Err: err,
			Next: []string{"the next run removes them: dcalab prove", "which there are: dcalab ssh " + r.stores[0].Name + " -- docker config ls --filter label=" + r.set.Label},
		}
	}
	r.Tell.Done("", "configs removed")
	return nil
}

// sleep waits, and tells whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	return ctx.Err() == nil
}

// client writes and reads through one manager, one operation after the other.
type client struct {
	runner  *runner
	number  int
	manager string
	store   *store.Manager
	lot     *rand.Rand
	writes  int
	// onlyReads: it writes nothing.
	onlyReads bool
}

// run works until working ends. What has been asked by then is waited for, unless ctx ends.
func (c *client) run(ctx, working context.Context) {
	for working.Err() == nil {
		object := c.runner.ran.Objects[c.lot.IntN(len(c.runner.ran.Objects))]
		was, ok := c.read(ctx, object)
		if ok && !c.onlyReads && c.lot.IntN(2) == 0 {
			ok = sleep(working, c.upTo(pause/2)) && c.write(ctx, object, was) // others may be faster
		}
		wait := pause/2 + c.upTo(pause)
		if !ok {
			wait = failurePause
		}
		sleep(working, wait)
	}
}

// do does an operation, and records it. It tells whether the manager answered.
func (c *client) do(ctx context.Context, o Operation, do func(context.Context) (string, error)) bool {
	ctx, cancel := context.WithTimeout(ctx, store.OperationTimeout)
	defer cancel()
	o.Client, o.Manager, o.Call = c.number, c.manager, c.runner.since()
	value, err := do(ctx)
	o.Return, o.Value, o.Outcome = c.runner.since(), value, outcomeOf(err)
	if err != nil {
		o.Error = trouble.Redact(trouble.OneLine(err))
	}
	if o.Kind == Read && err != nil {
		o.Outcome = Failed // it changes nothing, whatever became of it
	}
	c.runner.record(o)
	return slices.Contains([]Outcome{OK, Refused}, o.Outcome)
}

func (c *client) read(ctx context.Context, object string) (was store.Version, ok bool) {
	ok = c.do(ctx, Operation{Object: object, Kind: Read}, func(ctx context.Context) (string, error) {
		var err error
		was, err = c.store.Read(ctx, object)
		return was.Value, err
	})
	return was, ok
}

// write replaces what was read by a value that no other write has.
func (c *client) write(ctx context.Context, object string, was store.Version) bool {
	c.writes++
	value := fmt.Sprintf("c%d.%d", c.number, c.writes)
	return c.do(ctx, Operation{Object: object, Kind: Write, From: was.Value}, func(ctx context.Context) (string, error) {
		return value, c.store.Write(ctx, was, value)
	})
}

// upTo draws a time below d.
func (c *client) upTo(d time.Duration) time.Duration {
	return time.Duration(c.lot.Int64N(int64(d)))
}

// outcomeOf says what an error of a store leaves of an operation.
func outcomeOf(err error) Outcome {
	if err == nil {
		return OK
	}
	if errors.Is(err, engine.ErrOutOfSequence) {
		return Refused
	}
	for _, certain := range []error{store.ErrNotSent, engine.ErrNotManager, engine.ErrNotInSwarm, engine.ErrLocked, engine.ErrCertExpired, engine.ErrNotFound} {
		if errors.Is(err, certain) {
			return Failed
		}
	}
	return Unknown
}

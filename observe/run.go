package observe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/store"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
)

const (
	// listenTimeout is how long it may take until all managers are heard and written through.
	listenTimeout = time.Minute
	// settleTime is how long the swarm has to be whole, and wholeTimeout how long it may
	// take after the last fault.
	settleTime   = 3 * time.Second
	wholeTimeout = 3 * time.Minute
	lookPause    = 100 * time.Millisecond
	cleanTimeout = time.Minute
)

// Options say how a lab is observed.
type Options struct {
	// Break breaks something, once the lab is listened to; nil: somebody else does.
	Break func(context.Context) error
	// Load: a service of the demo image, which the nodes have, is there meanwhile.
	Load bool
	// For is how long to look at most; 0 is no limit.
	For time.Duration
	// Found is told each milestone as it comes.
	Found func(Milestone)
	// Tell is told how it goes.
	Tell session.Reporter
}

// Run observes a lab until what was broken is healed and the swarm is whole, until the time
// is over, or until ctx ends, which is no error. It records the lab's timeline meanwhile,
// and writes through each manager. One run at a time is in a lab.
func Run(ctx context.Context, s *session.Session, o Options) (Report, error) {
	end, err := s.State().StartProbing(ctx, lab.Observing)
	if errors.Is(err, lab.ErrProbing) {
		return Report{}, &trouble.Error{
			ID: "observe-runs", What: "observe lab " + s.Lab().Name, Why: "another dcalab observes it", Exit: trouble.ExitRefused,
			Next: []string{"follow what happens beside it: dcalab timeline --follow", "wait until it has ended, or stop it with Ctrl-C"},
		}
	}
	if err != nil {
		return Report{}, err
	}
	defer func() { _ = end() }()
	r := &runner{Options: o, session: s, pool: s.NewPool()}
	defer r.pool.Close()
	if err := r.managers(ctx); err != nil {
		return Report{}, err
	}
	err = r.run(ctx)
	return r.seen, err
}

type runner struct {
	Options
	session *session.Session
	pool    *session.Pool
	set     *store.Set
	stores  []*store.Manager
	seen    Report

	mu       sync.Mutex // of the observer
	observer *Observer
}

// managers finds those that are written through: those that answer.
func (r *runner) managers(ctx context.Context) error {
	names, silent, _, err := store.Managers(ctx, r.session, r.pool)
	if err != nil {
		return err
	}
	if len(silent) > 0 {
		r.Tell.Warn("not written through, because they do not answer: " + strings.Join(silent, ", "))
	}
	r.set = &store.Set{Command: "dcalab observe", Label: "dcalab.observe", Initial: "0"}
	for _, name := range names {
		r.set.Names = append(r.set.Names, configOf(name))
		r.stores = append(r.stores, r.set.Through(r.session, r.pool, name))
	}
	return nil
}

// configOf is the config that is written through a manager.
func configOf(manager string) string { return "dcalab-observe-" + manager }

// run makes the configs, observes, and removes them, in this order.
func (r *runner) run(ctx context.Context) (err error) {
	defer func() {
		for _, m := range r.stores {
			m.Close()
		}
	}()
	r.Tell.Step("", "making a config for each manager")
	defer func() { err = errors.Join(err, r.clear(context.WithoutCancel(ctx))) }() // also what was made in part
	if err := store.Persist(ctx, r.stores, cleanTimeout, func(ctx context.Context, m *store.Manager) error {
		_, err := m.Create(ctx)
		return err
	}); err != nil {
		return err
	}
	r.observer = New(r.session.Lab().Name, time.Now())
	listening, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer func() { // before it takes time to clear up
		stop()
		all.Wait()
		r.seen = r.observer.Report(time.Now())
	}()
	failed := make(chan error, 2)
	since := time.Time{} // where another process records, what it has told before is how it is
	if !r.session.State().Recording().Runs() {
		since = time.Now()
	}
	all.Go(func() { failed <- timeline.Record(listening, r.session) })
	all.Go(func() {
		failed <- timeline.Recording{State: r.session.State()}.Follow(listening, since, r.add)
	})
	r.Tell.Step("", "listening")
	if err := r.until(ctx, failed, listenTimeout, func() bool { return r.observer.Heard(r.names()) }); err != nil {
		return r.unheard(err)
	}
	for _, m := range r.stores {
		all.Go(func() { probe(listening, r.session, m) })
	}
	if err := r.until(ctx, failed, listenTimeout, func() bool { return r.observer.Writable(r.names()) }); err != nil {
		return r.unheard(err)
	}
	if r.Load {
		if err := r.load(listening, failed, all.Go); err != nil {
			return err
		}
	}
	r.Tell.Done("", "listening, and writing through "+strings.Join(r.names(), ", "))
	if r.Break != nil {
		r.mu.Lock()
		r.observer.From(time.Now())
		r.mu.Unlock()
		if err := r.Break(ctx); err != nil {
			return err
		}
	} else {
		r.Tell.Note("waiting for something to break, by hand or in another terminal (dcalab break); Ctrl-C ends it")
	}
	return r.follow(ctx, failed)
}

func (r *runner) names() []string {
	var out []string
	for _, m := range r.stores {
		out = append(out, m.Name)
	}
	return out
}

func (r *runner) add(e timeline.Event) {
	r.mu.Lock()
	found := r.observer.Add(e)
	r.mu.Unlock()
	for _, m := range found {
		r.Found(m)
	}
}

// errLate is for what did not come in time.
var errLate = errors.New("not in time")

// until waits for a state of the observer's.
func (r *runner) until(ctx context.Context, failed <-chan error, limit time.Duration, is func() bool) error {
	over := time.After(limit)
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	for {
		r.mu.Lock()
		done := is()
		r.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-failed:
			return errors.Join(err, context.Cause(ctx))
		case <-over:
			return errLate
		case <-tick.C:
		}
	}
}

// unheard is why it could not be begun.
func (r *runner) unheard(err error) error {
	if !errors.Is(err, errLate) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return &trouble.Error{
		ID: "observe-not-whole", What: "observe lab " + r.session.Lab().Name, Why: "before anything is broken: " + strings.Join(r.observer.unready(r.names()), "; "), Exit: trouble.ExitRefused,
		Next: []string{"look at the lab: dcalab status", "see what is heard of it: dcalab timeline --follow"},
	}
}

// follow waits until what was broken is whole again.
func (r *runner) follow(ctx context.Context, failed <-chan error) error {
	var over <-chan time.Time
	if r.For > 0 {
		over = time.After(r.For)
	}
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	var whole, healed time.Time
	for {
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
				return cause
			}
			return nil // it was told to end
		case err := <-failed:
			if ctx.Err() != nil {
				failed = nil // which ctx has ended
				continue
			}
			return err
		case <-over:
			return nil
		case <-tick.C:
		}
		r.mu.Lock()
		missing := r.observer.Missing()
		broken, breaking := r.observer.Broken(), r.observer.faults.breaking()
		r.mu.Unlock()
		now := time.Now()
		switch {
		case !broken:
			continue
		case breaking:
			healed = time.Time{}
		case healed.IsZero():
			healed = now
		}
		switch {
		case len(missing) > 0:
			whole = time.Time{}
		case whole.IsZero():
			whole = now
		case now.Sub(whole) > settleTime:
			return nil
		}
		if r.Break != nil && !healed.IsZero() && now.Sub(healed) > wholeTimeout {
			return &trouble.Error{
				ID: "observe-unhealed", What: fmt.Sprintf("the swarm is not whole, %s after it was healed", trouble.Duration(wholeTimeout)), Why: strings.Join(missing, "; "), Exit: trouble.ExitUnfinished,
				Next: []string{"look at the lab: dcalab status", "dcalab swarm bootstrap", "go on watching: dcalab observe"},
			}
		}
	}
}

// clear removes the configs, and the load.
func (r *runner) clear(ctx context.Context) error {
	r.Tell.Step("", "removing what was made for it")
	err := store.Persist(ctx, r.stores, cleanTimeout, func(ctx context.Context, m *store.Manager) error {
		_, err := m.Remove(ctx)
		if err != nil || !r.Load {
			return err
		}
		c, err := m.Engine(ctx)
		if err != nil {
			return err
		}
		return c.Services.Remove(ctx, r.set.Label)
	})
	if err != nil {
		return &trouble.Error{
			ID: "observe-not-cleared", What: "remove what dcalab observe has made", Why: trouble.OneLine(err), Err: err,
			Next: []string{"the next dcalab observe removes them", "which there are: dcalab ssh " + r.stores[0].Name + " -- docker config ls --filter label=" + r.set.Label},
		}
	}
	return nil
}

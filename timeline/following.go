package timeline

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcalab/dcalab/session"
)

// Follow tells what is recorded of a lab from a time on, and records it while no other
// process does, until ctx ends.
func Follow(ctx context.Context, s *session.Session, from time.Time, tell func(Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	recorded := make(chan error, 1)
	go func() {
		defer cancel()
		recorded <- Record(ctx, s)
	}()
	err := Recording{State: s.State()}.Follow(ctx, from, tell)
	cancel()
	return errors.Join(err, <-recorded)
}

// Elections follows a lab until the function is called, which gives the elections that were
// won meanwhile.
func Elections(ctx context.Context, s *session.Session) func() ([]Event, error) {
	ctx, stop := context.WithCancel(ctx)
	var won []Event
	before := uint64(0) // the newest term when the logs were first read: who leads in it is no news
	ended := make(chan error, 1)
	go func() {
		ended <- Follow(ctx, s, time.Now(), func(e Event) {
			switch {
			case e.Raft == nil:
			case e.Kind == KindState:
				before = max(before, e.Raft.Term)
			case e.Kind == KindLeader && e.Raft.Term > before:
				won = append(won, e)
			}
		})
	}()
	return func() ([]Event, error) {
		stop()
		err := <-ended
		return won, err
	}
}

// Following follows whichever lab there is: it may be made, changed and destroyed
// meanwhile. Its functions are set before it begins; Take and Failed are called by a
// goroutine of its own.
type Following struct {
	Recorded bool // also what was recorded before; where another process records, that is told in any case
	Begin    func(*session.Session)
	Take     func(Event)
	Failed   func(error)

	lab    string // that is followed; empty before the first
	cancel context.CancelFunc
	ended  sync.WaitGroup
	broken atomic.Bool // following has failed
}

// From follows the lab of s, once it exists, in place of another one. It is called again
// and again, by one goroutine.
func (f *Following) From(ctx context.Context, s *session.Session) {
	lab := "none"
	if s.Created() {
		lab = s.Record().ID + " " + strings.Join(s.Lab().NodeNames(), " ")
	}
	if failed := f.broken.Swap(false); lab == f.lab && !failed {
		return
	}
	f.Stop()
	f.lab = lab
	f.Begin(s)
	if !s.Created() {
		return
	}
	ctx, f.cancel = context.WithCancel(ctx)
	since := time.Now()
	if f.Recorded || s.State().Recording().Runs() { // by another process, which has told how things are
		since = time.Time{}
	}
	f.ended.Go(func() {
		err := Follow(ctx, s, since, f.Take)
		if err != nil {
			f.Failed(err)
			f.broken.Store(true)
		}
	})
}

// Stop ends it. It is called by the goroutine of From, or after it.
func (f *Following) Stop() {
	if f.cancel != nil {
		f.cancel()
		f.cancel = nil
	}
	f.ended.Wait()
}

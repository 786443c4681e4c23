package observe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/store"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
)

const (
	// answerTime is how long a write may take, and connectTime where a node has to be
	// connected to first.
	answerTime  = 2 * time.Second
	connectTime = 5 * time.Second
	// acceptedPause is between two writes while they are accepted, refusedPause while they
	// are not, and unsentPause where they do not come as far as an engine.
	acceptedPause = 500 * time.Millisecond
	refusedPause  = 200 * time.Millisecond
	unsentPause   = time.Second
)

// probe writes a config through a manager, again and again, until ctx ends, and records
// whenever it turns out that writes are accepted, or not any more.
func probe(ctx context.Context, s *session.Session, m *store.Manager) {
	recording := timeline.Recording{State: s.State()}
	known, accepted, limit := false, false, connectTime
	for n := 1; ctx.Err() == nil; n++ {
		asked := time.Now()
		err := attempt(ctx, m, n, limit)
		if ctx.Err() != nil {
			return
		}
		if now := err == nil; !known || now != accepted {
			e := timeline.Event{Time: time.Now(), Source: timeline.SourceProbe, Kind: timeline.KindWritable, Node: m.Name}
			if err != nil {
				e.Kind, e.Text, e.Since = timeline.KindUnwritable, why(m, err, limit), asked
			}
			_ = recording.Add(e) // what cannot be recorded is not followed either: Record says why
			known, accepted = true, now
		}
		limit = answerTime
		pause := acceptedPause
		switch {
		case errors.Is(err, store.ErrNotSent):
			pause, limit = unsentPause, connectTime
		case err != nil:
			pause = refusedPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// attempt replaces what is in the config now. Where something else was faster, that was an
// earlier write of the same probe, whose answer was not waited for: once more.
func attempt(ctx context.Context, m *store.Manager, n int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		was, err := m.Read(ctx, configOf(m.Name))
		if err == nil {
			err = m.Write(ctx, was, fmt.Sprint(n))
		}
		if !errors.Is(err, engine.ErrOutOfSequence) || ctx.Err() != nil {
			return err
		}
	}
}

// why says why a write was not accepted.
func why(m *store.Manager, err error, limit time.Duration) string {
	for _, known := range []error{engine.ErrNoLeader, engine.ErrNotManager, engine.ErrNotInSwarm, engine.ErrLocked, engine.ErrCertExpired, engine.ErrPreparing} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, engine.ErrHangs) {
		return fmt.Sprintf("no answer for %g s", limit.Seconds())
	}
	var lab *trouble.Error
	if errors.As(err, &lab) {
		return lab.Why
	}
	return strings.TrimPrefix(trouble.OneLine(err), m.Name+": ")
}

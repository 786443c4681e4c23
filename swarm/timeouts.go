package swarm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// All times of this package, and the one loop that waits.
const (
	// changeTimeout is how long the effect of a step is waited for: an election
	// takes 10 to 20 s, a join 20 s before the engine sends it to the background.
	changeTimeout = time.Minute
	// shareTimeout is added for each node above ten: their engines share the
	// processors of one machine.
	shareTimeout = 3 * time.Second
	// RecoverTimeout is for a swarm that has lost managers for good: a worker tries those
	// first, by chance, 3 to 5 s each, with up to 8 s between (measured: up to 100 s).
	RecoverTimeout = 3 * time.Minute
	// ingressTimeout is how long others that would join wait for a node to be on
	// the ingress network.
	ingressTimeout = 20 * time.Second
	// ElectionTimeout is how long a swarm whose leader has just gone may take to
	// have another: raft's election begins after 10 to 19 s without a heartbeat,
	// and one that nobody wins is held again as long after.
	ElectionTimeout = time.Minute
	// HangTimeout is how long an engine may let calls hang that is only finding out
	// what its part in the swarm is: one that was a manager, and was demoted while it
	// was down, takes 6 s (measured on 20.10); one that loses its leader, 20 s.
	HangTimeout = 30 * time.Second
	// heartbeatTimeout is how long a node that was just started may take to be
	// heard by the leader: its agent tries again every 8 s at the latest.
	heartbeatTimeout = 30 * time.Second
	// demotionTimeout is enough for a manager to leave raft; a dissolve does
	// not hang on it.
	demotionTimeout = 20 * time.Second
	// promotedTimeout is for how long a manager that was just promoted, and that
	// the last look does not show as one, is looked for; one that hangs, for
	// HangTimeout.
	promotedTimeout = 3 * time.Second
	// interruptedTimeout is for how long a dissolve that was interrupted looks at
	// what it leaves.
	interruptedTimeout = 5 * time.Second
	// sameLook is how old an answer may be that steps share which wait at the same
	// time.
	sameLook = 5 * time.Millisecond
	// certificateTimeout bounds the reading of a certificate: a node that hangs is left
	// out.
	certificateTimeout = 5 * time.Second
	// beliefTimeout bounds what one manager may take to tell its view, beside the
	// limits that each call has.
	beliefTimeout = 12 * time.Second
)

// pauses are the times between two looks at something: the first one, and what
// they grow to.
type pauses struct {
	first, last time.Duration
	factor      float64
	// before is told, before each pause, why there is one. May be nil.
	before func(error)
}

// shortPauses are between calls of one engine.
func shortPauses() pauses {
	return pauses{first: 8 * time.Millisecond, last: 250 * time.Millisecond, factor: 1.2}
}

// longPauses are between observations, which ask every engine.
func longPauses() pauses {
	return pauses{first: 8 * time.Millisecond, last: 500 * time.Millisecond, factor: 2}
}

// reconnectPauses are between observations over new connections.
func reconnectPauses() pauses { return pauses{first: time.Second, last: time.Second, factor: 1} }

// poll looks, soon and then ever more rarely, and not more than half of the time
// where a look is expensive, until look gives nil, or an
// error marked by finalError. Any other error is the reason to look again, and
// the last one is the answer when the timeout is over: look is called at least
// once, and once after the timeout at the latest.
func poll(ctx context.Context, timeout time.Duration, p pauses, look func() error) error {
	end := time.Now().Add(timeout)
	pause := backoff.ExponentialBackOff{InitialInterval: p.first, Multiplier: p.factor, MaxInterval: p.last}
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		began := time.Now()
		err := look()
		if err == nil {
			return nil
		}
		took := min(time.Since(began), time.Second)
		var fatal finalError
		if errors.As(err, &fatal) {
			return fatal.error
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %s: %w", timeout, err)
		}
		if p.before != nil {
			p.before(err)
		}
		timer := time.NewTimer(max(pause.NextBackOff(), took))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// finalError marks an error that another look will not change.
type finalError struct{ error }

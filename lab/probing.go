package lab

import (
	"context"
	"errors"
)

// ErrProbing is for a lab in which another process of the same command is at work.
var ErrProbing = errors.New("another dcalab is at work in this lab's swarm")

// Probing is what one process at a time does in a lab's swarm, by the file that it locks.
type Probing string

// What writes in a swarm.
const (
	Proving   Probing = "prove.lock"
	Observing Probing = "observe.lock"
)

// StartProbing makes this process the one that proves, or observes, until it ends or calls
// end. Where another is, the error wraps ErrProbing.
func (s *State) StartProbing(ctx context.Context, what Probing) (end func() error, err error) {
	return s.claim(ctx, string(what), ErrProbing)
}

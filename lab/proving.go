package lab

import (
	"context"
	"errors"
)

// provingLock is held by the process that proves.
const provingLock = "prove.lock"

// ErrProving is for a lab in which another process proves already.
var ErrProving = errors.New("another dcalab proves on this lab")

// StartProving makes this process the one whose clients are at work in the lab's swarm,
// until it ends or calls end. Where another is, the error wraps ErrProving.
func (s *State) StartProving(ctx context.Context) (end func() error, err error) {
	return s.claim(ctx, provingLock, ErrProving)
}

package session

import (
	"context"
	"time"

	"github.com/dcalab/dcalab/swarm"
)

// WaitFor observes until conditions hold, over connections that it keeps, and
// makes where one is missing: machines may start and stop meanwhile. waiting is
// told before each pause what is missing. For the error see swarm.Cluster.Await.
func (s *Session) WaitFor(ctx context.Context, timeout time.Duration, waiting func(missing []string), conditions ...swarm.Condition) (swarm.View, error) {
	pool := s.NewPool()
	defer pool.Close()
	var last *Engines
	release := func() {
		if last != nil {
			last.Release()
		}
	}
	defer func() { release() }()
	cluster := swarm.New(nil, swarm.Options{
		Waiting: waiting,
		Reconnect: func(ctx context.Context) ([]swarm.Target, error) {
			release()
			var err error
			if last, err = s.AllEngines(ctx, pool); err != nil {
				return nil, err
			}
			return last.Targets, nil
		},
	})
	return cluster.Await(ctx, timeout, conditions...)
}

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	forwardFile = "forward.json"
	forwardLock = "forward.lock"
)

// Forwarded is a port of this machine that leads to one of the lab's nodes.
type Forwarded struct {
	// Local is an address of loopback: 127.0.0.1:8080.
	Local string `json:"local"`
	// Port is that of the nodes.
	Port int `json:"port"`
}

// ErrForwarding is for a lab whose ports another process forwards.
var ErrForwarding = errors.New("another dcalab forward runs for this lab")

// Forward tells other commands of the ports that this process forwards, until it
// ends or calls end. Another one that forwards is an error that wraps
// ErrForwarding.
func (s *State) Forward(ctx context.Context, list []Forwarded) (end func() error, err error) {
	l, err := s.lockOn(forwardLock)
	if err != nil {
		return nil, err
	}
	// A status that looks holds the lock for a moment.
	patience, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := l.TryLockContext(patience, 20*time.Millisecond); err != nil {
		if patience.Err() != nil && ctx.Err() == nil {
			err = ErrForwarding
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", s.path(forwardLock), err), l.Close())
	}
	text, err := json.Marshal(list)
	if err == nil {
		err = s.WriteFile(forwardFile, append(text, '\n'), 0o600)
	}
	end = func() error { return errors.Join(s.remove(forwardFile), l.Close()) }
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// Forwarded are the ports that a process forwards now.
func (s *State) Forwarded() []Forwarded {
	text, err := s.ReadFile(forwardFile)
	if err != nil {
		return nil
	}
	l, err := s.lockOn(forwardLock)
	if err != nil {
		return nil
	}
	defer l.Close()
	if free, err := l.TryRLock(); free || err != nil { // others may look at the same time
		return nil // who wrote it is gone
	}
	var list []Forwarded
	if json.Unmarshal(text, &list) != nil {
		return nil
	}
	return list
}

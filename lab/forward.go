package lab

import (
	"context"
	"encoding/json"
	"errors"
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
	release, err := s.claim(ctx, forwardLock, ErrForwarding)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(list)
	if err == nil {
		err = s.WriteFile(forwardFile, append(text, '\n'), 0o600)
	}
	end = func() error { return errors.Join(s.remove(forwardFile), release()) }
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
	if !s.claimed(forwardLock) {
		return nil // who wrote it is gone
	}
	var list []Forwarded
	if json.Unmarshal(text, &list) != nil {
		return nil
	}
	return list
}

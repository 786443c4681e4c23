package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

// lockPoll is how often a lock that is held is tried again.
const lockPoll = 100 * time.Millisecond

// Holder is the dcalab process that holds a lab's lock, as it told itself. It
// is zero in the moment between taking the lock and saying so.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// Lock keeps other dcalab processes, and other callers in this one, from
// changing the lab until unlock is called. It waits for the lock at most for
// within, and then gives up with a trouble.Error (trouble.ExitRefused) that
// says who holds it. waiting, if not nil, is called once, when the lock turns
// out to be held. command is what this process tells others about itself,
// without secrets: "dcalab up". The operating system lets go of the lock when
// the process ends, however it ends.
func (s *State) Lock(ctx context.Context, command string, within time.Duration, waiting func(Holder)) (unlock func() error, err error) {
	l, err := s.lockOn(lockFile)
	if err != nil {
		return nil, fmt.Errorf("lock lab %s: %w", s.lab, err)
	}
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for told := false; ; {
		got, err := l.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock lab %s: %w", s.lab, errors.Join(err, l.Close()))
		}
		if got {
			break
		}
		if !told && waiting != nil {
			waiting(s.holder())
		}
		told = true
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock lab %s: %w", s.lab, errors.Join(context.Cause(ctx), l.Close()))
		case <-deadline.C:
			return nil, errors.Join(heldBy(s), l.Close())
		case <-poll.C:
		}
	}
	unlock = func() error {
		return errors.Join(s.remove(holderFile), l.Close())
	}
	// It is told to those who wait, in a file beside the one that is locked, which
	// Windows lets nobody read. On a full disk, which a destroy may be to fix, there
	// is no room for it; then that of an older holder may not stay either.
	data, err := json.Marshal(Holder{PID: os.Getpid(), Command: command, Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil || s.WriteFile(holderFile, append(data, '\n'), 0o600) != nil {
		_ = s.remove(holderFile)
	}
	return unlock, nil
}

func (s *State) holder() Holder {
	var h Holder
	data, err := s.ReadFile(holderFile)
	if err == nil && json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	return h
}

// heldBy is the error for a lock that somebody else holds.
func heldBy(s *State) error {
	e := &trouble.Error{
		ID:   "lab-locked",
		What: "another dcalab is at work on the lab " + s.lab,
		Why:  "it has not said which",
		Next: []string{"wait until it ends, or stop it with Ctrl-C where it runs"},
		Exit: trouble.ExitRefused,
	}
	if h := s.holder(); h.PID != 0 {
		e.Why = fmt.Sprintf("%q, process %d, since %s", h.Command, h.PID, h.Since.Local().Format(time.DateTime))
	}
	return e
}

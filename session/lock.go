package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// ErrReadOnly is what Lock refuses with: something came, in a session that is
// ReadOnly, to where it would have begun to change things.
var ErrReadOnly = errors.New("stopped: a dry run changes nothing (this is a mistake in dcalab)")

// lockTimeout is how long another dcalab is waited for.
const lockTimeout = time.Minute

// Lock locks the lab for what changes it, makes its state folder, opens its log
// and reads its record again. waiting is told who holds the lock, if that is
// somebody else. unlock must be called once.
func (s *Session) Lock(ctx context.Context, waiting func(lab.Holder)) (unlock func() error, err error) {
	if s.settings.ReadOnly {
		return nil, ErrReadOnly
	}
	if err := s.state.Create(); err != nil {
		return nil, err
	}
	release, err := s.state.Lock(ctx, trouble.Redact("dcalab "+s.settings.Command), lockTimeout, waiting)
	if err != nil {
		return nil, err
	}
	if err := s.Refresh(); err != nil {
		return nil, errors.Join(err, release())
	}
	f, err := s.state.OpenLog()
	if err != nil {
		return nil, errors.Join(err, release())
	}
	s.logTo(f)
	s.logCommand(s)
	return func() error {
		s.logTo(io.Discard) // who goes on meanwhile, as what listens to the lab, may write
		return errors.Join(f.Close(), release())
	}, nil
}

// Refresh reads the record again: another dcalab may have made the lab, or
// destroyed it, since this one read it. While the lab is locked, it does
// not change.
func (s *Session) Refresh() error {
	record, created, err := s.state.ReadRecord()
	if err != nil || created == s.created && (!created || record.ID == s.record.ID) {
		return err
	}
	if created {
		if err := s.vouch(record); err != nil {
			return err
		}
	}
	s.record, s.created = record, created
	if err := s.settle(); err != nil {
		return err
	}
	return s.UseDriver()
}

func (s *Session) logTo(w io.Writer) { s.log.Store(&w) }

// Write writes to the lab's log, without secrets; before Lock, and on a nil
// session, it writes nowhere.
func (s *Session) Write(p []byte) (int, error) {
	if s == nil {
		return len(p), nil
	}
	w := s.log.Load()
	if w == nil {
		return len(p), nil
	}
	return writeRedacted(*w, p)
}

func writeRedacted(w io.Writer, p []byte) (int, error) {
	if _, err := io.WriteString(w, trouble.Redact(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *Session) logCommand(w io.Writer) {
	fmt.Fprintf(w, "%s dcalab %s\n", time.Now().UTC().Format(time.RFC3339), trouble.Redact(s.settings.Command))
}

// readLog is the lab's log also for what only reads, which opens it when there
// is something to say: that Vagrant was asked, and why.
type readLog struct{ s *Session }

func (l readLog) Write(p []byte) (int, error) {
	s := l.s
	if s.log.Load() != nil || !s.created || s.settings.ReadOnly || s.settings.Watching {
		return s.Write(p)
	}
	s.late.Lock()
	defer s.late.Unlock()
	if s.read == nil {
		s.read = io.Discard // of a folder that is not ours
		if f, err := s.state.OpenLog(); err == nil {
			s.read = f // until the program ends, or Close
			s.logCommand(f)
		}
	}
	return writeRedacted(s.read, p)
}

package timeline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// lookPause is between two looks at a recording that is being written, where the system
// does not tell that it was, and turnPause between two looks whether another one is.
const (
	lookPause = 20 * time.Millisecond
	turnPause = 200 * time.Millisecond
)

// Recording is that of one lab. Several processes may write it and read it at once.
type Recording struct {
	State *lab.State
	// Mine: this process is the one that records.
	Mine bool
}

// Add records an event, without secrets.
func (r Recording) Add(e Event) error {
	line, err := e.line()
	if err != nil {
		return err
	}
	return r.State.Recording().Add([]byte(trouble.Redact(string(line))), r.Mine)
}

// standby is between two attempts to become the process that records.
const standby = 2 * time.Second

// Record listens to a lab and records what happens in it, until ctx ends, which is no
// error. While another process records the lab, it stands by.
func Record(ctx context.Context, s *session.Session) error {
	r := Recording{State: s.State(), Mine: true}
	for ctx.Err() == nil {
		end, err := r.State.Recording().Start(ctx)
		if err == nil {
			return errors.Join(r.listen(ctx, s), end())
		}
		if ctx.Err() == nil && !errors.Is(err, lab.ErrRecording) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(standby):
		}
	}
	return nil
}

func (r Recording) listen(ctx context.Context, s *session.Session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	err := Listen(ctx, s, func(e Event) {
		if failed == nil {
			if failed = r.Add(e); failed != nil {
				cancel()
			}
		}
	})
	return errors.Join(err, failed)
}

// Read tells the events since a time that are recorded, in their order. A line that
// is none, as one that was cut off, is passed over.
func (r Recording) Read(since time.Time, tell func(Event)) error {
	t, err := r.open()
	if err != nil {
		return err
	}
	defer t.close()
	return t.rest(since, tell)
}

// Follow is Read, and goes on with what is recorded from then on, until ctx ends,
// which is no error.
func (r Recording) Follow(ctx context.Context, since time.Time, tell func(Event)) error {
	t, err := r.open()
	if err != nil {
		return err
	}
	defer func() { t.close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := r.State.Changes(ctx, filepath.Base(r.State.Recording().Path()), lookPause, turnPause)
	for turned := time.Now(); ; {
		if err := t.rest(since, tell); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
		}
		if len(t.files) > 0 && time.Since(turned) < turnPause {
			continue
		}
		if err := r.turn(t); err != nil {
			return err
		}
		turned = time.Now()
	}
}

// tail is how far recordings have been read: the old one, then the one that is
// written.
type tail struct {
	files []*os.File
	in    *bufio.Reader
	part  []byte // of a line that is being written
}

func (r Recording) open() (*tail, error) {
	files, err := r.State.Recording().Open()
	return &tail{files: files}, err
}

func (t *tail) close() {
	for _, f := range t.files {
		_ = f.Close()
	}
}

// rest reads on to the end.
func (t *tail) rest(since time.Time, tell func(Event)) error {
	for len(t.files) > 0 {
		if t.in == nil {
			t.in = bufio.NewReader(t.files[0])
		}
		text, err := t.in.ReadBytes('\n')
		t.part = append(t.part, text...)
		if err == nil {
			var e Event
			if json.Unmarshal(bytes.TrimSpace(t.part), &e) == nil && !e.Time.Before(since) {
				tell(e)
			}
			t.part = t.part[:0]
			continue
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		if len(t.files) == 1 {
			return nil
		}
		_ = t.files[0].Close()
		t.files, t.in, t.part = t.files[1:], nil, nil
	}
	return nil
}

// turn goes on to the recording that is written now, once another one is.
func (r Recording) turn(t *tail) error {
	if len(t.files) > 0 {
		mine, err := t.files[0].Stat()
		if err != nil {
			return err
		}
		if now, err := os.Stat(r.State.Recording().Path()); err != nil || os.SameFile(mine, now) {
			return nil //nolint:nilerr // it is being replaced: at the next look
		}
	}
	files, err := r.State.Recording().Open()
	if err != nil || len(files) == 0 {
		return err
	}
	if len(t.files) > 0 && len(files) == 2 { // the old one is that which was read: its rest, then the new one
		_ = files[0].Close()
		t.files = append(t.files, files[1])
		return nil
	}
	t.files = append(t.files, files...)
	return nil
}

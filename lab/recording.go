package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

const (
	recordingFile    = "timeline.jsonl"
	oldRecordingFile = "timeline.old.jsonl"
	recordingLock    = "timeline.lock"
	// recordingMax is how large a recording grows before it becomes the old one, in
	// bytes: some hours of a busy lab.
	recordingMax = 16 << 20
)

// ErrRecording is for a lab that another process records already.
var ErrRecording = errors.New("another dcalab records this lab")

// Recording is the path of the recording of what happens in the lab.
func (s *State) Recording() string { return s.path(recordingFile) }

// StartRecording makes this process the one that records what happens in the lab,
// until it ends or calls end. Where another does, the error wraps ErrRecording.
func (s *State) StartRecording(ctx context.Context) (end func() error, err error) {
	return s.claim(ctx, recordingLock, ErrRecording)
}

// Recorded tells whether a process records now.
func (s *State) Recorded() bool { return s.claimed(recordingLock) }

// Record adds lines to the recording. Several processes may do so at once. A
// recording that is large enough becomes the old one, in place of the last; only the
// process that records does that.
func (s *State) Record(lines []byte, mine bool) error {
	dir, err := s.open(true)
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := s.openToAppend(dir, recordingFile)
	if err != nil {
		return err
	}
	_, err = f.Write(lines)
	info, unknown := f.Stat()
	err = errors.Join(err, f.Close())
	if mine && unknown == nil && info.Size() > recordingMax {
		_ = dir.Rename(recordingFile, oldRecordingFile) // where that fails it grows, and the next line tries again
	}
	return err
}

// OpenRecordings opens the old recording and the one that is written, in this order;
// those that there are.
func (s *State) OpenRecordings() ([]*os.File, error) {
	dir, err := s.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var out []*os.File
	for _, name := range []string{oldRecordingFile, recordingFile} {
		f, err := openPlain(dir, name, os.O_RDONLY)
		switch {
		case err == nil:
			out = append(out, f)
		case !errors.Is(err, fs.ErrNotExist):
			for _, f := range out {
				_ = f.Close()
			}
			return nil, fmt.Errorf("open %s: %w", s.path(name), err)
		}
	}
	return out, nil
}

// claim locks a file for as long as this process is what it is to the lab.
func (s *State) claim(ctx context.Context, name string, other error) (end func() error, err error) {
	l, err := s.lockOn(name)
	if err != nil {
		return nil, err
	}
	// Who asks whether there is one holds the lock for a moment.
	patience, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := l.TryLockContext(patience, 20*time.Millisecond); err != nil {
		if patience.Err() != nil && ctx.Err() == nil {
			err = other
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", s.path(name), err), l.Close())
	}
	return l.Close, nil
}

// claimed tells whether some process has made a claim.
func (s *State) claimed(name string) bool {
	if _, err := os.Lstat(s.path(name)); err != nil {
		return false // nobody ever did
	}
	l, err := s.lockOn(name)
	if err != nil {
		return false
	}
	defer l.Close()
	free, err := l.TryRLock() // others may ask at the same time
	return !free && err == nil
}

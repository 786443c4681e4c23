package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// Recording is what has happened in a lab, line by line, in two files: the old one and
// the one that is written. One process at a time records: it has the lock that Start takes.
type Recording struct{ in *folder }

// Recording is that of this lab.
func (s *State) Recording() Recording { return Recording{&s.folder} }

// Path is that of the file that is written.
func (r Recording) Path() string { return r.in.path(recordingFile) }

// Start makes this process the one that records what happens in the lab,
// until it ends or calls end. Where another does, the error wraps ErrRecording.
func (r Recording) Start(ctx context.Context) (end func() error, err error) {
	return r.in.claim(ctx, recordingLock, ErrRecording)
}

// Runs tells whether a process records now.
func (r Recording) Runs() bool { return r.in.claimed(recordingLock) }

// Add adds lines. Several processes may do so at once. A recording that is large enough
// becomes the old one, in place of the last; only the process that records does that.
func (r Recording) Add(lines []byte, mine bool) error {
	dir, err := r.in.open(true)
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := r.in.openToAppend(dir, recordingFile)
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

// Open opens the old recording and the one that is written, in this order; those that
// there are.
func (r Recording) Open() ([]*os.File, error) {
	dir, err := r.in.open(false)
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
			return nil, fmt.Errorf("open %s: %w", r.in.path(name), err)
		}
	}
	return out, nil
}

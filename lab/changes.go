package lab

import (
	"context"
	"path/filepath"
	"runtime"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Changes gives a sign when a file of the lab's folder may have been written, until ctx
// ends: at once where the system tells of it (on Linux), and each time that rarely is over,
// so that nobody depends on it; elsewhere each time that often is over.
func (d *folder) Changes(ctx context.Context, name string, often, rarely time.Duration) <-chan struct{} {
	sign := make(chan struct{}, 1)
	go d.watch(ctx, name, often, rarely, func() {
		select {
		case sign <- struct{}{}:
		default: // one is there
		}
	})
	return sign
}

// RecordChanges gives a sign when the lab may have been made or destroyed, as Changes does.
func (s *State) RecordChanges(ctx context.Context) <-chan struct{} {
	return s.Changes(ctx, recordFile, time.Second, 2*time.Second)
}

func (d *folder) watch(ctx context.Context, name string, often, rarely time.Duration, sign func()) {
	var events chan fsnotify.Event // none, where there is no watcher
	watch := func() bool { return false }
	if runtime.GOOS == "linux" { // a folder that is watched is hard to remove on Windows, and costs a file for each of its own on macOS
		if w, err := fsnotify.NewWatcher(); err == nil {
			defer w.Close()
			events = w.Events
			watch = func() bool { return w.Add(d.Dir()) == nil } // again each time: the folder may be another one
			go func() {
				for range w.Errors { // what was lost is found at the next look
				}
			}()
		}
	}
	pause := func() time.Duration {
		if watch() {
			return rarely
		}
		return often
	}
	next := time.NewTimer(pause())
	defer next.Stop()
	sign() // of what was written before it was watched
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if filepath.Base(e.Name) == name {
				sign()
			}
		case <-next.C:
			after := pause() // before the sign: what is written from here on is told
			sign()
			next.Reset(after)
		}
	}
}

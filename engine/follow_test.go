package engine_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
)

// TestFollow: an engine that starts, has containers, is started anew, and is stopped.
func TestFollow(t *testing.T) {
	f, c := fake(t, "1.41")
	streams := make(chan chan any) // each is the events that one stream tells; its end is the stream's
	f.mux.HandleFunc("/v1.41/events", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case events := <-streams:
			for e := range events {
				_ = json.NewEncoder(w).Encode(e)
				_ = http.NewResponseController(w).Flush()
			}
		case <-r.Context().Done():
		}
	})
	f.answer("/v1.41/version", 200, map[string]string{"Version": "20.10.24"})
	var process atomic.Value
	process.Store("")
	told := make(chan string)
	tell := func(text string) {
		select {
		case told <- text:
		case <-t.Context().Done():
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Follow(ctx, engine.Follower{
			Process:   func(context.Context) (string, error) { return process.Load().(string), nil },
			Life:      func(is engine.Life, version string) { tell(string(is) + version) },
			Container: func(found engine.Container) { tell(found.Name + " " + found.Action + found.Exit) },
		})
	}()
	want := func(text string) {
		t.Helper()
		select {
		case got := <-told:
			if got != text {
				t.Fatalf("got %q, want %q", got, text)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s is not told", text)
		}
	}
	want("down")
	process.Store("100")
	want("up20.10.24")
	events := make(chan any)
	streams <- events
	container := func(action string, has map[string]string) {
		events <- map[string]any{"Type": "container", "Action": action, "Actor": map[string]any{"ID": "c1", "Attributes": has}}
	}
	container("start", map[string]string{"name": "by-hand", "secret": "words"})
	want("by-hand start")
	container("start", map[string]string{"name": "web.1.x", "com.docker.swarm.task.id": "t1"}) // the swarm tells of it
	container("die", map[string]string{"name": "by-hand", "exitCode": "137"})
	want("by-hand die137")
	close(events) // the stream alone ends: nothing to tell
	events = make(chan any)
	streams <- events
	process.Store("200") // started anew, unseen
	close(events)
	want("down")
	want("up20.10.24")
	events = make(chan any)
	streams <- events
	process.Store("")
	close(events)
	want("down")
	cancel()
	<-ended
}

package nodetest

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

// Eventually waits until it is done.
func Eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// WantTrouble wants an error with this id, which says what failed and what to do.
func WantTrouble(t *testing.T, err error, id string) *trouble.Error {
	t.Helper()
	var e *trouble.Error
	if !errors.As(err, &e) || e.ID != id {
		t.Fatalf("got %v, want trouble %q", err, id)
	}
	if e.What == "" || len(e.Next) == 0 {
		t.Errorf("trouble %q does not say what failed, or what to do: %+v", id, e)
	}
	return e
}

// Screen collects what a terminal shows.
type Screen struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Follow reads until there is no more.
func (s *Screen) Follow(r io.Reader) {
	buf := make([]byte, 4096)
	for {
		k, err := r.Read(buf)
		s.mu.Lock()
		s.all.Write(buf[:k])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Shows gives what tells whether a text was read.
func (s *Screen) Shows(text string) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(s.all.String(), text)
	}
}

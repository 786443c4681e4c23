package web

import (
	"context"
	"errors"
	"io"
	"sync"
)

const (
	// typedRoom is how much of what was typed waits for a shell before a page is listened
	// to no further, in bytes, and typedMost how much where the page has to be listened to.
	typedRoom, typedMost = 64 << 10, 8 << 20
)

// typed is what was typed and the shell has not read yet.
type typed struct {
	mu     sync.Mutex
	text   []byte
	ended  bool          // with the shell
	urgent bool          // a page is listened to although there is no room
	more   chan struct{} // closed when anything here has changed
}

func newTyped() *typed { return &typed{more: make(chan struct{})} }

// changed tells whoever waits. The caller holds the lock.
func (q *typed) changed() {
	close(q.more)
	q.more = make(chan struct{})
}

// Add appends what was typed, and waits for nobody. A shell that has ended reads nothing.
func (q *typed) Add(text []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.ended {
		q.text = append(q.text, text...)
		q.changed()
	}
}

// full tells whether there is no room. The caller holds the lock.
func (q *typed) full() bool { return len(q.text) >= typedRoom && !q.urgent && !q.ended }

// Full tells whether there is no room.
func (q *typed) Full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.full()
}

// Room waits until there is room for more.
func (q *typed) Room(ctx context.Context) error {
	for {
		q.mu.Lock()
		full, most, more := q.full(), len(q.text) >= typedMost, q.more
		q.mu.Unlock()
		switch {
		case most:
			return errors.New("too much was typed that the shell does not read")
		case !full:
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Urge has a page listened to although there is no room, or not any more: a shell that waits
// until the page has shown something reads nothing before it hears of that.
func (q *typed) Urge(urgent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.urgent != urgent {
		q.urgent = urgent
		q.changed()
	}
}

// Read implements io.Reader.
func (q *typed) Read(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.text) == 0 && !q.ended {
		more := q.more
		q.mu.Unlock()
		<-more
		q.mu.Lock()
	}
	n := copy(p, q.text)
	if q.text = q.text[n:]; len(q.text) == 0 {
		q.text = nil
	}
	q.changed()
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close ends what is read after what is there.
func (q *typed) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.changed()
}

package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	terminalsMax = 16
	// scrollback is how much of what a shell has said is kept for a page that comes, or
	// comes back, in bytes.
	scrollback = 256 << 10
	// typedMax is what a page may send at once, in bytes, and sizeMax the most columns or rows.
	typedMax, sizeMax = 32 << 10, 1000
	// ticketFor is how long a ticket opens a terminal: a page uses it at once.
	ticketFor = 10 * time.Second
	// abandonedAfter is how long a shell goes on that no page shows.
	abandonedAfter = 10 * time.Minute
	// patience is how long a page may take to show what it was sent. Then it is let go, and
	// comes back when it can.
	patience = 10 * time.Second
	// shownElsewhere is why a page is let go when another one shows its terminal.
	shownElsewhere = websocket.StatusCode(4001)
)

// Shell runs a shell on a node in a terminal, until it ends or ctx does, and gives its exit
// status.
type Shell func(ctx context.Context, node string, t *Terminal) int

// Terminal is the terminal of one shell. It outlives the pages that show it, one at a time:
// programs ask a terminal questions, and two would answer.
type Terminal struct {
	id, node string
	typed    *typed
	sizes    chan size
	stop     context.CancelFunc // ends the shell

	mu        sync.Mutex
	said      []byte // the last that the shell has said, of total bytes
	total     int64
	more      chan struct{} // closed when anything here has changed
	viewer    *viewer       // nil: no page shows it
	abandoned *time.Timer
	ended     bool
	exit      int
}

// viewer is a page that shows a terminal.
type viewer struct {
	shown int64         // of the terminal's total
	taken chan struct{} // closed when another page shows it
}

type size struct{ columns, rows int }

// Read gives what is typed.
func (t *Terminal) Read(p []byte) (int, error) { return t.typed.Read(p) }

// Sizes calls set with each size that a page gives the terminal, until ctx ends.
func (t *Terminal) Sizes(ctx context.Context, set func(columns, rows int)) {
	for {
		select {
		case s := <-t.sizes:
			set(s.columns, s.rows)
		case <-ctx.Done():
			return
		}
	}
}

// Write takes what the shell says. It waits for a page that is behind, as a terminal does.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.typed.Urge(false)
	for t.viewer != nil && t.total-t.viewer.shown >= scrollback/2 {
		t.typed.Urge(true)
		more := t.more
		t.mu.Unlock()
		<-more
		t.mu.Lock()
	}
	if len(t.said)+len(p) > 2*scrollback {
		t.said = slices.Clone(t.said[max(0, len(t.said)-scrollback):])
	}
	t.said = append(t.said, p...)
	t.total += int64(len(p))
	t.changed()
	return len(p), nil
}

// changed tells whoever waits. The caller holds the lock.
func (t *Terminal) changed() {
	close(t.more)
	t.more = make(chan struct{})
}

func (t *Terminal) end(exit int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.exit = true, exit
	t.changed()
}

func (t *Terminal) resize(s size) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.sizes: // which nobody has seen
	default:
	}
	t.sizes <- s
}

// attach makes a page the one that shows the terminal, from what is kept on. What is kept
// begins with a whole line where there is one.
func (t *Terminal) attach() *viewer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.viewer != nil {
		close(t.viewer.taken)
	}
	kept := t.said[max(0, len(t.said)-scrollback):]
	if int64(len(kept)) < t.total {
		kept = kept[bytes.IndexByte(kept, '\n')+1:]
	}
	t.viewer = &viewer{shown: t.total - int64(len(kept)), taken: make(chan struct{})}
	t.abandoned.Stop()
	t.changed()
	return t.viewer
}

func (t *Terminal) detach(v *viewer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.viewer == v {
		t.viewer = nil
		if !t.ended {
			t.abandoned.Reset(abandonedAfter)
		}
		t.changed()
	}
}

// after gives what a page has not shown yet; where that is nothing, whether there will be
// more, and the channel that tells of it.
func (t *Terminal) after(v *viewer) (text []byte, ended bool, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.viewer != v {
		return nil, false, t.more
	}
	return slices.Clone(t.said[len(t.said)-int(t.total-v.shown):]), t.ended, t.more
}

func (t *Terminal) shown(v *viewer, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v.shown += int64(n)
	t.changed()
}

// control is a text message of a page: it has shown what it was sent, or its size. What is
// typed comes in binary messages.
type control struct {
	Shown   bool `json:"shown"`
	Columns int  `json:"columns"`
	Rows    int  `json:"rows"`
}

// listen takes what a page sends, until it is gone. Where too much of what was typed waits
// for the shell it takes no more, and the page waits.
func (t *Terminal) listen(ctx context.Context, conn *websocket.Conn, shown chan<- struct{}) error {
	for {
		if err := t.typed.Room(ctx); err != nil {
			return err
		}
		kind, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind == websocket.MessageBinary {
			t.typed.Add(text)
			continue
		}
		var c control
		if err := json.Unmarshal(text, &c); err != nil {
			return err
		}
		if c.Shown {
			select {
			case shown <- struct{}{}:
			default:
			}
		}
		if min(c.Columns, c.Rows) > 0 && max(c.Columns, c.Rows) <= sizeMax {
			t.resize(size{c.Columns, c.Rows})
		}
	}
}

// tell tells a page what the shell says, first all that is kept, and each time waits until
// that is shown. It gives why it ends.
func (t *Terminal) tell(ctx context.Context, conn *websocket.Conn, v *viewer, shown <-chan struct{}) (websocket.StatusCode, string) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	within := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return do(ctx)
	}
	for first := true; ; first = false {
		text, ended, more := t.after(v)
		alive, late := beat.C, (<-chan time.Time)(nil)
		switch {
		case first || len(text) > 0:
			if within(func(ctx context.Context) error { return conn.Write(ctx, websocket.MessageBinary, text) }) != nil {
				return websocket.StatusTryAgainLater, "too slow"
			}
			more, alive, late = nil, nil, time.After(patience)
		case ended:
			return websocket.StatusNormalClosure, strconv.Itoa(t.exit)
		}
		for waits := true; waits; {
			waits = false
			select {
			case <-more:
			case <-shown:
				t.shown(v, len(text))
			case <-late:
				if !t.typed.Full() {
					return websocket.StatusTryAgainLater, "too slow"
				}
				// It is not listened to, but one that is gone is not waited for.
				if err := within(conn.Ping); err != nil && !errors.Is(err, context.DeadlineExceeded) {
					return websocket.StatusGoingAway, ""
				}
				waits, late = true, time.After(patience)
			case <-v.taken:
				return shownElsewhere, "shown elsewhere"
			case <-ctx.Done():
				return websocket.StatusGoingAway, ""
			case <-alive:
				deaf := t.typed.Full()
				err := within(conn.Ping)
				if deaf = deaf || t.typed.Full(); err != nil && (!deaf || !errors.Is(err, context.DeadlineExceeded)) {
					return websocket.StatusGoingAway, ""
				}
			}
		}
	}
}

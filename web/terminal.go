package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
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
	// patience is how long a page may take to show what it was sent, and a shell to read
	// what was typed. Then the page is let go, and comes back when it can.
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
	id, node    string
	typed, read net.Conn // the two ends of a pipe
	sizes       chan size
	stop        context.CancelFunc // ends the shell

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
func (t *Terminal) Read(p []byte) (int, error) { return t.read.Read(p) }

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
	for t.viewer != nil && t.total-t.viewer.shown >= scrollback/2 {
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

// listen takes what a page sends, until it is gone.
func (t *Terminal) listen(ctx context.Context, conn *websocket.Conn, shown chan<- struct{}) error {
	for {
		kind, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind == websocket.MessageBinary {
			_ = t.typed.SetWriteDeadline(time.Now().Add(patience))
			if _, err := t.typed.Write(text); err != nil {
				return err
			}
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
		select {
		case <-more:
		case <-shown:
			t.shown(v, len(text))
		case <-late:
			return websocket.StatusTryAgainLater, "too slow"
		case <-v.taken:
			return shownElsewhere, "shown elsewhere"
		case <-ctx.Done():
			return websocket.StatusGoingAway, ""
		case <-alive:
			if within(conn.Ping) != nil {
				return websocket.StatusGoingAway, ""
			}
		}
	}
}

// terminals are those that there are.
type terminals struct {
	run     func(*Terminal) // begins its shell
	has     func(node string) bool
	running sync.WaitGroup

	mu      sync.Mutex
	closed  bool        // no more are opened
	open    []*Terminal // as they were opened
	tickets map[string]ticket
}

// ticket opens a terminal for a page, once. What it takes to act is in a header, which a
// page cannot send with a WebSocket; so it asks for a ticket with it.
type ticket struct {
	of    *Terminal
	until time.Time
}

// wantsTerminal is what a page asks for: another terminal on a node, a ticket for one that
// there is, or its end; with nothing in it, which there are.
type wantsTerminal struct {
	Node  string `json:"node"`
	ID    string `json:"id"`
	Close bool   `json:"close"`
}

// hasTerminals is the answer.
type hasTerminals struct {
	Open   []openTerminal `json:"open"`
	ID     string         `json:"id,omitempty"`
	Ticket string         `json:"ticket,omitempty"`
}

type openTerminal struct {
	ID   string `json:"id"`
	Node string `json:"node"`
}

// Terminals lets pages that may act open shells on nodes, which end with ctx.
func (s *Server) Terminals(ctx context.Context, shell Shell) {
	ts := &s.terminals
	ts.has, ts.tickets = s.hub.has, map[string]ticket{}
	ts.run = func(t *Terminal) {
		ctx, stop := context.WithCancel(ctx)
		t.stop, t.abandoned = stop, time.AfterFunc(abandonedAfter, stop)
		ts.running.Go(func() {
			defer stop()
			exit := shell(ctx, t.node, t)
			_, _ = t.typed.Close(), t.read.Close()
			ts.forget(t)
			t.end(exit)
		})
	}
	s.mux.HandleFunc("POST /terminals", ts.answer)
	s.mux.HandleFunc("GET /terminal", ts.show)
}

func (ts *terminals) answer(w http.ResponseWriter, r *http.Request) {
	var asked wantsTerminal
	if !read(w, r, &asked) {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	at := slices.IndexFunc(ts.open, func(t *Terminal) bool { return t.id == asked.ID })
	switch {
	case asked.Node != "" && !ts.has(asked.Node):
		http.Error(w, "the lab has no node "+strconv.Quote(asked.Node), http.StatusNotFound)
		return
	case asked.Node != "" && ts.closed:
		http.Error(w, "dcalab serve ends", http.StatusServiceUnavailable)
		return
	case asked.Node != "" && len(ts.open) >= terminalsMax:
		http.Error(w, fmt.Sprintf("%d terminals are open: close one first", terminalsMax), http.StatusConflict)
		return
	case asked.Node != "":
		t := &Terminal{id: rand.Text(), node: asked.Node, sizes: make(chan size, 1), more: make(chan struct{})}
		t.typed, t.read = net.Pipe()
		at, ts.open = len(ts.open), append(ts.open, t)
		ts.run(t)
	case asked.ID != "" && at < 0:
		http.Error(w, "this terminal has ended", http.StatusGone)
		return
	case asked.Close && at >= 0:
		ts.open[at].stop()
		at, ts.open = -1, slices.Delete(ts.open, at, at+1)
	}
	has := hasTerminals{Open: []openTerminal{}}
	if at >= 0 {
		has.ID, has.Ticket = ts.open[at].id, ts.ticket(ts.open[at])
	}
	for _, t := range ts.open {
		has.Open = append(has.Open, openTerminal{t.id, t.node})
	}
	answer(w, has)
}

// ticket gives a new one. The caller holds the lock.
func (ts *terminals) ticket(of *Terminal) string {
	now := time.Now()
	maps.DeleteFunc(ts.tickets, func(_ string, t ticket) bool { return now.After(t.until) })
	id := rand.Text()
	ts.tickets[id] = ticket{of, now.Add(ticketFor)}
	return id
}

// redeem gives the terminal that a ticket opens, which it does not do again.
func (ts *terminals) redeem(id string) *Terminal {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, known := ts.tickets[id]
	delete(ts.tickets, id)
	if !known || time.Now().After(t.until) {
		return nil
	}
	return t.of
}

// close waits for all shells to end, and lets none begin.
func (ts *terminals) close() {
	ts.mu.Lock()
	ts.closed = true
	ts.mu.Unlock()
	ts.running.Wait()
}

func (ts *terminals) forget(t *Terminal) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.open = slices.DeleteFunc(ts.open, func(other *Terminal) bool { return other == t })
}

// show shows a terminal to a page, as long as that is there.
func (ts *terminals) show(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") == "" { // another one than the page's does not get here
		http.Error(w, "this is not for you", http.StatusForbidden)
		return
	}
	t := ts.redeem(r.URL.Query().Get("ticket"))
	if t == nil {
		http.Error(w, "this ticket opens nothing, or nothing any more", http.StatusForbidden)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(typedMax)
	ctx, gone := context.WithCancel(r.Context())
	defer gone()
	shown := make(chan struct{}, 1)
	go func() {
		defer gone()
		_ = t.listen(ctx, conn, shown)
	}()
	v := t.attach()
	defer t.detach(v)
	_ = conn.Close(t.tell(ctx, conn, v, shown))
}

package web

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

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
			t.typed.Close()
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
		t := &Terminal{id: rand.Text(), node: asked.Node, typed: newTyped(), sizes: make(chan size, 1), more: make(chan struct{})}
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

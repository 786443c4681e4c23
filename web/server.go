// Package web is the page of a lab: what happens in it, drawn in a browser while it happens,
// and afterwards.
//
// A Server takes the events of a recording, in their order; it folds them
// (timeline.Present), and tells pages that are open what has changed. It opens no lab, and
// changes none: what a page may change, an Actor does.
package web

import (
	"crypto/rand"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/netip"
	"time"

	"github.com/dcalab/dcalab/timeline"
)

//go:generate go run -C ../tools/page . ../..

//go:embed dist
var dist embed.FS

// Lab is what a page shows of a lab beside its events.
type Lab struct {
	Name   string    `json:"name"`
	Driver string    `json:"driver"`
	Nodes  []LabNode `json:"nodes"`
	// Exists: it was made. Trouble is why nothing more is known.
	Exists  bool   `json:"exists"`
	Trouble string `json:"trouble,omitempty"`
	// NoMesh is why the routing mesh does not work here; empty where it may.
	NoMesh string `json:"no_mesh,omitempty"`
	// Acts: pages may act; Explains: they may ask why.
	Acts     bool `json:"acts,omitempty"`
	Explains bool `json:"explains,omitempty"`
}

// LabNode is a node as labs.yaml has it.
type LabNode struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Address string `json:"address"`
}

// Server is an http.Handler.
type Server struct {
	guard   guard
	hub     *hub
	mux     *http.ServeMux
	turn    chan struct{} // holds whose command is under way
	watch   chan struct{} // holds whose command observes
	handler http.Handler

	terminals terminals
}

// New makes a Server that is listened to at an address: one of loopback, or any other over
// TLS alone (Certificate.Listen). secret is what only this lab's owner knows; hint completes
// commands of dcalab.
func New(addr netip.AddrPort, secret []byte, hint func(string) string) *Server {
	s := &Server{guard: newGuard(addr, secret), hub: newHub(hint), turn: make(chan struct{}, 1), watch: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	files, _ := fs.Sub(dist, "dist") // it is embedded
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", http.FileServerFS(files)))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "page.html") })
	mux.HandleFunc("GET /events", s.hub.events)
	mux.HandleFunc("GET /at", s.at)
	mux.HandleFunc("GET /lanes", s.lanes)
	mux.HandleFunc("GET /report", s.hub.report)
	s.mux, s.handler = mux, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.guard.protect(mux).ServeHTTP(w, r) })
	return s
}

// Link is the way in, for its user's eyes only.
func (s *Server) Link() string { return s.guard.link(s.guard.token) }

// LinkOnce is a way in that opens once.
func (s *Server) LinkOnce() string {
	token := rand.Text() + rand.Text()
	select {
	case <-s.guard.once: // one that was not used
	default:
	}
	s.guard.once <- token
	return s.guard.link(token)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Begin is that another lab is shown from here on, or the same as it is now.
func (s *Server) Begin(l Lab) { s.hub.begin(l) }

// Trouble is why nothing more comes.
func (s *Server) Trouble(why string) { s.hub.trouble(why) }

// Take goes on to what is after an event.
func (s *Server) Take(e timeline.Event) { s.hub.take(e) }

// Close ends the streams of pages that are open, and waits for the commands that are under
// way and the shells to end gracefully.
func (s *Server) Close() {
	s.hub.close()
	s.turn <- struct{}{}
	s.watch <- struct{}{}
	s.terminals.close()
}

// at gives the picture as it was at a time.
func (s *Server) at(w http.ResponseWriter, r *http.Request) {
	at, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("t"))
	if err != nil {
		http.Error(w, "t is a time: 2026-01-02T15:04:05Z", http.StatusBadRequest)
		return
	}
	answer(w, s.hub.at(at))
}

// lanes gives the marks of the time line.
func (s *Server) lanes(w http.ResponseWriter, r *http.Request) {
	var since time.Time
	if text := r.URL.Query().Get("since"); text != "" {
		var err error
		if since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			http.Error(w, "since is a time: 2026-01-02T15:04:05Z", http.StatusBadRequest)
			return
		}
	}
	answer(w, s.hub.marks(since))
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

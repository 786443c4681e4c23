package web

import "net/http"

// Explain lets pages ask why a task is pending, is where it is, or cannot be on a node, of
// a service, a task or a node by its name: actor runs dcalab why. It changes nothing, so
// pages that only look may ask as well; one at a time.
func (s *Server) Explain(actor Actor) {
	s.hub.offer(func(l *Lab) { l.Explains = true })
	asking := make(chan struct{}, 1)
	s.mux.HandleFunc("GET /why", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("name")
		if !named.MatchString(name) {
			http.Error(w, "name is that of a service, a task or a node", http.StatusBadRequest)
			return
		}
		select {
		case asking <- struct{}{}:
			defer func() { <-asking }()
		case <-r.Context().Done():
			return
		}
		answer(w, reply{Command: s.hub.hint("dcalab why " + name), Done: actor(r.Context(), []string{"why", name})})
	})
}

// Package demo is the web server of the demo image: it tells which node, task
// and version answers, so that services, updates and rollbacks can be watched.
package demo

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Identity is what the server tells of itself.
type Identity struct {
	Version   string
	Node      string // NODE, which docker service create fills in from {{.Node.Hostname}}
	Task      string // TASK, from {{.Task.Name}}
	Container string // its host name and addresses
	// Broken: it answers everything with status 500, and its health check fails.
	Broken bool
}

// Identify reads the identity from the environment, the host name and the
// addresses of a container.
func Identify(getenv func(string) string, hostname string, addresses []net.Addr, broken string) Identity {
	id := Identity{Version: getenv("VERSION"), Node: getenv("NODE"), Task: getenv("TASK"), Container: hostname}
	if id.Version == "" {
		id.Version = "unknown"
	}
	if id.Node == "" {
		id.Node = hostname + " (the container's host name: no NODE was given)"
	}
	if id.Task == "" {
		id.Task = "unknown (no TASK was given)"
	}
	var ips []string
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			ips = append(ips, n.IP.String())
		}
	}
	if len(ips) > 0 {
		id.Container += " at " + strings.Join(ips, ", ")
	}
	id.Broken = id.Version == broken
	return id
}

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>dcalab demo {{.Version}}</title>
<style>
body { font-family: sans-serif; margin: 12vh auto; max-width: 34rem; padding: 0 1rem; border-top: 1rem solid {{.Color}} }
dt { color: #666; margin-top: 1rem } dd { margin: 0; font-size: 1.4rem; overflow-wrap: anywhere }
</style></head>
<body><h1>dcalab demo, version {{.Version}}</h1>
{{if .Broken}}<p>This version is broken on purpose: it answers with status 500.</p>
{{end}}<dl><dt>node</dt><dd>{{.Node}}</dd><dt>task</dt><dd>{{.Task}}</dd><dt>container</dt><dd>{{.Container}}</dd></dl>
</body></html>
`

// Handler answers / with a page for browsers and text for everything else, and
// /healthz with "ok", or status 500 where the identity is broken.
func Handler(id Identity) http.Handler {
	html := template.Must(template.New("page").Parse(page))
	mux := http.NewServeMux()
	begin := func(w http.ResponseWriter, contentType string) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-store") // another task may answer next
		if id.Broken {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			begin(w, "text/html; charset=utf-8")
			_ = html.Execute(w, struct { // an error is the client's going away
				Identity
				Color string
			}{id, color(id)})
			return
		}
		begin(w, "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, "version:   %s\nnode:      %s\ntask:      %s\ncontainer: %s\n", id.Version, id.Node, id.Task, id.Container)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		begin(w, "text/plain; charset=utf-8")
		if id.Broken {
			_, _ = io.WriteString(w, "broken on purpose\n")
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	return mux
}

// color is that of the line above the page: an update is seen from afar.
func color(id Identity) string {
	switch {
	case id.Broken:
		return "#c62828"
	case id.Version == "1":
		return "#1565c0"
	}
	return "#2e7d32"
}

// shutdownPatience is what requests under way get when the server is told to
// end; Docker kills after 10 s.
const shutdownPatience = 3 * time.Second

// Serve answers on l until ctx ends. That is its orderly end, and no error.
func Serve(ctx context.Context, l net.Listener, id Identity) error {
	server := &http.Server{Handler: Handler(id), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the demo: %w", err)
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer cancel()
	err := server.Shutdown(late)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-ended //nolint:errcheck // it was told to end: that is what it says
	return err
}

// Check is the health check: it asks a server's /healthz.
func Check(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return err
	}
	// No proxy of the environment between a container and itself.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("health check: %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

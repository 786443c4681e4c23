package demo

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIdentify(t *testing.T) {
	addresses := []net.Addr{
		&net.IPNet{IP: net.IPv4(127, 0, 0, 1)}, &net.IPNet{IP: net.IPv4(10, 0, 1, 5)}, &net.IPNet{IP: net.ParseIP("fe80::1")}, &net.UnixAddr{},
	}
	env := map[string]string{"VERSION": "2", "NODE": "node01", "TASK": "web.1.abc"}
	got := Identify(func(k string) string { return env[k] }, "3f2a", addresses, "broken")
	if d := cmp.Diff(Identity{Version: "2", Node: "node01", Task: "web.1.abc", Container: "3f2a at 10.0.1.5"}, got); d != "" {
		t.Error(d)
	}
	bare := Identify(func(string) string { return "" }, "3f2a", nil, "broken")
	if bare.Version != "unknown" || !strings.HasPrefix(bare.Node, "3f2a (the container's") || bare.Container != "3f2a" {
		t.Errorf("%+v", bare)
	}
	if !Identify(func(string) string { return "broken" }, "x", nil, "broken").Broken {
		t.Error("broken is not broken")
	}
}

func TestHandler(t *testing.T) {
	sound := Identity{Version: "1", Node: "<node01>", Task: "web.1.abc", Container: "3f2a at 10.0.1.5"}
	broken := sound
	broken.Broken = true
	for name, c := range map[string]struct {
		id           Identity
		path, accept string
		status       int
		want         string
	}{
		"for curl":       {sound, "/", "*/*", 200, "version:   1\nnode:      <node01>\ntask:      web.1.abc\ncontainer: 3f2a at 10.0.1.5\n"},
		"for a browser":  {sound, "/", "text/html,*/*", 200, "<dd>&lt;node01&gt;</dd>"},
		"health":         {sound, "/healthz", "", 200, "ok\n"},
		"another":        {sound, "/other", "", 404, ""},
		"broken":         {broken, "/", "*/*", 500, "version:   1\n"},
		"broken, seen":   {broken, "/", "text/html", 500, "broken on purpose"},
		"broken, health": {broken, "/healthz", "", 500, "broken on purpose\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, c.path, nil)
			r.Header.Set("Accept", c.accept)
			w := httptest.NewRecorder()
			Handler(c.id).ServeHTTP(w, r)
			if text := w.Body.String(); w.Code != c.status || !strings.Contains(text, c.want) {
				t.Errorf("status %d: %s", w.Code, text)
			}
		})
	}
}

func TestServeAndCheck(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, Identity{Version: "1"}) }()
	if err := Check(t.Context(), address); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("an orderly end: %v", err)
	}
	if err := Check(t.Context(), address); err == nil {
		t.Error("nobody is healthy")
	}

	srv := httptest.NewServer(Handler(Identity{Broken: true}))
	defer srv.Close()
	if err := Check(t.Context(), srv.Listener.Addr().String()); err == nil || !strings.Contains(err.Error(), "500") || !strings.Contains(err.Error(), "broken on purpose") {
		t.Errorf("got %v", err)
	}
	resp, err := http.Get(srv.URL + "/healthz") //nolint:noctx // of this process
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); string(text) != "broken on purpose\n" {
		t.Errorf("%s", text)
	}
}

package web

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestExplain: pages ask for what dcalab why says, also those that only look; nothing but a
// name gets into the command.
func TestExplain(t *testing.T) {
	s := server(t)
	s.Begin(Lab{Name: "x"})
	if s.hub.lab.Explains {
		t.Error("a page is told that it may ask before it may")
	}
	var got [][]string
	s.Explain(func(_ context.Context, words []string) Done {
		got = append(got, words)
		return Done{Exit: 6, Text: "web.1 fits no node\n"}
	})
	s.Begin(Lab{Name: "y"}) // changes nothing of it
	if !s.hub.lab.Explains {
		t.Error("a page is not told that it may ask")
	}
	for path, code := range map[string]int{
		"/why": http.StatusBadRequest, "/why?name=": http.StatusBadRequest, "/why?name=--lab": http.StatusBadRequest, "/why?name=a%20b": http.StatusBadRequest,
		"/why?name=" + strings.Repeat("a", 200): http.StatusBadRequest,
		"/why?name=web.1":                       http.StatusOK,
	} {
		if w := ask(t, s, path, nil); w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		} else if code == http.StatusOK && !strings.Contains(w.Body.String(), `"exit":6,"text":"web.1 fits no node\n"`) {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	if len(got) != 1 || !slices.Equal(got[0], []string{"why", "web.1"}) {
		t.Errorf("it ran %q", got)
	}
}

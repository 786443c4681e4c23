package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// acting is a server whose commands are only noted.
func acting(t *testing.T, actor Actor) *Server {
	t.Helper()
	s := New(netip.MustParseAddrPort(host), []byte("secret"), strings.ToUpper)
	t.Cleanup(s.Close)
	s.Act(t.Context(), actor)
	return s
}

func post(s *Server, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://"+host+"/act", strings.NewReader(body))
	r.AddCookie(&http.Cookie{Name: s.guard.cookie, Value: s.guard.session})
	r.Header.Set("Origin", "http://"+host)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(postHeader, s.guard.post)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestNobodyElseActs: whatever one of the checks does not let through is not done.
func TestNobodyElseActs(t *testing.T) {
	done := 0
	s := acting(t, func(context.Context, []string) Done { done++; return Done{} })
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"no header":             {func(r *http.Request) { r.Header.Del(postHeader) }, 403},
		"the cookie as header":  {func(r *http.Request) { r.Header.Set(postHeader, s.guard.session) }, 403},
		"no cookie":             {func(r *http.Request) { r.Header.Del("Cookie") }, 401},
		"no origin":             {func(r *http.Request) { r.Header.Del("Origin") }, 403},
		"a foreign origin":      {func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		"another name":          {func(r *http.Request) { r.Host = "evil.example:3227" }, 403},
		"from another site":     {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"a form":                {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		"another way":           {func(r *http.Request) { r.Method = http.MethodPut }, 405},
		"at the page's address": {func(r *http.Request) { r.URL.Path = "/" }, 405},
	} {
		if got := post(s, `{"words":["halt","w1"]}`, c.change).Code; got != c.want || done > 0 {
			t.Errorf("%s: %d, want %d; %d done", name, got, c.want, done)
		}
	}
	if got := post(server(t), `{"words":["halt","w1"]}`, nil).Code; got != 405 {
		t.Errorf("a page that may only look: %d", got)
	}
	if got := post(s, `{"words":["halt","w1"]}`, nil).Code; got != 200 || done != 1 {
		t.Errorf("the page itself: %d, %d done", got, done)
	}
}

// TestPermitted: nothing is destroyed, and no flag and no word of a shell gets through.
func TestPermitted(t *testing.T) {
	for line, want := range map[string]string{
		"halt w1":                           "halt w1",
		"promote w1 w2":                     "promote w1 w2",
		"break partition m1,m2 m3 --for 2m": "break partition m1,m2 m3 --for 2m",
		"break delay 200ms±50ms m1":         "break delay 200ms±50ms m1",
		"break isolate leader --one-way in": "break isolate leader --one-way in",
		"heal --all":                        "heal --all",
		"scale web 3":                       "ssh m1 -- docker service scale --detach web=3",
		"":                                  "",
		"destroy":                           "",
		"destroy w1":                        "",
		"halt":                              "",
		"halt --force w1":                   "",
		"halt w1 --yes":                     "",
		"halt w1;id":                        "",
		"halt -- w1":                        "",
		"heal --config=x":                   "",
		"ssh m1 -- id":                      "",
		"exec m1 id":                        "",
		"scale web 3 4":                     "",
		"scale web -1":                      "",
		"scale web --force=1":               "",
		"scale --help 1":                    "",
	} {
		got, err := permitted(strings.Fields(line), "m1")
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
	if _, err := permitted([]string{"scale", "web", "3"}, ""); err == nil {
		t.Error("a service is scaled by nobody")
	}
}

// TestAsRoot: what may need root, and neither what needs none nor what no page may ask for.
func TestAsRoot(t *testing.T) {
	for line, may := range map[string]bool{
		"halt w1":                         true,
		"halt w1 --yes":                   true,
		"start w1 w2":                     true,
		"break kill leader --for 1m":      true,
		"break kill m1 --for 1m --yes":    true,
		"break kill m1 --observe --yes":   true,
		"heal --all":                      true,
		"heal f1 --yes":                   true,
		"":                                false,
		"--yes":                           false,
		"halt":                            false,
		"halt --yes":                      false,
		"halt w1 --yes --yes":             false,
		"halt --yes w1":                   false,
		"halt w1 --force":                 false,
		"halt w1 --dry-run":               false,
		"--lab=other halt w1":             false,
		"halt w1 --lab=other":             false,
		"halt w1 --lab other":             false,
		"halt w1 --config=/tmp/labs.yaml": false,
		"start w1 --driver=vagrant":       false,
		"heal f1 --when-due":              false,
		"halt -- w1":                      false,
		"break":                           false,
		"break kill":                      true, // its own words say what is missing
		"break isolate m1":                false,
		"break list":                      false,
		"promote w1":                      false,
		"drain w1 --yes":                  false,
		"destroy":                         false,
		"destroy w1 --yes":                false,
		"up":                              false,
		"reset w1":                        false,
		"ssh m1":                          false,
		"ssh m1 -- id":                    false,
		"exec m1 id":                      false,
		"scale web 3":                     false,
		"power-helper":                    false,
	} {
		if err := AsRoot(strings.Fields(line)); (err == nil) != may {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestWhatIsAsked: a dry run changes nothing, and --yes is given only where it was.
func TestWhatIsAsked(t *testing.T) {
	var typed []string
	s := acting(t, func(_ context.Context, words []string) Done {
		typed = append(typed, strings.Join(words, " "))
		return Done{Text: strings.Join(words, " "), Question: "sure?"}
	})
	s.hub.take(leads("m1", 2))
	for _, c := range []struct {
		body string
		want []string
	}{
		{`{"words":["halt","w1"]}`, []string{"halt w1"}},
		{`{"words":["halt","w1"],"yes":true}`, []string{"halt w1 --yes"}},
		{`{"words":["halt","w1"],"dry":true,"yes":true}`, []string{"halt w1 --dry-run", "halt w1 --dry-run --explain"}},
		{`{"words":["scale","web","2"],"dry":true}`, []string{"ssh m1 --dry-run -- docker service scale --detach web=2", "ssh m1 --dry-run --explain -- docker service scale --detach web=2"}},
		{`{"words":["break","isolate","m1","--observe"],"yes":true}`, []string{"break isolate m1 --observe --yes"}},
		{`{"words":["break","isolate","m1","--observe"],"dry":true}`, []string{"break isolate m1 --dry-run", "break isolate m1 --dry-run --explain"}},
		{`{"words":["halt","m1","--observe"]}`, nil},
		{`{"words":["destroy"]}`, nil},
		{`{"words":["halt",`, nil},
		{`{"words":["halt","` + strings.Repeat("w", requestMax) + `"]}`, nil},
	} {
		typed = nil
		got := post(s, c.body, nil)
		if !slices.Equal(typed, c.want) {
			t.Errorf("%.60s: %d, typed %q", c.body, got.Code, typed)
		}
		if c.want == nil {
			continue
		}
		var r reply
		if err := json.Unmarshal(got.Body.Bytes(), &r); err != nil || r.Text != c.want[0] || r.Question != "sure?" || !strings.HasPrefix(r.Command, "DCALAB ") {
			t.Errorf("%s: %+v, %v", c.body, r, err)
		}
	}
}

// TestOneCommandAtATime: a second one is refused, unless it heals what the first may wait for,
// or the first observes.
func TestOneCommandAtATime(t *testing.T) {
	var s *Server
	codes := []int{}
	s = acting(t, func(_ context.Context, words []string) Done {
		if words[0] == "halt" {
			codes = append(codes, post(s, `{"words":["start","w2"]}`, nil).Code, post(s, `{"words":["heal","--all"]}`, nil).Code)
		}
		return Done{}
	})
	codes = append(codes, post(s, `{"words":["halt","w1"]}`, nil).Code)
	if !slices.Equal(codes, []int{http.StatusConflict, http.StatusOK, http.StatusOK}) {
		t.Errorf("the answers are %v", codes)
	}
	codes = codes[:0]
	const observes = `{"words":["break","isolate","m1","--observe"]}`
	s = acting(t, func(_ context.Context, words []string) Done {
		if words[0] == "break" {
			codes = append(codes, post(s, observes, nil).Code, post(s, `{"words":["start","w2"]}`, nil).Code)
		}
		return Done{}
	})
	codes = append(codes, post(s, observes, nil).Code)
	if !slices.Equal(codes, []int{http.StatusConflict, http.StatusOK, http.StatusOK}) {
		t.Errorf("beside one that observes the answers are %v", codes)
	}
}

// TestWhatItTakesToAct: it comes with the token, and never for a cookie. The link for who
// starts a browser opens once.
func TestWhatItTakesToAct(t *testing.T) {
	s := acting(t, func(context.Context, []string) Done { return Done{} })
	anonymous := func(r *http.Request) { r.Header.Del("Cookie") }
	once := strings.TrimPrefix(s.LinkOnce(), "http://"+host)
	if where := ask(t, s, once, anonymous).Header().Get("Location"); where != "/#post="+s.guard.post {
		t.Errorf("the link leads to %q", where)
	}
	if code := ask(t, s, once, anonymous).Code; code != 401 {
		t.Errorf("the link opens twice: %d", code)
	}
	if code := ask(t, s, "/?token="+s.guard.token, anonymous).Code; code != 303 {
		t.Errorf("the token does not open beside it: %d", code)
	}
	s.Begin(Lab{Name: "x"})
	s.hub.tell()
	for _, path := range []string{"/", "/lanes", "/at?t=2026-01-02T03:04:05Z"} {
		if body := ask(t, s, path, nil).Body.String(); strings.Contains(body, s.guard.post) {
			t.Errorf("%s tells what it takes to act: %s", path, body)
		}
	}
	if whole, _, _ := s.hub.since(""); strings.Contains(string(whole[0]), s.guard.post) || !strings.Contains(string(whole[0]), `"acts":true`) {
		t.Errorf("the stream tells %s", whole[0])
	}
}

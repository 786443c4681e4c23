package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/timeline"
)

const host = "127.0.0.1:3227"

func server(t *testing.T) *Server {
	t.Helper()
	s := New(netip.MustParseAddrPort(host), []byte("secret"), func(line string) string { return line })
	t.Cleanup(s.Close)
	return s
}

// ask asks as the page itself does, unless change changes that. What does not end is cut off.
func ask(t *testing.T, s *Server, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	return askAt(t, s, "http://"+host+path, change)
}

func askAt(t *testing.T, s *Server, url string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	r.AddCookie(&http.Cookie{Name: s.guard.cookie, Value: s.guard.session})
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func cookiesOf(w *httptest.ResponseRecorder) []*http.Cookie {
	resp := w.Result()
	defer resp.Body.Close()
	return resp.Cookies()
}

// TestNobodyElseGetsIn: every way to what the server knows, also the stream.
func TestNobodyElseGetsIn(t *testing.T) {
	s := server(t)
	s.Explain(func(context.Context, []string) Done { return Done{} })
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"the page itself":             {nil, 200},
		"from its own origin":         {func(r *http.Request) { r.Header.Set("Origin", "http://"+host) }, 200},
		"by localhost":                {func(r *http.Request) { r.Host = "localhost:3227" }, 200},
		"another name (rebinding)":    {func(r *http.Request) { r.Host = "evil.example:3227" }, 403},
		"another port":                {func(r *http.Request) { r.Host = "127.0.0.1:80" }, 403},
		"no port":                     {func(r *http.Request) { r.Host = "127.0.0.1" }, 403},
		"a foreign origin":            {func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		"another origin of loopback":  {func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:80") }, 403},
		"an origin that is none":      {func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		"an empty origin":             {func(r *http.Request) { r.Header.Set("Origin", "") }, 403},
		"two origins":                 {func(r *http.Request) { r.Header["Origin"] = []string{"http://" + host, "http://evil.example"} }, 403},
		"an origin of another host":   {func(r *http.Request) { r.Header.Set("Origin", "http://localhost:3227") }, 403},
		"from another site":           {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"from another port's page":    {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		"no cookie":                   {func(r *http.Request) { r.Header.Del("Cookie") }, 401},
		"another cookie":              {func(r *http.Request) { r.Header.Set("Cookie", s.guard.cookie+"=x") }, 401},
		"the token for a cookie":      {func(r *http.Request) { r.Header.Set("Cookie", s.guard.cookie+"="+s.guard.token) }, 401},
		"something is to be changed":  {func(r *http.Request) { r.Method = http.MethodPost }, 405},
		"a preflight of another page": {func(r *http.Request) { r.Method = http.MethodOptions; r.Header.Set("Origin", "http://evil.example") }, 403},
	} {
		for _, path := range []string{"/", "/lanes", "/at?t=2026-01-02T03:04:05Z", "/events", "/report", "/why?name=web"} {
			if (path == "/events" || path == "/report") && c.want == 200 {
				continue // it does not end, or has nothing to tell
			}
			resp := ask(t, s, path, c.change)
			if resp.Code != c.want {
				t.Errorf("%s, %s: %d, want %d", name, path, resp.Code, c.want)
			}
			if resp.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s, %s: other pages may read it", name, path)
			}
		}
	}
}

// TestToken: it is changed for a cookie that no script and no other site has, at an address
// without it; another one, or part of it, opens nothing.
func TestToken(t *testing.T) {
	s := server(t)
	link := strings.TrimPrefix(s.Link(), "http://"+host)
	anonymous := func(r *http.Request) { r.Header.Del("Cookie") }
	resp := ask(t, s, link, anonymous)
	cookies := cookiesOf(resp)
	if resp.Code != http.StatusSeeOther || resp.Header().Get("Location") != "/" || len(cookies) != 1 {
		t.Fatalf("it answers %d, %v", resp.Code, resp.Header())
	}
	if c := cookies[0]; !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Value == s.guard.token {
		t.Errorf("the cookie is %+v", c)
	}
	if resp := ask(t, s, "/", func(r *http.Request) { anonymous(r); r.AddCookie(cookies[0]) }); resp.Code != http.StatusOK {
		t.Errorf("with the cookie it answers %d", resp.Code)
	}
	for _, wrong := range []string{"", "x", s.guard.token[1:], s.guard.token + "x", s.guard.session} {
		if resp := ask(t, s, "/?token="+wrong, anonymous); resp.Code != http.StatusUnauthorized || len(cookiesOf(resp)) != 0 {
			t.Errorf("with %q it answers %d", wrong, resp.Code)
		}
	}
	if len(s.guard.token) < 52 { // of 32 letters
		t.Errorf("the token has fewer than 256 bits: %s", s.guard.token)
	}
	if resp := ask(t, s, link, func(r *http.Request) { r.Host = "evil.example" }); resp.Code != http.StatusForbidden {
		t.Errorf("under another name the token opens: %d", resp.Code)
	}
	other, again := New(netip.MustParseAddrPort("[::1]:9"), []byte("other"), strings.Clone), New(netip.MustParseAddrPort(host), []byte("secret"), strings.Clone)
	if other.guard.session == s.guard.session || again.guard.session != s.guard.session || again.guard.token == s.guard.token || other.guard.cookie == s.guard.cookie {
		t.Error("a cookie is of one address and one secret, a token of one start")
	}
	if !strings.HasPrefix(other.Link(), "http://[::1]:9/?token=") {
		t.Errorf("the link is %s", other.Link())
	}
}

// TestObserved: what comes of a fault is told as it comes, and as a page of its own, which
// has no script; of the next fault alone, once the swarm was whole.
func TestObserved(t *testing.T) {
	s := server(t)
	s.Begin(Lab{Name: "x"})
	if code := ask(t, s, "/report", nil).Code; code != http.StatusNotFound {
		t.Errorf("before anything is broken /report answers %d", code)
	}
	told := func() []string {
		var out []string
		for _, m := range s.hub.observed {
			out = append(out, string(m.ID)+" "+m.Text)
		}
		return out
	}
	for term, kind := range []timeline.Kind{timeline.KindState, timeline.KindTerm} { // as the swarm is formed
		s.hub.take(timeline.Event{Time: time.Now(), Source: timeline.SourceRaft, Kind: kind, Node: "m1", Raft: &timeline.Raft{Term: uint64(term) + 1, Vote: "m1"}})
	}
	s.hub.take(leads("m1", 2))
	if got := told(); len(got) > 0 {
		t.Errorf("before anything is broken it tells %q", got)
	}
	for _, id := range []string{"f1", "f2"} {
		s.hub.take(timeline.Event{Time: time.Now(), Source: timeline.SourceFault, Kind: timeline.KindBroken, Fault: id, Text: "isolate <m1>"})
		if got := told(); len(got) != 1 || got[0] != "broken "+id+": isolate <m1>" || s.hub.observed[0].MS != 0 {
			t.Errorf("it tells %q", got)
		}
		s.hub.take(timeline.Event{Time: time.Now(), Source: timeline.SourceFault, Kind: timeline.KindHealed, Fault: id})
		if got := told(); len(got) != 3 || !strings.HasPrefix(got[2], "whole ") {
			t.Errorf("it tells %q", got)
		}
	}
	s.hub.tell()
	if whole, _, _ := s.hub.since(""); !strings.Contains(string(whole[0]), `"observed":[{"id":"broken",`) {
		t.Errorf("pages are told %s", whole[0])
	}
	report := ask(t, s, "/report", nil)
	if policy := report.Header().Get("Content-Security-Policy"); report.Code != http.StatusOK || !strings.HasPrefix(policy, "default-src 'none'; style-src 'unsafe-inline'; base") {
		t.Errorf("the report: %d, %s", report.Code, policy)
	}
	if body := report.Body.String(); !strings.Contains(body, "isolate &lt;m1&gt;") || strings.Contains(body, "<script") {
		t.Errorf("the report is %s", body)
	}
}

func TestHeaders(t *testing.T) {
	s := server(t)
	for _, path := range []string{"/", "/lanes", "/nothing"} {
		h := ask(t, s, path, nil).Header()
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if !strings.HasPrefix(h.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: %s", path, h.Get("Content-Security-Policy"))
		}
	}
	var page bytes.Buffer
	if _, err := page.ReadFrom(ask(t, s, "/", nil).Body); err != nil || strings.Contains(page.String(), "<style") || strings.Contains(page.String(), "<script>") {
		t.Errorf("the page has a script or a style in it: %v", err)
	}
}

func taskIs(version uint64, state, on string) timeline.Event {
	return timeline.Event{Time: time.Now(), Source: timeline.SourceSwarm, Kind: timeline.KindChange, Node: "m1", Change: &timeline.Change{
		Version: version, Action: raft.ActionUpdate, Object: raft.Object{Kind: raft.KindTask, ID: "t", Name: "web.1", State: state, Desired: "running"}, On: on,
	}}
}

func leads(name string, term uint64) timeline.Event {
	return timeline.Event{Time: time.Now(), Source: timeline.SourceRaft, Kind: timeline.KindLeader, Node: name, Raft: &timeline.Raft{Term: term, Vote: name}}
}

// stream reads messages of /events, each with its id.
func stream(t *testing.T, url string, s *Server, last string) (next func() (id string, m message)) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	r.AddCookie(&http.Cookie{Name: s.guard.cookie, Value: s.guard.session})
	r.Header.Set("Last-Event-ID", last)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	return func() (id string, m message) {
		for in.Scan() {
			if text, ok := strings.CutPrefix(in.Text(), "id: "); ok {
				id = text
			}
			if text, ok := strings.CutPrefix(in.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(text), &m); err != nil {
					t.Error(err)
				}
				return id, m
			}
		}
		t.Errorf("the stream ends: %v", in.Err())
		return id, m
	}
}

// TestStream: first the whole, then what changes, and what was missed after a pause.
func TestStream(t *testing.T) {
	s := server(t)
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.Begin(Lab{Name: "dca", Exists: true})
	s.Take(leads("m1", 2))
	s.hub.tell()
	next := stream(t, web.URL, s, "")
	id, m := next()
	if !m.Whole || !strings.Contains(string(m.Set["swarm"]), `"leader":"m1"`) || !strings.Contains(string(m.Set["lab"]), `"name":"dca"`) {
		t.Errorf("the first message is %+v", m)
	}
	s.Take(taskIs(5, "running", "w1"))
	_, m = next()
	if _, other := m.Set["swarm"]; m.Whole || other || !strings.Contains(string(m.Set["task/t"]), "running") || len(m.News) != 1 || m.News[0].Text != "task web.1: running, on w1" || len(m.Marks) != 1 {
		t.Errorf("what has changed is %+v", m)
	}
	if _, m = stream(t, web.URL, s, id)(); m.Whole || !strings.Contains(string(m.Set["task/t"]), "running") {
		t.Errorf("what was missed is %+v", m)
	}
	for _, unknown := range []string{"other-1", "x", s.hub.epoch + "-99", s.hub.epoch + "--1"} {
		if _, m = stream(t, web.URL, s, unknown)(); !m.Whole {
			t.Errorf("after %s it goes on with %+v", unknown, m)
		}
	}
	gone := taskIs(6, "running", "w1")
	gone.Change.Action = raft.ActionRemove
	s.Take(gone)
	if _, m = next(); string(m.Set["task/t"]) != "null" {
		t.Errorf("what is gone is %+v", m)
	}
}

// TestLookBack: the picture at each time is what the events until then amount to.
func TestLookBack(t *testing.T) {
	s := server(t)
	from := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for i := range 3*keyEvery + 7 {
		e := taskIs(uint64(i+1), fmt.Sprint("s", i), "w1") //nolint:gosec // it is small
		e.Time = from.Add(time.Duration(i) * time.Second)
		s.Take(e)
	}
	for _, i := range []int{0, 1, keyEvery - 1, keyEvery, keyEvery + 1, 3 * keyEvery, 3*keyEvery + 6} {
		var m message
		at := from.Add(time.Duration(i)*time.Second + 10*time.Millisecond)
		if err := json.NewDecoder(ask(t, s, "/at?t="+at.Format(time.RFC3339Nano), nil).Body).Decode(&m); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`"state":"s%d"`, i); !strings.Contains(string(m.Set["task/t"]), want) {
			t.Errorf("at %v: %s, want %s", at, m.Set["task/t"], want)
		}
	}
	if resp := ask(t, s, "/at?t=yesterday", nil); resp.Code != http.StatusBadRequest {
		t.Errorf("it answers %d", resp.Code)
	}
	if m := s.hub.at(from.Add(-time.Hour)); len(m.Set) != 2 {
		t.Errorf("before all it was %+v", m)
	}
}

// TestListenerBegins: while it learns how everything is, pages show how it was last.
func TestListenerBegins(t *testing.T) {
	s := server(t)
	s.Take(leads("m1", 2))
	begins := timeline.Event{Time: time.Now(), Source: timeline.SourceCommand, Kind: timeline.KindBegins}
	s.Take(begins)
	s.hub.tell()
	shown := func() string {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		return string(s.hub.shown["swarm"])
	}
	if !strings.Contains(shown(), `"leader":"m1"`) {
		t.Errorf("it shows %s", shown())
	}
	begins.Time = time.Now().Add(-settling)
	s.Take(begins)
	s.hub.tell()
	if strings.Contains(shown(), `"leader"`) {
		t.Errorf("it goes on to show %s", shown())
	}
}

func TestLanes(t *testing.T) {
	s := server(t)
	broken := timeline.Event{Time: time.Now(), Source: timeline.SourceFault, Kind: timeline.KindBroken, Fault: "f1", Text: "kill m1", Nodes: []string{"m1"}}
	healed := broken
	healed.Kind = timeline.KindHealed
	halted := timeline.Event{Time: time.Now(), Source: timeline.SourceMachine, Kind: timeline.KindMachine, Node: "m1", Machine: machine.StatusHalted}
	for _, e := range []timeline.Event{leads("m1", 2), broken, halted, halted, leads("m2", 3), healed, taskIs(3, "failed", "w1")} {
		s.Take(e)
	}
	var got []string
	for _, m := range s.hub.marks(time.Time{}).Marks {
		got = append(got, strings.TrimSpace(fmt.Sprint(m.Lane, " ", m.Kind, " ", m.Node, " ", m.Text, " ", m.Open)))
	}
	want := "terms leader m1 2 false; faults f1  kill m1 false; machines halted m1 machine halted false; terms electing  2 false; terms leader m2 3 true; tasks failed w1 task web.1: failed, on w1 false"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
}

// TestQuorum: what faults cut, and who does not run, is not connected.
func TestQuorum(t *testing.T) {
	var p timeline.Present
	for _, name := range []string{"m1", "m2", "m3"} {
		p.Take(timeline.Event{Source: timeline.SourceMachine, Kind: timeline.KindMachine, Node: name, Machine: machine.StatusRunning})
		p.Take(leads(name, 2))
	}
	if s := swarmOf(&p); s.Connected != 3 || s.Majority != 2 || s.Tolerates != 1 {
		t.Errorf("it is %+v", s)
	}
	p.Take(timeline.Event{Source: timeline.SourceFault, Kind: timeline.KindBroken, Fault: "f1", Cuts: [][2]string{{"m1", "m2"}, {"m3", "m2"}}})
	if s := swarmOf(&p); s.Connected != 2 || s.Tolerates != 0 {
		t.Errorf("with m2 cut off it is %+v", s)
	}
	p.Take(timeline.Event{Time: time.Now(), Source: timeline.SourceMachine, Kind: timeline.KindMachine, Node: "m1", Machine: machine.StatusHalted})
	if s := swarmOf(&p); s.Connected != 1 || s.Tolerates != 0 {
		t.Errorf("with m1 halted, too, it is %+v", s)
	}
	p.Take(timeline.Event{Source: timeline.SourceFault, Kind: timeline.KindHealed, Fault: "f1"})
	p.Take(timeline.Event{Source: timeline.SourceEngine, Kind: timeline.KindLocked, Node: "m3"})
	p.Take(timeline.Event{Source: timeline.SourceSwarm, Kind: timeline.KindSettings, Settings: &timeline.Settings{Autolock: true}})
	if s := swarmOf(&p); s.Connected != 1 || !s.Autolock {
		t.Errorf("with m3 locked, and m2 healed, it is %+v", s)
	}
}

// TestPorts: one on the routing mesh answers on every node that is in the swarm, one of the
// hosts where a task runs, and none where nothing runs.
func TestPorts(t *testing.T) {
	var p timeline.Present
	take := func(version uint64, o raft.Object, on string) {
		p.Take(timeline.Event{Source: timeline.SourceSwarm, Kind: timeline.KindState, Node: "m1", Change: &timeline.Change{Version: version, Action: raft.ActionUpdate, Object: o, On: on}})
	}
	for i, name := range []string{"w1", "w2", "w3"} {
		take(uint64(i+1), raft.Object{Kind: raft.KindNode, ID: name, State: []string{"ready", "ready", "down"}[i]}, name)
	}
	take(4, raft.Object{Kind: raft.KindService, ID: "s", Name: "web", Ports: []raft.Port{{Protocol: "tcp", Target: 80, Published: 8080}, {Protocol: "tcp", Target: 81, Published: 8081, Host: true}}}, "")
	shown := func(l Lab) string {
		var s struct{ Ports []port }
		if err := json.Unmarshal(draw(l, &p, noHint)["service/s"], &s); err != nil || len(s.Ports) != 2 {
			t.Fatalf("%+v, %v", s, err)
		}
		return fmt.Sprint(s.Ports[0].Nodes, s.Ports[1].Nodes)
	}
	if got := shown(Lab{}); got != "[] []" {
		t.Errorf("without a task they answer on %s", got)
	}
	for i, name := range []string{"w2", "w3"} {
		take(uint64(i+5), raft.Object{Kind: raft.KindTask, ID: name, Service: "s", State: "running"}, name)
	}
	if got := shown(Lab{}); got != "[w1 w2] [w2]" {
		t.Errorf("they answer on %s", got)
	}
	if got := shown(Lab{NoMesh: "no ip_vs"}); got != "[] [w2]" {
		t.Errorf("without the mesh they answer on %s", got)
	}
}

// BenchmarkTell is a change among 30 nodes with 500 tasks.
func BenchmarkTell(b *testing.B) {
	s := New(netip.MustParseAddrPort(host), nil, func(line string) string { return line })
	for i := range 500 {
		e := taskIs(uint64(i+1), "running", fmt.Sprint("w", i%30)) //nolint:gosec // it is small
		e.Change.ID = fmt.Sprint("t", i)
		s.Take(e)
	}
	for i := 0; b.Loop(); i++ {
		s.Take(taskIs(uint64(1000+i), fmt.Sprint(i), "w1")) //nolint:gosec // it is small
		s.hub.tell()
	}
}

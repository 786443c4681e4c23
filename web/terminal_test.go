package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// echo is a shell that repeats lines, and ends with 3 where it is told to exit.
func echo(ctx context.Context, node string, t *Terminal) int {
	stop := context.AfterFunc(ctx, t.typed.Close)
	defer stop()
	fmt.Fprintf(t, "%s$ ", node)
	for in := bufio.NewScanner(t); in.Scan(); {
		if in.Text() == "exit" {
			return 3
		}
		fmt.Fprintf(t, "<%s>\n", in.Text())
	}
	return 0
}

// withTerminals is a server of a lab with the nodes m1 and m2.
func withTerminals(t *testing.T, shell Shell) *Server {
	t.Helper()
	s := acting(t, func(context.Context, []string) Done { return Done{} })
	s.Begin(Lab{Name: "x", Nodes: []LabNode{{Name: "m1"}, {Name: "m2"}}})
	s.Terminals(t.Context(), shell)
	return s
}

// askTerminals asks as a page that may act does.
func askTerminals(t *testing.T, s *Server, body string, want int) (has hasTerminals) {
	t.Helper()
	got := post(s, body, func(r *http.Request) { r.URL.Path = "/terminals" })
	if got.Code != want {
		t.Fatalf("%s: %d %s, want %d", body, got.Code, got.Body, want)
	}
	if want == http.StatusOK {
		if err := json.Unmarshal(got.Body.Bytes(), &has); err != nil {
			t.Fatal(err)
		}
	}
	return has
}

// dial attaches as a page does, unless change changes that.
func dial(t *testing.T, s *Server, ticket string, change func(*websocket.DialOptions)) (*websocket.Conn, int) {
	t.Helper()
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	o := websocket.DialOptions{Host: host, HTTPHeader: http.Header{"Origin": {"http://" + host}, "Cookie": {s.guard.cookie + "=" + s.guard.session}}}
	if change != nil {
		change(&o)
	}
	conn, resp, err := websocket.Dial(t.Context(), listening.URL+"/terminal?ticket="+ticket, &o)
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
		conn.SetReadLimit(scrollback)
		return conn, resp.StatusCode
	}
	if resp == nil {
		t.Fatal(err)
	}
	return nil, resp.StatusCode
}

func send(t *testing.T, c *websocket.Conn, kind websocket.MessageType, text string) {
	t.Helper()
	if err := c.Write(t.Context(), kind, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// until reads and shows until the text ends with want, and gives all of it.
func until(t *testing.T, c *websocket.Conn, want string) string {
	t.Helper()
	var said strings.Builder
	for !strings.HasSuffix(said.String(), want) {
		_, text, err := c.Read(t.Context())
		if err != nil {
			t.Fatalf("%v after %q, want %q", err, said.String(), want)
		}
		said.Write(text)
		send(t, c, websocket.MessageText, `{"shown":true}`)
	}
	return said.String()
}

// TestNobodyElseGetsATerminal: neither a ticket nor what a ticket opens.
func TestNobodyElseGetsATerminal(t *testing.T) {
	s := withTerminals(t, echo)
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"a cookie alone":   {func(r *http.Request) { r.Header.Del(postHeader) }, 403},
		"no cookie":        {func(r *http.Request) { r.Header.Del("Cookie") }, 401},
		"no origin":        {func(r *http.Request) { r.Header.Del("Origin") }, 403},
		"a foreign origin": {func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		"another name":     {func(r *http.Request) { r.Host = "evil.example:3227" }, 403},
		"a form":           {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
	} {
		got := post(s, `{"node":"m1"}`, func(r *http.Request) { r.URL.Path = "/terminals"; c.change(r) })
		if has := askTerminals(t, s, `{}`, 200); got.Code != c.want || len(has.Open) > 0 {
			t.Errorf("a ticket, %s: %d, want %d; open are %v", name, got.Code, c.want, has.Open)
		}
	}

	id := askTerminals(t, s, `{"node":"m1"}`, 200).ID
	fresh := func() string { return askTerminals(t, s, `{"id":"`+id+`"}`, 200).Ticket }
	used := fresh()
	conn, code := dial(t, s, used, nil)
	if code != http.StatusSwitchingProtocols {
		t.Fatalf("the page itself: %d", code)
	}
	until(t, conn, "m1$ ")
	header := func(name string, values ...string) func(*websocket.DialOptions) {
		return func(o *websocket.DialOptions) {
			o.HTTPHeader[name] = values
			if len(values) == 0 {
				delete(o.HTTPHeader, name)
			}
		}
	}
	for name, c := range map[string]struct {
		ticket string
		change func(*websocket.DialOptions)
		want   int
	}{
		"no origin":                {fresh(), header("Origin"), 403},
		"a foreign origin":         {fresh(), header("Origin", "http://evil.example"), 403},
		"another port's origin":    {fresh(), header("Origin", "http://127.0.0.1:80"), 403},
		"an origin that is none":   {fresh(), header("Origin", "null"), 403},
		"two origins":              {fresh(), header("Origin", "http://"+host, "http://evil.example"), 403},
		"another name (rebinding)": {fresh(), func(o *websocket.DialOptions) { o.Host = "evil.example:3227" }, 403},
		"both of another name": {fresh(), func(o *websocket.DialOptions) {
			o.Host = "evil.example:3227"
			o.HTTPHeader["Origin"] = []string{"http://evil.example:3227"}
		}, 403},
		"from another site":    {fresh(), header("Sec-Fetch-Site", "cross-site"), 403},
		"no cookie":            {fresh(), header("Cookie"), 401},
		"another cookie":       {fresh(), header("Cookie", s.guard.cookie+"=x"), 401},
		"no ticket":            {"", nil, 403},
		"a used ticket":        {used, nil, 403},
		"the id for a ticket":  {id, nil, 403},
		"what it takes to act": {s.guard.post, nil, 403},
	} {
		if _, code := dial(t, s, c.ticket, c.change); code != c.want {
			t.Errorf("a terminal, %s: %d, want %d", name, code, c.want)
		}
	}

	looks := server(t)
	if code := post(looks, `{"node":"m1"}`, func(r *http.Request) { r.URL.Path = "/terminals" }).Code; code != 405 {
		t.Errorf("--read-only gives a ticket: %d", code)
	}
	if _, code := dial(t, looks, "x", func(o *websocket.DialOptions) {
		o.HTTPHeader["Cookie"] = []string{looks.guard.cookie + "=" + looks.guard.session}
	}); code != 404 {
		t.Errorf("--read-only has terminals: %d", code)
	}
}

func TestTicketIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withTerminals(t, echo)
		first := askTerminals(t, s, `{"node":"m1"}`, 200)
		time.Sleep(ticketFor + time.Second)
		if s.terminals.redeem(first.Ticket) != nil {
			t.Error("an old ticket opens")
		}
		again := askTerminals(t, s, `{"id":"`+first.ID+`"}`, 200)
		if s.terminals.redeem(again.Ticket) == nil || s.terminals.redeem(again.Ticket) != nil {
			t.Error("a ticket opens once")
		}
		if len(s.terminals.tickets) > 0 {
			t.Error("tickets are kept")
		}
	})
}

// TestTerminal: what is typed and said, before and after a reload, in two at once, until
// the shell ends.
func TestTerminal(t *testing.T) {
	s := withTerminals(t, echo)
	one, two := askTerminals(t, s, `{"node":"m1"}`, 200), askTerminals(t, s, `{"node":"m2"}`, 200)
	if len(two.Open) != 2 || two.Open[0] != (openTerminal{one.ID, "m1"}) || two.Open[1] != (openTerminal{two.ID, "m2"}) {
		t.Errorf("open are %v", two.Open)
	}
	a, _ := dial(t, s, one.Ticket, nil)
	b, _ := dial(t, s, two.Ticket, nil)
	until(t, a, "m1$ ")
	until(t, b, "m2$ ")
	send(t, a, websocket.MessageBinary, "hello\n")
	send(t, b, websocket.MessageBinary, "other\n")
	until(t, a, "<hello>\n")
	until(t, b, "<other>\n")

	attach := func() *websocket.Conn {
		c, _ := dial(t, s, askTerminals(t, s, `{"id":"`+one.ID+`"}`, 200).Ticket, nil)
		if said := until(t, c, "<hello>\n"); said != "m1$ <hello>\n" {
			t.Errorf("after a reload it is sent %q", said)
		}
		return c
	}
	if err := a.Close(websocket.StatusGoingAway, ""); err != nil {
		t.Error(err)
	}
	c := attach()
	taken := attach() // by another tab
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != shownElsewhere {
		t.Errorf("the first tab is told %v", err)
	}
	send(t, taken, websocket.MessageBinary, "exit\n")
	_, _, err := taken.Read(t.Context())
	if websocket.CloseStatus(err) != websocket.StatusNormalClosure || !strings.Contains(err.Error(), `"3"`) {
		t.Errorf("the end of the shell is told as %v", err)
	}
	askTerminals(t, s, `{"id":"`+one.ID+`"}`, 410)
	askTerminals(t, s, `{"id":"`+two.ID+`","close":true}`, 200)
	askTerminals(t, s, `{"id":"`+two.ID+`"}`, 410)
	if _, _, err := b.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the end of one that was closed is told as %v", err)
	}
}

// TestTerminalsAreBounded: how many there are, what is sent at once, and sizes.
func TestTerminalsAreBounded(t *testing.T) {
	sizes := make(chan size)
	s := withTerminals(t, func(ctx context.Context, _ string, t *Terminal) int {
		t.Sizes(ctx, func(columns, rows int) { sizes <- size{columns, rows} })
		return 0
	})
	askTerminals(t, s, `{"node":"m3"}`, 404)
	askTerminals(t, s, `{"node":"--help"}`, 404)
	var first hasTerminals
	for i := range terminalsMax {
		has := askTerminals(t, s, `{"node":"m1"}`, 200)
		if i == 0 {
			first = has
		}
	}
	askTerminals(t, s, `{"node":"m1"}`, 409)
	c, _ := dial(t, s, first.Ticket, nil)
	until(t, c, "")
	for _, text := range []string{`{"columns":0,"rows":5}`, `{"columns":-1,"rows":5}`, `{"columns":5}`, `{"columns":100000,"rows":5}`, `{"columns":99,"rows":33}`} {
		send(t, c, websocket.MessageText, text)
	}
	if got := <-sizes; got != (size{99, 33}) {
		t.Errorf("it gets the size %v", got)
	}
	send(t, c, websocket.MessageBinary, strings.Repeat("x", typedMax+1))
	for {
		if _, _, err := c.Read(t.Context()); err != nil {
			if websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
				t.Errorf("a message that is too big: %v", err)
			}
			break
		}
	}
}

// lone is a terminal without a shell.
func lone() *Terminal {
	return &Terminal{typed: newTyped(), sizes: make(chan size, 1), more: make(chan struct{}), abandoned: time.NewTimer(time.Hour)}
}

// TestScrollback: the last is kept, and a page is sent whole lines of it.
func TestScrollback(t *testing.T) {
	terminal := lone()
	for i := range 100_000 {
		fmt.Fprintf(terminal, "line %d\n", i)
		if cap(terminal.said) > 4*scrollback {
			t.Fatalf("%d bytes are kept", cap(terminal.said))
		}
	}
	text, _, _ := terminal.after(terminal.attach())
	lines := bytes.Split(text, []byte("\n"))
	if len(text) > scrollback || len(text) < scrollback-100 || !bytes.HasPrefix(text, []byte("line ")) || string(lines[len(lines)-2]) != "line 99999" {
		t.Errorf("%d bytes are sent, from %q to %q", len(text), lines[0], lines[len(lines)-2])
	}
}

// TestPageThatIsBehind: a shell waits for a page that shows its terminal, and not for one
// that is gone or for none.
func TestPageThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		terminal := lone()
		v := terminal.attach()
		done := false
		go func() {
			for range 100 {
				_, _ = terminal.Write(make([]byte, scrollback/8))
			}
			done = true
		}()
		synctest.Wait()
		text, _, _ := terminal.after(v)
		if len(text) != scrollback/2 || done {
			t.Errorf("%d bytes wait", len(text))
		}
		terminal.shown(v, len(text))
		synctest.Wait()
		if text, _, _ = terminal.after(v); len(text) != scrollback/2 {
			t.Errorf("then %d bytes wait", len(text))
		}
		other := terminal.attach()
		if text, _, _ = terminal.after(v); text != nil {
			t.Error("the first page is told more")
		}
		terminal.detach(v)
		synctest.Wait()
		if done {
			t.Error("the second page is left behind")
		}
		terminal.detach(other)
		synctest.Wait()
		if !done {
			t.Error("a shell waits for a page that is gone")
		}
	})
}

// TestAbandoned: a shell that no page shows ends after a time.
func TestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withTerminals(t, echo)
		terminal := s.terminals.redeem(askTerminals(t, s, `{"node":"m1"}`, 200).Ticket)
		v := terminal.attach()
		time.Sleep(10 * abandonedAfter)
		terminal.detach(v)
		time.Sleep(abandonedAfter - time.Second)
		askTerminals(t, s, `{"id":"`+terminal.id+`"}`, 200)
		time.Sleep(2 * time.Second)
		askTerminals(t, s, `{"id":"`+terminal.id+`"}`, 410)
	})
}

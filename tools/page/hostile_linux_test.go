package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// evil is a name of somebody else's that leads to this machine: the browser is told so.
const evil = "evil.example"

// attack is a page of somebody else's, in the browser of somebody who has the lab's page
// open. Each try ends with what it got: "" is nothing.
const attack = `<!doctype html><title>kittens</title><script>
const at = "http://` + address + `", got = {};
const read = (name, f) => f.then((text) => got[name] = text, () => got[name] = "");
const get = (path, how) => fetch(at + path, { credentials: "include", ...how }).then((r) => r.type === "opaque" ? "" : r.text());
const body = JSON.stringify({ words: ["halt", "w1"], yes: true });
read("events", get("/events"));
read("at", get("/at?t=" + new Date().toISOString()));
read("page", get("/"));
read("opaque", get("/lanes", { mode: "no-cors" }));
read("act", get("/act", { method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body }));
read("act with a header", get("/act", { method: "POST", headers: { "Content-Type": "application/json", "Dcalab-Page": "guessed" }, body }));
read("stream", new Promise((yes, no) => { const s = new EventSource(at + "/events", { withCredentials: true }); s.onmessage = (e) => yes(e.data); s.onerror = no; }));
read("socket", new Promise((yes, no) => { const s = new WebSocket("ws://` + address + `/terminal"); s.onopen = () => yes("open"); s.onerror = no; }));
read("script", new Promise((yes, no) => { const s = document.createElement("script"); s.src = at + "/assets/page.js"; s.onload = () => yes("ran"); s.onerror = no; document.head.append(s); }));
onload = () => {
  const f = document.createElement("iframe");
  f.onload = () => { try { got.frame = f.contentDocument.body.textContent; } catch { got.frame = ""; } };
  f.src = at + "/"; document.body.append(f);
  const form = document.createElement("form"), into = document.createElement("iframe");
  into.name = "into"; form.target = "into"; form.method = "post"; form.enctype = "text/plain"; form.action = at + "/act";
  const field = document.createElement("input"); field.name = body.slice(0, -1) + ',"x":"'; field.value = '"}'; form.append(field);
  into.onload = () => { if (form.sent) got.form = ""; };
  document.body.append(into, form); form.sent = true; form.submit();
};
</script>`

// hostile holds that pages of somebody else's, open in the same browser, get nothing and
// change nothing: one on another port of the same address, to which the browser sends the
// cookie as well, and one whose name was made to lead here.
func hostile(t *testing.T, b *browser) {
	t.Helper()
	their := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(attack))
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	_ = their.Listener.Close()
	their.Listener = listener
	their.Start()
	defer their.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())

	tab, cancel := chromedp.NewContext(b.ctx)
	defer cancel()
	theirs := &browser{ctx: tab}
	for _, from := range []string{their.URL, "http://" + evil + ":" + port} {
		theirs.do(t, chromedp.Navigate(from))
		theirs.until(t, "what a page of "+from+" tried has ended", `typeof got === "object" && Object.keys(got).length === 11`)
		if loot := theirs.eval(t, `Object.entries(got).filter(([, text]) => text).map(([name, text]) => name + ": " + text).join("; ")`); loot != "" {
			t.Errorf("a page of %s got %s", from, loot)
		}
	}
	_, own, _ := net.SplitHostPort(address)
	theirs.do(t, chromedp.Navigate("http://"+evil+":"+own+"/"))
	if text := theirs.eval(t, `document.body.textContent`); !strings.Contains(text, "not for you") {
		t.Errorf("by another name that leads here the page says %s", text)
	}
	if state := b.eval(t, `String(!!document.querySelector(".manager.halted, .box.halted"))`); state != "false" {
		t.Error("a page of somebody else's has powered off a node")
	}
}

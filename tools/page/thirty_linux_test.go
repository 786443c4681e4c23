package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const (
	thirtyNodes = 30
	// thirtyTasks: with five hundred, two processors are so busy that no manager keeps the
	// lead, and their tasks start anew all the time. The page shows that, too.
	thirtyTasks = 120
	// thirtySpan is how long serve is watched, idle.
	thirtySpan = 30 * time.Second
)

// TestThirtyInChromium shows a real swarm of thirty nodes with many tasks, and measures what
// it costs. It takes some minutes: make test-page LONG=1.
func TestThirtyInChromium(t *testing.T) {
	if os.Getenv("LONG") == "" {
		t.Skip("make test-page LONG=1 runs it")
	}
	l := newLab(t)
	text := strings.Builder{}
	text.WriteString("version: 1\ndriver: sandbox\nlabs:\n  page:\n    domain: page.example\n    subnet: 10.20.40.0/24\n    cpus: 1\n    memory: 512\n    nodes:\n")
	for i := range thirtyNodes {
		name, role := fmt.Sprintf("w%02d", i-2), "worker"
		if i < 3 {
			name, role = fmt.Sprintf("m%d", i+1), "manager"
		}
		fmt.Fprintf(&text, "      - {name: %s, ip: 10.20.40.%d, role: %s}\n", name, 101+i, role)
	}
	if err := os.WriteFile(filepath.Join(l.folder, "labs.yaml"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	l.dcalab(t, "up", "--swarm")
	l.load(t)
	l.dcalab(t, "ssh", "m1", "--", "docker", "service", "create", "-d", "--no-resolve-image", "--no-healthcheck", "--endpoint-mode", "dnsrr", "--name", "web", "--replicas", strconv.Itoa(thirtyTasks), "localhost/demo:1")
	l.replicas(t, thirtyTasks)

	link := l.serve(t)
	t.Logf("idle, without a browser: %.1f %% of a core, %d MB", l.cost(t), l.memory(t))
	b := open(t)
	b.timesDrawing(t)
	all := fmt.Sprintf(`document.querySelectorAll(".box .glyph.running").length === %d`, thirtyTasks)
	b.do(t, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(link))
	b.until(t, "three managers and all tasks", `document.querySelectorAll(".manager").length === 3 && `+all)
	b.shot(t, "thirty")
	t.Logf("the first picture %s ms after the page was asked for", b.eval(t, `String(window.drawn)`))
	b.do(t, chromedp.Reload())
	b.until(t, "the same after a reload", all)
	t.Logf("the first picture %s ms after a reload", b.eval(t, `String(window.drawn)`))
	t.Logf("idle, with a browser: %.1f %% of a core, %d MB", l.cost(t), l.memory(t))

	b.run(t, `window.took = []; new EventSource("/events").onmessage = (e) => { const m = JSON.parse(e.data); if (m.news && !m.whole) requestAnimationFrame(() => took.push(Date.now() - Date.parse(m.news[m.news.length - 1].at))); }`)
	from := time.Now()
	l.dcalab(t, "drain", "w01")
	b.until(t, "the tasks of a node that is drained are on others", `![...document.querySelectorAll(".box")].some((b) => b.querySelector("h3").textContent.includes("w01") && b.querySelector(".glyph.running")) && `+all)
	t.Logf("drained in %.1f s; milliseconds from an event that was heard to the frame that shows it: %s", time.Since(from).Seconds(), b.eval(t, `JSON.stringify(took)`))
	b.quiet(t)
}

// timesDrawing notes in window.drawn how many milliseconds after it was asked for each page
// has shown a manager.
func (b *browser) timesDrawing(t *testing.T) {
	t.Helper()
	const script = `(() => { const o = new MutationObserver(() => { if (document.querySelector(".manager .name")) { o.disconnect(); requestAnimationFrame(() => setTimeout(() => { window.drawn = Math.round(performance.now()); })); } }); o.observe(document, { childList: true, subtree: true }); })()`
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		t.Fatal(err)
	}
}

// load loads the demo image; a node that was too busy gets it by the next try, as dcalab
// advises.
func (l *aLab) load(t *testing.T) {
	t.Helper()
	for range 2 {
		c := exec.CommandContext(t.Context(), l.program, "image", "load", "demo")
		c.Dir = l.folder
		if c.Run() == nil {
			return
		}
	}
	l.dcalab(t, "image", "load", "demo")
}

// replicas waits until a service has so many tasks that run.
func (l *aLab) replicas(t *testing.T, n int) {
	t.Helper()
	want, said := fmt.Sprintf("%d/%d", n, n), ""
	for from := time.Now(); time.Since(from) < 20*time.Minute; time.Sleep(2 * time.Second) {
		c := exec.CommandContext(t.Context(), l.program, "ssh", "m1", "--", "docker", "service", "ls", "--format", "{{.Replicas}}")
		c.Dir = l.folder
		out, err := c.Output()
		if err == nil && strings.TrimSpace(string(out)) == want {
			return
		}
		said = string(out)
	}
	t.Fatalf("the service has %s tasks, not %s", said, want)
}

// cost is what serve takes of a core while nothing is done, in per cent.
func (l *aLab) cost(t *testing.T) float64 {
	t.Helper()
	before, from := l.ticks(t), time.Now()
	time.Sleep(thirtySpan)
	const perSecond = 100
	return 100 * float64(l.ticks(t)-before) / perSecond / time.Since(from).Seconds()
}

// ticks is the processor time that serve has taken, in hundredths of a second.
func (l *aLab) ticks(t *testing.T) (sum int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.serving.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	for _, f := range strings.Fields(rest)[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// memory is what serve has in memory, in MB.
func (l *aLab) memory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.serving.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb / 1000
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// labs is three managers and a worker, on addresses of the test's own network namespace.
const labs = `version: 1
driver: sandbox
labs:
  page:
    domain: page.example
    subnet: 10.20.40.0/24
    box: bento/ubuntu-24.04
    cpus: 1
    memory: 512
    nodes:
      - {name: m1, ip: 10.20.40.101, role: manager}
      - {name: m2, ip: 10.20.40.102, role: manager}
      - {name: m3, ip: 10.20.40.103, role: manager}
      - {name: w1, ip: 10.20.40.111}
`

const (
	inside  = "DCALAB_PAGE_TEST_INSIDE"
	address = "127.0.0.1:3227"
)

// TestMain runs the tests in a network namespace, in which there is the lab and nothing else.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := c.Run(); err != nil {
		os.Exit(1)
	}
}

// TestInChromium looks at the page of a real lab in a real browser, while things happen.
func TestInChromium(t *testing.T) {
	b := open(t)
	l := newLab(t)
	link := l.serve(t)
	b.do(t, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(link), chromedp.WaitVisible(chromedp.CSS(".empty pre")))
	if text := b.eval(t, `document.querySelector(".empty pre").textContent + location.href`); !strings.Contains(text, "up --swarm") || strings.Contains(text, "token") {
		t.Errorf("without a lab the page says %s", text)
	}

	l.dcalab(t, "up", "--swarm")
	b.until(t, "three managers, and their leader", `document.querySelectorAll(".manager").length === 3 && !!document.querySelector(".manager.leader")`)
	b.until(t, "the quorum", `document.querySelector(".quorum").getAttribute("aria-label").includes("3/3")`)

	l.dcalab(t, "image", "load", "demo")
	l.dcalab(t, "ssh", "m1", "--", "docker", "service", "create", "-d", "--no-resolve-image", "--no-healthcheck", "--endpoint-mode", "dnsrr", "--publish", "mode=host,target=8080", "--name", "web", "--replicas", "4", "localhost/demo:1")
	running := `[...document.querySelectorAll(".box")].filter((b) => b.querySelector("h3").textContent.includes("w1")).flatMap((b) => [...b.querySelectorAll(".glyph.running")]).length`
	b.until(t, "tasks run, one of them on w1", running+` > 0 && document.querySelectorAll(".box .glyph.running").length === 4`)
	b.until(t, "where its port answers", `/8080\/tcp \(host\): answers on .*w1/.test(document.querySelector(".ports li")?.textContent)`)
	l.dcalab(t, "swarm", "autolock", "on")
	b.until(t, "autolock is on", `document.querySelector("header").textContent.includes("autolock on")`)
	l.dcalab(t, "swarm", "autolock", "off")
	b.until(t, "autolock is off", `!document.querySelector("header").textContent.includes("autolock on")`)
	l.dcalab(t, "ssh", "m1", "--", "docker", "service", "create", "-d", "--no-resolve-image", "--constraint", "node.labels.disk==ssd", "--name", "db", "localhost/demo:1")
	b.click(t, ".box button", "why?")
	b.until(t, "why its task is on no node", `/node\.labels\.disk ?== ?ssd[^]*dcalab label set/.test(document.querySelector(".act pre")?.textContent)`)
	b.shot(t, "why")
	b.click(t, ".act button", "close")
	l.dcalab(t, "ssh", "m1", "--", "docker", "service", "rm", "db")
	b.until(t, "it is gone", `![...document.querySelectorAll(".box button")].length`)
	accessible(t, b, "the picture")
	hostile(t, b)
	l.terminals(t, b)
	b.run(t, `window.took = []; new EventSource("/events").onmessage = (e) => { const m = JSON.parse(e.data); if (m.news && !m.whole) requestAnimationFrame(() => took.push(Date.now() - Date.parse(m.news[m.news.length - 1].at))); }`)
	b.run(t, `location.hash = "node=w1"`)
	b.until(t, "what can be done with w1", `!!document.querySelector(".details .actions")`)
	b.click(t, ".details button", "why tasks are here, or not")
	b.until(t, "why there are tasks on w1", `/web/.test(document.querySelector(".act pre")?.textContent) && document.querySelectorAll(".act button").length === 1`)
	accessible(t, b, "why there are tasks on a node")
	b.click(t, ".act button", "close")
	b.until(t, "until when its certificate is good", `/certificate until .*, (89|90) days/.test(document.querySelector(".details dl").textContent)`)
	b.click(t, ".details .actions button", "drain")
	b.until(t, "what a drain would do", `document.querySelector(".act h2").textContent.endsWith("drain w1") && /w1: .*drain/.test(document.querySelector(".act pre").textContent)`)
	b.shot(t, "act")
	accessible(t, b, "a node's panel, and what a drain would do")
	b.click(t, ".act button", "do it")
	b.until(t, "it is done", `document.querySelector(".act h3").textContent === "done"`)
	b.click(t, ".act button", "close")
	b.until(t, "its port does not answer on w1 any more", `!document.querySelector(".ports li").textContent.includes("w1")`)
	b.until(t, "no task is left on the drained node, and all four run", running+` === 0 && document.querySelectorAll(".box .glyph.running").length === 4`)

	// What costs the quorum is asked for, and not done before the answer.
	b.do(t, chromedp.KeyEvent(":"), chromedp.SendKeys(chromedp.CSS(".act input"), "break kill m1,m2 --for 90s\r"))
	b.until(t, "what it costs", `document.querySelector(".act pre").textContent.includes("quorum")`)
	b.click(t, ".act button", "do it")
	b.until(t, "the question", `[...document.querySelectorAll(".act button")].some((b) => b.textContent.startsWith("yes"))`)
	b.shot(t, "question")
	b.click(t, ".act button", "close")
	b.do(t, chromedp.KeyEvent(":"), chromedp.SendKeys(chromedp.CSS(".act input"), "destroy\r"))
	b.until(t, "nothing is destroyed from here", `document.querySelector(".act pre")?.textContent.includes("terminal") && document.querySelectorAll(".act button").length === 1`)
	b.click(t, ".act button", "close")
	if b.eval(t, `String(document.querySelectorAll(".faults.some").length)`) != "0" {
		t.Error("something was broken before the answer")
	}
	b.run(t, `location.hash = ""`)

	first := b.eval(t, `document.querySelector(".manager.leader .name").textContent`)
	before := time.Now()
	l.dcalab(t, "break", "kill", "leader", "--for", "90s", "--yes")
	b.until(t, "its machine is halted, and nobody leads", `!!document.querySelector(".manager.halted") && !!document.querySelector("header .alarm")`)
	b.until(t, "the fault, with the time that it has left", `/\d/.test(document.querySelector(".faults.some span").textContent)`)
	b.shot(t, "election")
	b.run(t, `window.flown = []; new MutationObserver((all) => all.forEach((m) => m.addedNodes.forEach((n) => n.classList?.contains("flight") && flown.push(n.className)))).observe(document.body, { childList: true })`)
	b.until(t, "another leader", `!!document.querySelector(".manager.leader.up") && !document.querySelector("header .alarm")`)
	second := b.eval(t, `document.querySelector(".manager.leader .name").textContent`)
	if first == second {
		t.Errorf("%s leads, whose power was cut", second)
	}
	b.until(t, "one quorum mark is empty", `document.querySelectorAll(".quorum i.have").length === 2`)

	b.until(t, "a vote and the lead have moved", `flown.includes("flight ballot") && flown.includes("flight lead") && !document.querySelector(".flight")`)
	b.until(t, "what came of it", `[...document.querySelectorAll(".observed li")].some((l) => /^[0-9.]+ s.*leads in term/.test(l.textContent))`)
	b.do(t, chromedp.KeyEvent("g"))
	b.until(t, "the same in Portuguese", `[...document.querySelectorAll(".observed li")].some((l) => /^[0-9,]+ s.*lidera no termo \d+, com os votos de/.test(l.textContent) && l.title.startsWith("Lidera o candidato") && !l.lang)`)
	b.until(t, "and what happened", `/líder, eleito no termo|termo \d+, vota em/.test(document.querySelector(".news").textContent) && !/elected in term|votes for/.test(document.querySelector(".news").textContent)`)
	b.shot(t, "portuguese")
	b.do(t, chromedp.KeyEvent("g"))
	b.run(t, `window.report = ""; fetch("/report").then((r) => r.text()).then((text) => window.report = text)`)
	b.until(t, "the same as a report", `/<svg[^]*leads in term/.test(report) && !report.includes("<script")`)

	b.shot(t, "elected")

	// Back to before the fault: everything is as it was then.
	back := time.Since(before) + 2*time.Second
	b.drag(t, back.Seconds()/300)
	b.until(t, "the leader that there was", `!!document.querySelector("header .back") && document.querySelector(".manager.leader.up .name")?.textContent === "`+first+`" && !document.querySelector(".faults.some")`)
	t.Logf("milliseconds from an event that was heard to the frame that shows it: %s", b.eval(t, `JSON.stringify(took)`))
	b.do(t, chromedp.Reload())
	b.until(t, "the same after a reload", `!!document.querySelector("header .back") && document.querySelector(".manager.leader.up .name")?.textContent === "`+first+`"`)
	b.do(t, chromedp.KeyEvent("l"))
	b.until(t, "live again", `!!document.querySelector("header .open") && document.querySelector(".manager.leader.up .name")?.textContent === "`+second+`"`)

	b.do(t, chromedp.KeyEvent("t"))
	b.until(t, "the same as a table", `[...document.querySelectorAll(".tables tbody tr")].some((r) => r.textContent.startsWith("`+second+`leader"))`)
	b.until(t, "with certificates", `[...document.querySelectorAll(".tables tbody tr")].some((r) => /^w1worker.*until .*, (89|90) days/.test(r.textContent))`)
	accessible(t, b, "the table, with a fault")
	b.do(t, chromedp.KeyEvent("g"))
	b.until(t, "in Portuguese", `document.documentElement.lang === "pt-BR" && document.querySelector(".tables caption").textContent.length > 0`)
	b.do(t, chromedp.KeyEvent("g"), chromedp.KeyEvent("t"))
	b.do(t, chromedp.KeyEvent("P"), chromedp.KeyEvent("d"), chromedp.KeyEvent("g"))
	b.until(t, "large, and dark", `document.documentElement.classList.contains("large") && document.documentElement.dataset.theme === "dark"`)
	b.shot(t, "large")
	b.do(t, chromedp.KeyEvent("g"), chromedp.KeyEvent("d"), chromedp.KeyEvent("P"))

	for _, width := range []int64{375, 1280} {
		b.do(t, chromedp.EmulateViewport(width, 800))
		b.until(t, "it fits "+strconv.FormatInt(width, 10)+" pixels", fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, width))
	}
	b.quiet(t)

	l.stop(t)
	b.until(t, "it says that it is cut off", `!!document.querySelector("header .lost")`)
	l.serve(t)
	b.until(t, "it goes on by itself after a restart", `!!document.querySelector("header .open") && !!document.querySelector(".manager.leader.up")`)
}

// terminals types into terminals of two nodes: what the nodes answer is there after a
// reload, too, and the shells go on.
func (l *aLab) terminals(t *testing.T, b *browser) {
	t.Helper()
	const focused = `document.activeElement.closest(".panel:not([hidden])")`
	const said = `document.querySelector(".panel:not([hidden]) .xterm-rows").textContent`
	typed := func(line string) { b.types(t, line+"\r") }
	opened := func(node string) {
		b.run(t, `location.hash = "node=`+node+`"`)
		b.until(t, node+" is chosen", `document.querySelector(".details h2").textContent.startsWith("`+node+`")`)
		b.click(t, ".details button", "terminal")
		b.until(t, "a shell on "+node, focused+` && /[$#]\s*$/.test(`+said+`)`)
	}
	opened("w1")
	typed(`echo "[$(hostname)]"`)
	b.until(t, "what w1 answers", `/\[w1/.test(`+said+`)`)
	opened("m1")
	typed(`x=kept; echo "[$(hostname)]"`)
	b.until(t, "what m1 answers, in a second terminal", `/\[m1/.test(`+said+`) && document.querySelectorAll("[role=tab]").length === 2`)
	b.shot(t, "terminal")
	accessible(t, b, "two terminals")
	b.resized(t)

	b.do(t, chromedp.Reload())
	b.until(t, "the same after a reload, once", said+`.match(/\[m1/g)?.length === 1`)
	b.until(t, "as high as before", `document.querySelector(".terminals").offsetHeight === 200`)
	b.run(t, `document.querySelector(".handle").focus()`)
	b.do(t, chromedp.KeyEvent(kb.Enter))
	b.until(t, "and half of the window again", half)
	b.run(t, `document.querySelector(".panel:not([hidden]) textarea").focus()`)
	typed(`echo "<$x>"`)
	b.until(t, "the same shell", `/<kept>/.test(`+said+`)`)
	b.click(t, "[role=tab]", "w1")
	b.until(t, "the other terminal", focused+` && /\[w1/.test(`+said+`)`)

	typed("clear; while sleep .1; do stty size; done")
	b.until(t, "its size", `/\d+ \d+/.test(`+said+`)`)
	b.run(t, `window.size = `+said+`.match(/\d+ \d+/)[0]`)
	b.do(t, chromedp.EmulateViewport(900, 700))
	b.until(t, "another size", `(`+said+`.match(/\d+ \d+/g) ?? []).some((s) => s !== size)`)
	b.do(t, chromedp.KeyEvent("c", chromedp.KeyModifiers(chromedp.ModifierCtrl)), chromedp.EmulateViewport(1280, 800))
	b.until(t, "it was interrupted", `/[$#]\s*$/.test(`+said+`)`)

	b.run(t, `document.querySelector(".terminals input").click()`)
	typed("echo rea''d")
	b.until(t, "a screen reader can read it", `/read/.test(document.querySelector(".panel:not([hidden]) .xterm-accessibility")?.textContent)`)
	b.do(t, chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl, chromedp.ModifierShift)))
	b.until(t, "the keyboard leaves it", `document.activeElement.getAttribute("role") === "tab"`)
	b.run(t, `document.querySelector(".terminals input").click()`)
	b.click(t, "[role=tab]", "m1")
	b.until(t, "the first one again", focused+` && /<kept>/.test(`+said+`)`)
	typed("exit")
	b.until(t, "it is gone with its shell", `document.querySelectorAll("[role=tab]").length === 1`)
	b.run(t, `document.querySelector(".tabs button:not([role])").click()`)
	b.until(t, "and the other one when it is closed", `!document.querySelector(".terminals")`)
	b.run(t, `location.hash = ""`)
}

// half is that half of the window is left to the picture, with all managers in it.
const half = `(([head, ring, foot]) => scrollY === 0 && foot.top - head.bottom >= innerHeight / 2 - 1 && ring.bottom <= foot.top)(["header", ".ring", ".foot"].map((s) => document.querySelector(s).getBoundingClientRect()))`

// resized moves the border of the terminals by the keyboard and by the pointer.
func (b *browser) resized(t *testing.T) {
	t.Helper()
	b.run(t, `scrollTo(0, 0)`)
	b.until(t, "half of the window is left to the picture", half)
	now := `Number(document.querySelector(".handle").getAttribute("aria-valuenow"))`
	b.run(t, `window.height = `+now+`; document.querySelector(".handle").focus()`)
	b.do(t, chromedp.KeyEvent(kb.ArrowUp), chromedp.KeyEvent(kb.ArrowUp))
	b.until(t, "higher terminals", now+` === height + 40 && document.querySelector(".terminals").offsetHeight === height + 40`)
	b.run(t, `const s = document.querySelector(".handle"), o = { bubbles: true, pointerId: 1, buttons: 1 };
		s.setPointerCapture = s.hasPointerCapture = () => true;
		s.dispatchEvent(new PointerEvent("pointerdown", { ...o, clientY: 500 })); s.dispatchEvent(new PointerEvent("pointermove", { ...o, clientY: 500 + `+now+` - 200 })); 0`)
	b.until(t, "as high as the pointer says", `document.querySelector(".terminals").offsetHeight === 200`)
}

// TestExportedInChromium looks at a recorded time by its file alone: no dcalab, no network.
func TestExportedInChromium(t *testing.T) {
	b := open(t)
	folder := t.TempDir()
	program := build(t, folder)
	recording, err := os.ReadFile(filepath.Join(root, "observe", "testdata", "partition.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(folder, ".dcalab", "page")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{filepath.Join(folder, "labs.yaml"): []byte(labs), filepath.Join(state, "timeline.jsonl"): recording} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	(&aLab{program: program, folder: folder}).dcalab(t, "timeline", "export", "evening.html")
	for _, name := range []string{".dcalab", "labs.yaml", "dcalab"} {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	b.do(t, chromedp.EmulateViewport(1280, 800), chromedp.Navigate("file://"+filepath.Join(folder, "evening.html")))
	b.until(t, "how it ended", `document.querySelectorAll(".manager").length === 3 && !!document.querySelector(".manager.leader.up") && document.querySelector("header .open").textContent.includes("end of the recording")`)
	b.shot(t, "exported")
	last := b.eval(t, `document.querySelector(".manager.leader .name").textContent`)
	b.drag(t, 0.93)
	b.until(t, "the leader before the election", `!!document.querySelector("header .back") && !!document.querySelector(".manager.leader.up") && document.querySelector(".manager.leader .name").textContent !== "`+last+`"`)
	before := b.eval(t, `document.querySelector(".manager.leader .name").textContent + " " + document.querySelector("header .back").textContent`)
	b.drag(t, 0.8)
	b.until(t, "the fault", `document.querySelector(".faults.some")?.textContent.includes("partition m1")`)
	b.shot(t, "exported-back")
	b.drag(t, 0.93)
	b.until(t, "the same again", `document.querySelector(".manager.leader .name").textContent + " " + document.querySelector("header .back").textContent === "`+before+`"`)
	b.do(t, chromedp.Reload())
	b.until(t, "the same after a reload", `document.querySelector(".manager.leader .name")?.textContent + " " + document.querySelector("header .back").textContent === "`+before+`"`)
	b.do(t, chromedp.KeyEvent("t"), chromedp.KeyEvent("g"))
	b.until(t, "a table in Portuguese", `document.documentElement.lang === "pt-BR" && document.querySelectorAll(".tables table").length > 2 && document.querySelector(".report").lang === "en" && document.querySelector("header .back").textContent.includes("antes do fim")`)
	b.do(t, chromedp.KeyEvent("g"), chromedp.KeyEvent("t"), chromedp.KeyEvent("l"))
	b.until(t, "the end again", `document.querySelector(".manager.leader .name")?.textContent === "`+last+`" && !document.querySelector("header .back")`)
	b.do(t, chromedp.EmulateViewport(375, 800))
	b.until(t, "it fits 375 pixels", `document.documentElement.scrollWidth <= 375`)
	b.until(t, "it has loaded nothing", `performance.getEntriesByType("resource").length === 0`)
	b.do(t, chromedp.EmulateViewport(1280, 800))
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.Reload())
	b.until(t, "without a script, what was found", `document.querySelector(".report iframe").getBoundingClientRect().top < 100 && !document.querySelector("#page").childNodes.length`)
	b.shot(t, "exported-without-script")
	b.quiet(t)
}

// build makes dcalab.
func build(t *testing.T, folder string) (program string) {
	t.Helper()
	program = filepath.Join(folder, "dcalab")
	c := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	c.Dir, c.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// drag drags the time line to a share of it before its end.
func (b *browser) drag(t *testing.T, share float64) {
	t.Helper()
	b.run(t, fmt.Sprintf(`const s = document.querySelector(".timeline svg[role]"), r = s.getBoundingClientRect(), wide = r.width - 8 - 86;
		const x = r.left + r.width - 8 - wide * %g, y = r.top + 30, o = { bubbles: true, pointerId: 1, buttons: 1, clientY: y };
		s.setPointerCapture = () => {};
		s.dispatchEvent(new PointerEvent("pointerdown", { ...o, clientX: x + 40 })); s.dispatchEvent(new PointerEvent("pointermove", { ...o, clientX: x })); 0`, share))
}

// aLab is a lab in a folder of its own, and the dcalab that serves it.
type aLab struct {
	program, folder string
	serving         *exec.Cmd
}

func newLab(t *testing.T) *aLab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it takes root to make a lab")
	}
	l := &aLab{folder: t.TempDir()}
	t.Setenv("PATH", l.folder+":"+os.Getenv("PATH")) // what is said to be typed begins with its name alone
	l.program = build(t, l.folder)
	if out, err := exec.CommandContext(t.Context(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(l.folder, "labs.yaml"), []byte(labs), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.stop(t)
		c := exec.Command(l.program, "destroy", "--yes") //nolint:noctx // the test's own has ended
		c.Dir = l.folder
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	return l
}

func (l *aLab) dcalab(t *testing.T, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), l.program, args...)
	c.Dir = l.folder
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("dcalab %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// serve starts dcalab serve, and gives the link that it prints.
func (l *aLab) serve(t *testing.T, flags ...string) string {
	t.Helper()
	var out bytes.Buffer
	var mu sync.Mutex
	l.serving = exec.Command(l.program, append([]string{"serve", "--addr", address}, flags...)...) //nolint:noctx // it is stopped
	l.serving.Dir, l.serving.Stderr = l.folder, os.Stderr
	l.serving.Stdout = writer(func(p []byte) (int, error) { mu.Lock(); defer mu.Unlock(); return out.Write(p) })
	if err := l.serving.Start(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		mu.Lock()
		text, whole := strings.CutSuffix(out.String(), "\n")
		mu.Unlock()
		if whole {
			return text
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("dcalab serve prints no link")
	return ""
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// stop ends dcalab serve as Ctrl-C does.
func (l *aLab) stop(t *testing.T) {
	t.Helper()
	if l.serving == nil {
		return
	}
	if err := l.serving.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if err := l.serving.Wait(); err != nil {
		t.Errorf("dcalab serve ends with %v", err)
	}
	l.serving = nil
}

// browser is one tab, with what it complained of.
type browser struct {
	ctx  context.Context //nolint:containedctx // chromedp's handle of the tab
	mu   sync.Mutex
	said []string
}

func open(t *testing.T, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"google-chrome", "chromium"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
		}
	}
	if program == "" {
		t.Skip("there is no chromium: scripts/install site")
	}
	own := t.TempDir()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.UserDataDir(own), chromedp.Env("TMPDIR="+own), chromedp.NoSandbox,
		chromedp.Flag("lang", "en-GB"), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP "+evil+" 127.0.0.1"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(options, more...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx}
	err := chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.said = append(b.said, e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			b.said = append(b.said, string(e.Type))
		case *log.EventEntryAdded:
			b.said = append(b.said, e.Entry.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, struct{}{}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for _, s := range steps {
		if _, err := chromedp.Run(b.ctx, s); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *browser) run(t *testing.T, script string) {
	t.Helper()
	b.do(t, chromedp.Evaluate[chromedp.Void]("(() => {"+script+"})()"))
}

func (b *browser) eval(t *testing.T, expression string) string {
	t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// types presses keys as a keyboard does: Chromium makes a key's character, unless the page
// has taken the key. chromedp.KeyEvent makes it always.
func (b *browser) types(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		keys := kb.Encode(r)
		down, up := *keys[0], *keys[len(keys)-1]
		if len(keys) == 3 {
			down.Text, down.UnmodifiedText = keys[1].Text, keys[1].UnmodifiedText
		}
		for _, key := range []input.DispatchKeyEventParams{down, up} {
			if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// click clicks the button with a text.
func (b *browser) click(t *testing.T, selector, text string) {
	t.Helper()
	b.until(t, "a button: "+text, fmt.Sprintf(`[...document.querySelectorAll(%q)].filter((b) => b.textContent === %q).map((b) => b.click()).length`, selector, text))
}

// shot takes a picture, where a folder for them is given.
func (b *browser) shot(t *testing.T, name string) {
	t.Helper()
	folder := os.Getenv("SHOTS")
	if folder == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), png, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// until waits until the page shows something.
func (b *browser) until(t *testing.T, what, expression string) {
	t.Helper()
	from := time.Now()
	for time.Since(from) < 3*time.Minute {
		if shown, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")")); err == nil && shown {
			t.Logf("%5.1f s  %s", time.Since(from).Seconds(), what)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.shot(t, "failed")
	t.Fatalf("the page does not show: %s", what)
}

// quiet holds that the console has no complaints.
func (b *browser) quiet(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, said := range b.said {
		t.Errorf("the console has: %s", said)
	}
}

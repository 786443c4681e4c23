package main

import (
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestActionsInChromium does all that a page may do, in one browser, and sees in another one
// what comes of it, at an address that others reach: over TLS. (TestInChromium is at
// loopback's.) It takes some minutes: make test-page LONG=1.
func TestActionsInChromium(t *testing.T) {
	if os.Getenv("LONG") == "" {
		t.Skip("make test-page LONG=1 runs it")
	}
	l := newLab(t)
	l.dcalab(t, "up", "--swarm")
	l.dcalab(t, "image", "load", "demo")
	l.dcalab(t, "ssh", "m1", "--", "docker", "service", "create", "-d", "--no-resolve-image", "--no-healthcheck", "--endpoint-mode", "dnsrr", "--name", "web", "--replicas", "4", "localhost/demo:1")
	link := l.serve(t, "--addr", "10.20.40.1:3227", "--allow-remote-actions")
	known := chromedp.Flag("ignore-certificate-errors", true) // the certificate is of the lab's own making
	acts, looks := open(t, known), open(t, known)
	for _, b := range []*browser{acts, looks} {
		b.timesDrawing(t)
		b.do(t, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(link))
		b.until(t, "three managers, and the tasks", `document.querySelectorAll(".manager").length === 3 && document.querySelectorAll(".box .glyph.running").length === 4`)
		t.Logf("the first picture %s ms after the page was asked for", b.eval(t, `String(window.drawn)`))
		b.do(t, chromedp.Reload())
		b.until(t, "the same after a reload", `window.drawn && document.querySelectorAll(".manager").length === 3`)
		t.Logf("the first picture %s ms after a reload", b.eval(t, `String(window.drawn)`))
	}
	const whole = `document.querySelectorAll(".manager.up").length === 3 && document.querySelector(".manager.leader") && !document.querySelector(".faults.some") && !document.querySelector(".beliefs.differ")`
	box := func(node, is string) string {
		return `[...document.querySelectorAll(".box")].some((b) => b.querySelector("h3").textContent.includes("` + node + `") && ` + is + `)`
	}
	for _, step := range []struct{ line, what, seen string }{
		{"scale web 6", "six tasks", `document.querySelectorAll(".box .glyph.running").length === 6`},
		{"promote w1", "four managers", `document.querySelectorAll(".manager.up").length === 4`},
		{"demote w1", "three managers", `document.querySelectorAll(".manager").length === 3`},
		{"drain w1", "w1 is drained", box("w1", `b.textContent.includes("drain") && !b.querySelector(".glyph.running")`)},
		{"activate w1", "w1 takes tasks again", box("w1", `!b.textContent.includes("drain")`)},
		{"break isolate w1", "the fault", `document.querySelector(".faults.some")?.textContent.includes("isolate w1")`},
		{"heal --all", "no fault", whole},
		{"break loss 30% w1", "the fault", `document.querySelector(".faults.some")?.textContent.includes("loss 30% w1")`},
		{"heal --all", "no fault", whole},
		{"break freeze w1", "its engine hangs", box("w1", `b.classList.contains("silent")`)},
		{"heal --all", "no fault", whole + ` && ` + box("w1", `b.classList.contains("up")`)},
		{"break partition m1", "two ways are cut, and both sides believe what they hear", `document.querySelectorAll(".edge.cut").length === 2 && document.querySelector(".beliefs.differ") && document.querySelector(".manager.leader.up")`},
		{"heal --all", "one side again", whole + ` && !document.querySelector(".edge.cut")`},
		{"halt w1", "w1 is halted", box("w1", `b.classList.contains("halted")`)},
		{"start w1", "w1 is up again", box("w1", `b.classList.contains("up")`)},
	} {
		acts.act(t, step.line)
		looks.until(t, step.line+": "+step.what, step.seen)
	}
	looks.shot(t, "actions")
	l.terminals(t, acts)
	acts.quiet(t)
	looks.quiet(t)
}

// act types a command, sees what it would do, and has it done.
func (b *browser) act(t *testing.T, line string) {
	t.Helper()
	b.do(t, chromedp.KeyEvent(":"), chromedp.SendKeys(chromedp.CSS(".act input"), line+"\r"))
	b.click(t, ".act button", "do it")
	b.until(t, line+" is done", `document.querySelector(".act h3")?.textContent === "done"`)
	b.click(t, ".act button", "close")
}

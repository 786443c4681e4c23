package main

import (
	"context"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The pages in a real browser, opened from the disk as from a memory stick.
func TestInChromium(t *testing.T) {
	folder := t.TempDir()
	if err := run("../..", folder); err != nil {
		t.Fatal(err)
	}
	b := open(t)
	at := func(page string) string { return "file://" + folder + "/" + page }

	// The driver types a slash although the page asks it not to, as no browser does.
	emptied := chromedp.Evaluate[chromedp.Void](`document.querySelector("input").value = ""`)

	// The first result is what is meant, and the keyboard leads to it.
	for _, search := range []struct{ from, typed, title, to string }{
		{"docs/architecture.html", "split brain", "split brain", "docs/tutorial.html#"},
		{"index.html", "cannot-ask", "A question, and no terminal to answer it (cannot-ask)", "docs/troubleshooting.html#"},
		{"docs/commands/dcalab_up.html", "snapshto import", "dcalab snapshot import", "docs/commands/dcalab_snapshot_import.html"}, // a typing error
		{"docs/tutorial.pt-BR.html", "maquinas novas", "3. Máquinas novas", "docs/tutorial.pt-BR.html#3-m"},
		{"docs/tutorial.pt-BR.html", "cannot-ask", "(cannot-ask)", "docs/troubleshooting.html#"}, // in English only
	} {
		t.Run(search.from+" "+search.typed, func(t *testing.T) {
			b.do(t, chromedp.Navigate(at(search.from)),
				chromedp.WaitVisible(chromedp.CSS("input")),
				chromedp.KeyEvent("/"), // focuses
				chromedp.WaitReady(chromedp.CSS("input:focus")),
				emptied,
				chromedp.KeyEvent(search.typed),
				chromedp.WaitVisible(chromedp.CSS("#found li:first-child a")))
			// What was found for the first letters may still be there.
			get(t, b, chromedp.Poll[bool](`document.querySelector("#found").dataset.query === `+strconv.Quote(search.typed)))
			found := get(t, b, chromedp.Text(chromedp.CSS("#found li:first-child b")))
			b.do(t, chromedp.KeyEvent(kb.ArrowDown),
				chromedp.WaitReady(chromedp.CSS("#found li:first-child a:focus")),
				chromedp.KeyEvent(kb.Enter),
				chromedp.WaitNotVisible(chromedp.CSS("#found")),
				chromedp.WaitReady(chromedp.CSS("h1")))
			if where := get(t, b, chromedp.Location()); !strings.Contains(found, search.title) || !strings.HasPrefix(where, at(search.to)) {
				t.Errorf("the first result is %q, which leads to %s", found, where)
			}
		})
	}

	t.Run("nothing found", func(t *testing.T) {
		b.do(t, chromedp.Navigate(at("docs/tutorial.html")),
			chromedp.WaitVisible(chromedp.CSS("input")), chromedp.KeyEvent("/"), chromedp.WaitReady(chromedp.CSS("input:focus")), emptied,
			chromedp.KeyEvent("xyzzyx"), chromedp.WaitVisible(chromedp.CSS("#found")))
		get(t, b, chromedp.Poll[bool](`document.querySelector("#found p").textContent === "Nothing found."`))
		b.do(t, chromedp.KeyEvent(kb.Escape), chromedp.WaitNotVisible(chromedp.CSS("#found")), chromedp.WaitReady(chromedp.CSS("input:not(:focus)")))
	})

	t.Run("language", func(t *testing.T) {
		b.do(t, chromedp.Navigate(at("docs/tutorial.html")),
			chromedp.Click(chromedp.CSS("a.language")), chromedp.WaitReady(chromedp.CSS(`html[lang="pt-BR"] h1`)),
			chromedp.Click(chromedp.CSS("a.language")), chromedp.WaitReady(chromedp.CSS(`html[lang="en"] h1`)),
			chromedp.Navigate(at("docs/architecture.html")), // in English only
			chromedp.Click(chromedp.CSS("a.language")), chromedp.WaitReady(chromedp.CSS(`html[lang="pt-BR"] main.home`)))
	})

	t.Run("copy", func(t *testing.T) {
		b.do(t, chromedp.Navigate(at("docs/commands/dcalab_up.html")), chromedp.WaitReady(chromedp.CSS(".block button")))
		get(t, b, chromedp.Evaluate[bool](`navigator.clipboard.writeText = async (t) => { window.copied = t; };
			[...document.querySelectorAll("pre")].find((p) => p.textContent.startsWith("$ ")).nextSibling.click(); true`))
		if copied := get(t, b, chromedp.Poll[string]("window.copied")); strings.Contains(copied, "$") || !strings.HasPrefix(copied, "dcalab up") {
			t.Errorf("of a transcript, this is copied: %q", copied)
		}
	})

	t.Run("narrow", func(t *testing.T) {
		b.do(t, chromedp.EmulateViewport(360, 740))
		for name := range built(t) {
			if path.Ext(name) != ".html" || strings.HasPrefix(name, "docs/commands/dcalab_") && name != "docs/commands/dcalab_up.html" {
				continue // pages of commands are all alike
			}
			b.do(t, chromedp.Navigate(at(name)))
			if wide := get(t, b, chromedp.Evaluate[int]("document.documentElement.scrollWidth")); wide > 360 {
				t.Errorf("%s is %d pixels wide on a screen of 360", name, wide)
			}
		}
	})

	b.mu.Lock()
	defer b.mu.Unlock()
	for _, said := range b.said {
		t.Errorf("the console has: %s", said)
	}
	for _, url := range b.requested {
		if !strings.HasPrefix(url, "file://"+folder+"/") && !strings.HasPrefix(url, "data:image/svg+xml,") {
			t.Errorf("a page asks for %s", url)
		}
	}
	if !slices.ContainsFunc(b.requested, func(url string) bool { return strings.HasSuffix(url, "/search.pt-BR.js") }) {
		t.Errorf("these requests were seen, and none for search.pt-BR.js: %q", b.requested)
	}
}

// A browser is one tab, with what it asked for and complained of.
type browser struct {
	ctx             context.Context //nolint:containedctx // chromedp's handle of the tab
	mu              sync.Mutex
	said, requested []string
}

// open starts a browser that reaches no network: as root it is in a network
// namespace of its own, else names have no address and its proxy does not
// answer.
func open(t *testing.T) *browser {
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
		chromedp.ExecPath(program), chromedp.UserDataDir(own), chromedp.Env("TMPDIR="+own),
		chromedp.ProxyServer("127.0.0.1:1"), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"),
		chromedp.Flag("disable-component-update", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox, chromedp.ModifyCmdFunc(func(c *exec.Cmd) {
			c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		}))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx}
	err := chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			b.requested = append(b.requested, e.Request.URL)
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
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, struct{}{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// do does steps in the browser.
func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// get asks the browser for something.
func get[T any](t *testing.T, b *browser, a chromedp.Action[T]) T {
	t.Helper()
	value, err := chromedp.Run(b.ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

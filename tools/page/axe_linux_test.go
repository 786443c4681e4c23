package main

import (
	_ "embed"
	"testing"

	"github.com/chromedp/chromedp"
)

//go:embed testdata/axe-core/axe.min.js
var axe string

// accessible holds that axe-core finds nothing wrong with the page as it is, in both
// languages and both themes.
func accessible(t *testing.T, b *browser, what string) {
	t.Helper()
	b.do(t, chromedp.Evaluate[chromedp.Void](axe+";0"))
	for range 2 {
		for range 2 {
			wrong := b.axe(t)
			for try := 0; wrong != "" && try < 10; try++ { // what is drawn may be that of the other theme for a moment
				wrong = b.axe(t)
			}
			if wrong != "" {
				t.Errorf("%s, %s: axe finds:\n%s", what, b.eval(t, `document.documentElement.lang + ", " + (document.documentElement.dataset.theme || "light")`), wrong)
			}
			b.run(t, `document.activeElement?.blur()`) // a terminal takes all keys
			b.do(t, chromedp.KeyEvent("d"))
		}
		b.do(t, chromedp.KeyEvent("g"))
	}
}

// axe is what axe-core finds wrong.
func (b *browser) axe(t *testing.T) string {
	t.Helper()
	b.run(t, `window.found = null; axe.run({ resultTypes: ["violations"] }).then((r) => window.found = r.violations)`)
	b.until(t, "axe has looked", `window.found`)
	return b.eval(t, `found.map((v) => v.id + " (" + v.help + "): " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.any.map((a) => a.message).join(" ")).join(" | ")).join("\n")`)
}

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// built is the site of this repository.
func built(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := build(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// small is a repository of a few documents.
func small(files map[string]string) fs.FS {
	repository := fstest.MapFS{
		".goreleaser.yaml": {Data: []byte("    homepage: &home https://example.org/lab\n")},
		"README.md":        {Data: []byte("# Lab\n\n[Português](README.pt-BR.md) · English\n\nHello\n")},
		"README.pt-BR.md":  {Data: []byte("# Lab\n\nPortuguês · [English](README.md)\n\nOlá\n")},
		"cmd/main.go":      {Data: []byte("package main\n")},
	}
	for name, text := range files {
		repository[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return repository
}

func TestTwoBuildsAreEqual(t *testing.T) {
	one, two := built(t), built(t)
	if !maps.EqualFunc(one, two, func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Error("two builds of the same documents differ")
	}
}

func TestLinksThatLeadNowhereFailTheBuild(t *testing.T) {
	const other = "# Other\n\n## Números e versões\n\n## It's `x`\n\n### Again\n\n### Again\n"
	for text, want := range map[string]string{
		"# A\n\nText\nand [b](b.md).":                      "docs/a.md:4: the link b.md leads nowhere: the repository has no docs/b.md",
		"# A\n\n- one\n- [two](other.md#numeros)":          "docs/a.md:4: the link other.md#numeros leads nowhere: docs/other.md has no such heading",
		"# A\n\n[here](#there)":                            "docs/a.md:3: the link #there leads nowhere: docs/a.md has no such heading",
		"# A\n\n[out](../../x.md)":                         "docs/a.md:3: the link ../../x.md leads nowhere: the repository has no ../x.md",
		"# A\n\n[code](../cmd/main.go#L1)":                 "docs/a.md:3: the link ../cmd/main.go#L1 leads nowhere: cmd/main.go is no page",
		"# A\n\n| a |\n| - |\n| [`x`](x.md) |":             "docs/a.md:5: the link x.md leads nowhere: the repository has no docs/x.md",
		"# A\n\nthe <name> of it":                          "docs/a.md:3: HTML in Markdown: only <br> is allowed; write \\< for the character",
		"# A\n\n![x](x.png)":                               "docs/a.md:3: the image x.png: the repository has no docs/x.png",
		"# A\n\n![](x.png)":                                "docs/a.md:3: the image x.png: it says in no words what it shows",
		"# A\n\n![x](../x.png)":                            "docs/a.md:3: the image ../x.png: it is not below docs",
		"# A\n\n![x](https://example.org/x.png)":           "docs/a.md:3: the image https://example.org/x.png: it is not below docs",
		"Text first\n\n# A":                                "docs/a.md:1: a page begins with its title",
		"# A\n\n[b](b.md)\n\n[c](c.md)":                    "docs/a.md:3: the link b.md leads nowhere: the repository has no docs/b.md\ndocs/a.md:5: the link c.md leads nowhere: the repository has no docs/c.md",
		"# A\n\n[x](other.md#its-x) [y](other.md#again-1)": "",
		"# A<br>\n\n[x](other.md#números-e-versões)":       "",
	} {
		_, err := build(small(map[string]string{"docs/a.md": text, "docs/other.md": other}))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestImages(t *testing.T) {
	files, err := build(small(map[string]string{
		"README.md":            "# Lab\n\n![The page](docs/images/page.png)\n",
		"docs/a.md":            "# A\n\n[![The page](images/page.png)](#a)\n",
		"docs/images/x.png":    "not shown",
		"docs/images/page.png": "pixels",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if string(files["docs/images/page.png"]) != "pixels" || files["docs/images/x.png"] != nil {
		t.Error("the site has not just the images that it shows")
	}
	for name, want := range map[string]string{
		"index.html":  `<img src="docs/images/page.png" alt="The page">`,
		"docs/a.html": `<a href="#a"><img src="images/page.png" alt="The page"></a>`,
	} {
		if !strings.Contains(string(files[name]), want) {
			t.Errorf("%s has no %s:\n%s", name, want, files[name])
		}
	}
}

func TestLinks(t *testing.T) {
	files, err := build(small(map[string]string{
		"docs/a.md":  "# A\n\n[b](../README.md) [c](../cmd) [d](../cmd/main.go) [e](https://example.org/) [f](#g) [g.txt](g.txt) [../README.md](../README.md)\n\n## G\n",
		"docs/g.txt": "<live>\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<a href="../index.html">b</a>`,
		`<a href="https://example.org/lab/tree/main/cmd">c</a>`,
		`<a href="https://example.org/lab/blob/main/cmd/main.go">d</a>`,
		`<a href="https://example.org/">e</a>`,
		`<a href="#g">f</a>`,
		`<a href="g.html">g.txt</a>`,
		`<a href="../index.html">Lab</a>`, // a file's name is replaced by the page's title
	} {
		if !strings.Contains(string(files["docs/a.html"]), want) {
			t.Errorf("docs/a.html lacks %s:\n%s", want, files["docs/a.html"])
		}
	}
	if !strings.Contains(string(files["docs/g.html"]), "&lt;live&gt;") {
		t.Errorf("docs/g.html is not the text:\n%s", files["docs/g.html"])
	}
}

func TestLanguages(t *testing.T) {
	files := built(t)
	for file, wants := range map[string][]string{
		"docs/tutorial.html": {
			`<html lang="en">`, `hreflang="pt-BR" href="tutorial.pt-BR.html"`, `href="tutorial.pt-BR.html" lang="pt-BR" hreflang="pt-BR">Português</a>`,
		},
		"docs/tutorial.pt-BR.html": {
			`<html lang="pt-BR">`, `hreflang="en" href="tutorial.html"`, `lang="en" hreflang="en">English</a>`, `aria-current="page">Tutorial</a>`, `hreflang="en">Arquitetura <small`,
		},
		"docs/architecture.html": {`lang="pt-BR">Esta página só existe em inglês.`, `href="../index.pt-BR.html" lang="pt-BR" hreflang="pt-BR">Português</a>`},
	} {
		for _, want := range wants {
			if !strings.Contains(string(files[file]), want) {
				t.Errorf("%s lacks %s", file, want)
			}
		}
	}
	if strings.Contains(string(files["index.html"]), "Português</a> · English") {
		t.Error("index.html has the link of the README to its twin, too")
	}
}

// Every link and resource is relative and there, but for links to other hosts;
// nothing is loaded from one.
func TestWholeWithoutNetwork(t *testing.T) {
	files := built(t)
	attribute := regexp.MustCompile(`<(\w+)[^>]*? (?:href|src)="([^"]*)"`)
	scripts := regexp.MustCompile(`data-scripts="([^"]*)"`)
	ids := map[string][]string{}
	for name, data := range files {
		for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(string(data), -1) {
			ids[name] = append(ids[name], m[1])
		}
	}
	for name, data := range files {
		if ext := path.Ext(name); ext == ".css" || ext == ".js" && strings.HasPrefix(name, "site") {
			if regexp.MustCompile(`https?:|//[a-z]|@import|url\(`).Match(regexp.MustCompile(`(?m)^\s*//.*$`).ReplaceAll(data, nil)) {
				t.Errorf("%s names another host", name)
			}
		}
		if path.Ext(name) != ".html" {
			continue
		}
		targets := [][]string{}
		for _, m := range attribute.FindAllStringSubmatch(string(data), -1) {
			targets = append(targets, m[1:])
		}
		for _, m := range scripts.FindAllStringSubmatch(string(data), -1) {
			for script := range strings.FieldsSeq(m[1]) {
				targets = append(targets, []string{"script", script})
			}
		}
		for _, m := range targets {
			element, target := m[0], m[1]
			if strings.HasPrefix(target, "data:image/svg+xml,") {
				continue
			}
			if scheme.MatchString(target) || strings.HasPrefix(target, "/") {
				if element != "a" || !strings.HasPrefix(target, "https://") {
					t.Errorf("%s: <%s> of another host: %s", name, element, target)
				}
				continue
			}
			file, anchor, hasAnchor := strings.Cut(target, "#")
			anchor, err := url.PathUnescape(anchor)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if files[to] == nil {
				t.Errorf("%s: there is no %s", name, target)
			} else if hasAnchor && !slices.Contains(ids[to], anchor) {
				t.Errorf("%s: %s has no %s", name, to, anchor)
			}
		}
	}
}

// Every document that the table of the navigation names is there, and every page
// but those of commands is in it, except text files.
func TestNavigation(t *testing.T) {
	for _, g := range navigation() {
		for _, i := range g.items {
			if _, err := os.Stat("../../" + i.file); err != nil {
				t.Errorf("the group %s has %s: %v", g.name.En, i.file, err)
			}
		}
	}
	files, err := build(small(map[string]string{"docs/new.md": "# New things\n", "docs/reference.md": "# Reference\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(files["index.html"]), `<li><a href="docs/new.html">New things</a>`) {
		t.Error("a document that is in no group is not listed")
	}
}

func TestSearchIndex(t *testing.T) {
	files, err := build(small(map[string]string{
		"docs/a.md": "# A\n\nIntro \\<x>.\n\n## Part `one`\n\nText\nof [it](../README.md).\n\n    $ code &\n\n| a | b |\n| - | - |\n| c | d<br>e |\n\n#### Deeper\n\nMore.\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := `(window.dcalab ??= {})["en"] = [{"u":"index.html","p":"Lab","t":"Hello","w":true},` +
		`{"u":"docs/a.html","p":"A","t":"Intro \u003cx\u003e."},` +
		`{"u":"docs/a.html#part-one","p":"A","h":"Part one","t":"Text of it. $ code \u0026 a b c d e Deeper More."}];` + "\n"
	if got := string(files["search.en.js"]); got != want {
		t.Errorf("search.en.js:\n got %s\nwant %s", got, want)
	}
}

func TestCodeBlocks(t *testing.T) {
	files, err := build(small(map[string]string{
		"docs/a.md": "# A\n\n    up   # brings <it> up\n    # a line\n\nand\n\n    $ up\n    a # b\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<code>up   <i># brings &lt;it&gt; up</i>\n<i># a line</i></code>", "<code>$ up\na # b</code>"} {
		if !strings.Contains(string(files["docs/a.html"]), want) {
			t.Errorf("docs/a.html lacks %s:\n%s", want, files["docs/a.html"])
		}
	}
}

// MiniSearch 7.2.0, MIT: dist/umd/index.js and LICENSE.txt of the npm package
// minisearch, whose integrity is
// sha512-dqT2XBYUOZOiC5t2HRnwADjhNS2cecp9u+TJRiJ1Qp/f5qjkeT5APcGPjHw+bz89Ms8Jp+cG4AlE+QZ/QnDglg==
func TestMiniSearchIsThePublishedOne(t *testing.T) {
	for file, want := range map[string]string{
		"minisearch.js":          "03c27931eb603af1d3358579e9885eafdb6a2f5fa9929557b3e77d7e99d06d03",
		"minisearch.LICENSE.txt": "70d37354d6395629fb99edb28cb37a5d356ffa24a48cd02a5def5b83a300a899",
	} {
		data, err := assets.ReadFile("assets/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has the SHA-256 %x", file, sum)
		}
	}
}

func TestRunWritesTheSite(t *testing.T) {
	folder := t.TempDir() + "/site"
	if err := run("../..", folder); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"index.html", "docs/commands/dcalab_up.html", "site.css"} {
		if _, err := os.Stat(folder + "/" + file); err != nil {
			t.Error(err)
		}
	}
}

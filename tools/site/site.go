package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
)

//go:embed assets
var assets embed.FS

// A page is a document of the repository, and what becomes of it.
type page struct {
	file, out string // docs/tutorial.pt-BR.md, docs/tutorial.pt-BR.html
	lang      string
	source    []byte
	doc       ast.Node
	title     string
	twin      *page // the same in the other language
	headings  []*ast.Heading
}

// build makes the site of a repository: files by their path.
func build(repository fs.FS) (map[string][]byte, error) {
	s := site{repository: repository, md: markdown(), pages: map[string]*page{}, images: map[string][]byte{}}
	if err := s.read(); err != nil {
		return nil, err
	}
	if err := s.links(); err != nil {
		return nil, err
	}
	return s.write()
}

type site struct {
	repository fs.FS
	home       string // https://github.com/dcalab/dcalab
	md         goldmark.Markdown
	pages      map[string]*page // by file
	order      []*page          // as the files are sorted
	images     map[string][]byte
}

// homepage is where the release says that the repository is.
var homepage = regexp.MustCompile(`(?m)^\s+homepage: (?:&\w+ )?(https://\S+)$`)

// read parses every document. All errors are given, each with file and line.
func (s *site) read() error {
	release, err := fs.ReadFile(s.repository, ".goreleaser.yaml")
	if err != nil {
		return err
	}
	m := homepage.FindSubmatch(release)
	if m == nil {
		return errors.New(".goreleaser.yaml names no homepage")
	}
	s.home = string(m[1])
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*.txt", "docs/commands/*.md"} {
		found, err := fs.Glob(s.repository, pattern)
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	var wrong []error
	for _, file := range files {
		p := &page{file: file, lang: english, out: strings.TrimSuffix(file, path.Ext(file)) + ".html"}
		if strings.HasSuffix(file, twinSuffix) {
			p.lang = portuguese
		}
		if name, ok := strings.CutPrefix(p.out, "README"); ok {
			p.out = "index" + name
		}
		if p.source, err = fs.ReadFile(s.repository, file); err != nil {
			return err
		}
		if path.Ext(file) == ".txt" {
			p.source = []byte("# " + path.Base(file) + "\n\n    " + strings.ReplaceAll(strings.TrimRight(string(p.source), "\n"), "\n", "\n    ") + "\n")
		}
		if p.doc, err = parse(s.md, p.source); err != nil {
			wrong = append(wrong, fmt.Errorf("%s:%w", file, err))
			continue
		}
		for n := p.doc.FirstChild(); n != nil; n = n.NextSibling() {
			if h, ok := n.(*ast.Heading); ok {
				p.headings = append(p.headings, h)
			}
		}
		if len(p.headings) == 0 || ast.Node(p.headings[0]) != p.doc.FirstChild() || p.headings[0].Level != 1 {
			wrong = append(wrong, fmt.Errorf("%s:1: a page begins with its title", file))
			continue
		}
		p.title = words(p.headings[0], p.source)
		s.pages[file] = p
		s.order = append(s.order, p)
	}
	for file, p := range s.pages {
		if of, ok := strings.CutSuffix(file, twinSuffix); ok && s.pages[of+".md"] != nil {
			p.twin = s.pages[of+".md"]
			p.twin.twin = p
		}
	}
	return errors.Join(wrong...)
}

// links makes links between documents links between pages, and those to other
// files of the repository links to GitHub. Images come along. One that leads
// nowhere is an error.
func (s *site) links() error {
	var wrong []error
	for _, p := range s.order {
		_ = ast.Walk(p.doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			if i, ok := n.(*ast.Image); ok && entering {
				to, err := s.image(p, string(i.Destination), words(i, p.source))
				if err != nil {
					wrong = append(wrong, fmt.Errorf("%s:%d: the image %s: %w", p.file, line(i, p.source), i.Destination, err))
				}
				i.Destination = []byte(to)
			}
			if l, ok := n.(*ast.Link); ok && entering {
				to, err := s.target(p, string(l.Destination))
				if err != nil {
					wrong = append(wrong, fmt.Errorf("%s:%d: the link %s leads nowhere: %w", p.file, line(l, p.source), l.Destination, err))
				}
				l.Destination = []byte(to)
				if at := s.pages[path.Join(path.Dir(p.file), words(l, p.source))]; at != nil {
					// A file's name says nothing to who reads pages.
					l.RemoveChildren(l)
					l.AppendChild(l, ast.NewString([]byte(at.title)))
				}
			}
			return ast.WalkContinue, nil
		})
		// The page has its own link to its twin.
		if first := p.headings[0].NextSibling(); p.twin != nil && first != nil && words(first, p.source) == "Português · English" {
			p.doc.RemoveChild(p.doc, first)
		}
	}
	return errors.Join(wrong...)
}

// target is what a link of a page becomes.
func (s *site) target(from *page, link string) (string, error) {
	if scheme.MatchString(link) {
		return link, nil
	}
	name, anchor, hasAnchor := strings.Cut(link, "#")
	file := from.file
	if name != "" {
		file = path.Join(path.Dir(from.file), name)
	}
	if to := s.pages[file]; to != nil {
		if hasAnchor && !slices.ContainsFunc(to.headings, func(h *ast.Heading) bool { return id(h) == anchor }) {
			return "", fmt.Errorf("%s has no such heading", file)
		}
		if hasAnchor {
			anchor = "#" + anchor
		}
		if to == from {
			return anchor, nil
		}
		return from.to(to.out) + anchor, nil
	}
	info, err := fs.Stat(s.repository, file)
	switch {
	case err != nil:
		return "", errors.New("the repository has no " + file)
	case hasAnchor:
		return "", errors.New(file + " is no page")
	case info.IsDir():
		return s.home + "/tree/main/" + file, nil
	}
	return s.home + "/blob/main/" + file, nil
}

// image takes an image of the repository along, and says where it is for a page.
func (s *site) image(from *page, link, alt string) (string, error) {
	if alt == "" {
		return "", errors.New("it says in no words what it shows")
	}
	file := path.Join(path.Dir(from.file), link)
	if scheme.MatchString(link) || !strings.HasPrefix(file, "docs/") {
		return "", errors.New("it is not below docs")
	}
	data, err := fs.ReadFile(s.repository, file)
	if err != nil {
		return "", errors.New("the repository has no " + file)
	}
	s.images[file] = data
	return from.to(file), nil
}

var scheme = regexp.MustCompile(`^[a-z]+:`)

// to is a path of the site, as it is written in a link of the page.
func (p *page) to(out string) string {
	folder := path.Dir(p.out)
	if folder == "." {
		return out
	}
	if name, ok := strings.CutPrefix(out, folder+"/"); ok {
		return name
	}
	return p.root() + out
}

// root leads to the site's top from the page.
func (p *page) root() string { return strings.Repeat("../", strings.Count(p.out, "/")) }

// write renders the pages, and adds what is beside them.
func (s *site) write() (map[string][]byte, error) {
	files := map[string][]byte{}
	entries, err := assets.ReadDir("assets")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if files[e.Name()], err = assets.ReadFile("assets/" + e.Name()); err != nil {
			return nil, err
		}
	}
	frame, err := template.New("page.html").Parse(string(files["page.html"]))
	if err != nil {
		return nil, err
	}
	delete(files, "page.html")
	maps.Copy(files, s.images)
	for _, p := range s.order {
		var content, whole bytes.Buffer
		if err := s.md.Renderer().Render(&content, p.source, p.doc); err != nil {
			return nil, fmt.Errorf("%s: %w", p.file, err)
		}
		if err := frame.Execute(&whole, s.view(p, content.String())); err != nil {
			return nil, fmt.Errorf("%s: %w", p.file, err)
		}
		files[p.out] = whole.Bytes()
	}
	for _, lang := range []string{english, portuguese} {
		if files["search."+lang+".js"], err = s.index(lang); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// A section is what a search finds: what is below one heading.
type section struct {
	URL     string `json:"u"`
	Page    string `json:"p"`
	Heading string `json:"h,omitempty"` // none: the page's beginning
	Text    string `json:"t"`
	Twin    bool   `json:"w,omitempty"` // it is in the other language as well
}

// index is a script that gives the sections of all pages in a language. It is
// a script, and not JSON, because a page opened from a disk may load no other.
func (s *site) index(lang string) ([]byte, error) {
	var all []section
	for _, p := range s.order {
		if p.lang != lang {
			continue
		}
		at := section{URL: p.out, Page: p.title, Twin: p.twin != nil}
		for n := p.headings[0].NextSibling(); n != nil; n = n.NextSibling() {
			if h, ok := n.(*ast.Heading); ok && h.Level <= 3 {
				all = append(all, at)
				at = section{URL: p.out + "#" + id(h), Page: p.title, Heading: words(h, p.source), Twin: p.twin != nil}
				continue
			}
			at.Text = strings.TrimSpace(at.Text + " " + words(n, p.source))
		}
		all = append(all, at)
	}
	data, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "(window.dcalab ??= {})[%q] = %s;\n", lang, data), nil
}

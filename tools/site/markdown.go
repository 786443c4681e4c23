package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// markdown reads and writes as GitHub does, but for code blocks, tables and
// headings, which get what the pages' style needs.
func markdown() goldmark.Markdown {
	return goldmark.New(
		goldmark.WithExtensions(extension.GFM),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
		goldmark.WithRendererOptions(
			html.WithUnsafe(), // parse refuses all HTML but <br>
			renderer.WithNodeRenderers(util.Prioritized(nodes{}, 1)),
		),
	)
}

// parse reads a document. An error names the line.
func parse(md goldmark.Markdown, source []byte) (ast.Node, error) {
	doc := md.Parser().Parse(text.NewReader(source), parser.WithContext(parser.NewContext(parser.WithIDs(&slugs{used: map[string]int{}}))))
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		raw, ok := n.(*ast.RawHTML)
		switch {
		case !entering:
		case n.Kind() == ast.KindHTMLBlock, ok && string(raw.Segments.Value(source)) != "<br>":
			return ast.WalkStop, fmt.Errorf("%d: HTML in Markdown: only <br> is allowed; write \\< for the character", line(n, source))
		}
		return ast.WalkContinue, nil
	})
	return doc, err
}

// line is the number of the line that a node begins in.
func line(n ast.Node, source []byte) int {
	for ; n != nil; n = n.Parent() {
		start := -1
		if raw, ok := n.(*ast.RawHTML); ok {
			start = raw.Segments.At(0).Start
		}
		_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			if t, ok := n.(*ast.Text); ok && entering && start < 0 {
				start = t.Segment.Start
			}
			return ast.WalkContinue, nil
		})
		if start < 0 && n.Type() == ast.TypeBlock && n.Lines().Len() > 0 {
			start = n.Lines().At(0).Start
		}
		if start >= 0 {
			return 1 + bytes.Count(source[:start], []byte("\n"))
		}
	}
	return 1
}

// slugs are the ids of headings, made as GitHub makes them.
type slugs struct{ used map[string]int }

// Generate implements parser.IDs.
func (s *slugs) Generate(value []byte, _ ast.NodeKind) []byte {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return r
		}
		return -1
	}, strings.ToLower(strings.TrimSpace(string(value))))
	n := s.used[slug]
	s.used[slug]++
	if n > 0 {
		slug = fmt.Sprintf("%s-%d", slug, n)
	}
	return []byte(slug)
}

// Put implements parser.IDs.
func (s *slugs) Put(value []byte) { s.used[string(value)]++ }

// id is the id of a heading.
func id(h *ast.Heading) string {
	value, _ := h.AttributeString("id")
	b, _ := value.([]byte)
	return string(b)
}

// nodes renders what goldmark renders in another way.
type nodes struct{}

// RegisterFuncs implements renderer.NodeRenderer.
func (nodes) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindHeading, heading)
	r.Register(ast.KindCodeBlock, code)
	r.Register(ast.KindFencedCodeBlock, code)
	r.Register(east.KindTable, table)
}

func heading(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	h, _ := n.(*ast.Heading)
	if entering {
		fmt.Fprintf(w, "<h%d id=\"%s\">", h.Level, id(h))
		return ast.WalkContinue, nil
	}
	if h.Level > 1 {
		fmt.Fprintf(w, ` <a class="anchor" href="#%s" aria-hidden="true" tabindex="-1">#</a>`, id(h))
	}
	fmt.Fprintf(w, "</h%d>\n", h.Level)
	return ast.WalkContinue, nil
}

// A block that scrolls can be reached with the keyboard.
func code(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		escaped := util.EscapeHTML(n.Lines().Value(source))
		if !prompt.Match(escaped) {
			escaped = remark.ReplaceAll(escaped, []byte("$1<i>$2</i>"))
		}
		fmt.Fprintf(w, "<pre tabindex=\"0\"><code>%s</code></pre>\n", bytes.TrimRight(escaped, "\n"))
	}
	return ast.WalkSkipChildren, nil
}

var (
	// prompt is what a transcript has, and what is only commands has not.
	prompt = regexp.MustCompile(`(?m)^(\w+)?\$ `)
	// remark is a shell's comment.
	remark = regexp.MustCompile(`(?m)(^|\s)(# .*)$`)
)

func table(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		_, _ = w.WriteString("<div class=\"table\" tabindex=\"0\"><table>\n")
	} else {
		_, _ = w.WriteString("</table></div>\n")
	}
	return ast.WalkContinue, nil
}

// words is the text of a node without its marks, on one line.
func words(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Text:
			if !entering {
				break
			}
			value := n.Segment.Value(source)
			if n.Parent().Kind() != ast.KindCodeSpan {
				value = util.UnescapePunctuations(value)
			}
			b.Write(value)
			if n.SoftLineBreak() || n.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			if entering {
				b.Write(n.Value)
			}
		case *ast.AutoLink:
			if entering {
				b.Write(n.Label(source))
			}
		case *ast.CodeBlock, *ast.FencedCodeBlock:
			if entering {
				b.Write(n.Lines().Value(source))
			}
		case *ast.RawHTML:
			b.WriteByte(' ')
		default:
			if !entering && (n.Type() == ast.TypeBlock || n.Kind() == east.KindTableCell) {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return strings.Join(strings.Fields(b.String()), " ")
}

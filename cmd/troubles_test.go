package cmd

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/trouble"
)

// docs/troubleshooting.md has every trouble that dcalab can give: what the
// catalogue says of it, and the words of the code.
func TestDocsTroubles(t *testing.T) {
	said, checks := readTroubles(t)
	t.Run("the catalogue explains each once, and nothing else", func(t *testing.T) {
		explained := map[string]bool{}
		for _, topic := range trouble.Catalogue() {
			for _, e := range topic.Entries {
				if explained[e.ID] {
					t.Errorf("trouble/catalogue.go has %q twice", e.ID)
				}
				explained[e.ID] = true
				if len(said[e.ID]) == 0 {
					t.Errorf("trouble/catalogue.go explains %q, which nothing gives", e.ID)
				}
				if e.Title == "" || strings.HasSuffix(e.Title, ".") || !strings.HasSuffix(e.Text, ".") {
					t.Errorf("trouble/catalogue.go: %q wants a title without a full stop, and sentences", e.ID)
				}
			}
		}
		for id, places := range said {
			if !explained[id] {
				t.Errorf("%s: trouble/catalogue.go does not explain %q", places[0].at, id)
			}
		}
	})
	t.Run("what the advice calls a command is one", func(t *testing.T) {
		all := commands(t)
		prose := []string{"then", "that", "empties", "needs", "as", "for"}
		for id, places := range said {
			for _, s := range places {
				for _, line := range s.next {
					for _, words := range mentions("    " + line) {
						if wrong := unknown(all, words); wrong != "" && !slices.Contains(prose, wrong) {
							t.Errorf("%s: the advice of %s has %q, which is no command: %s", s.at, id, wrong, line)
						}
					}
				}
			}
		}
	})
	t.Run("the page is current", func(t *testing.T) {
		const file = "../docs/troubleshooting.md"
		want := troublePage(said, checks)
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v; go test ./cmd -run Docs -update writes it", err)
		}
		if diff := gocmp.Diff(want, string(got)); diff != "" {
			t.Errorf("docs/troubleshooting.md is not current (-code +page); go test ./cmd -run Docs -update writes it anew:\n%s", diff)
		}
	})
}

// saying is an error as one place of the code words it. What is known only
// when it happens is a word in capitals, or an ellipsis.
type saying struct {
	id   string
	node bool // a node's name stands in front
	what []string
	why  []string
	next []string
	exit []string
	at   string // file:line
}

// message is the first line of the error; several where the code has several
// reasons.
func (s *saying) messages() []string {
	var out []string
	add := func(what, why string) {
		text := strings.TrimSuffix(strings.TrimPrefix(what+": "+why, ": "), ": ")
		if text != "" && text != ellipsis && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	whats := s.what
	if len(whats) == 0 {
		whats = []string{""}
	}
	for _, what := range whats {
		for _, why := range s.why {
			add(what, why)
		}
		if len(s.why) == 0 {
			add(what, "")
		}
	}
	return out
}

// block is the error as it is printed, as code in Markdown.
func (s *saying) block() string {
	var b strings.Builder
	for _, m := range s.messages() {
		if s.node {
			m = "NODE: " + m
		}
		fmt.Fprintf(&b, "    error: %s\n", strings.ReplaceAll(m, "\n", " "))
	}
	if b.Len() == 0 {
		return ""
	}
	for _, line := range s.next {
		if strings.Trim(line, ellipsis+": ") != "" {
			fmt.Fprintf(&b, "      %s\n", line)
		}
	}
	return b.String()
}

const ellipsis = "…"

// wrapped breaks a paragraph at 80 columns.
func wrapped(text string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		width := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+width > 80:
			b.WriteString("\n")
			column = 0
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += width
	}
	return b.String() + "\n"
}

// troublePage is the page of all troubles.
func troublePage(said map[string][]*saying, checks [][2]string) string {
	var b strings.Builder
	b.WriteString(`# Troubleshooting

What can go wrong, what it means, and what to do. Each entry begins with the
error as dcalab prints it, and what it advises below; words in capitals and …
are placeholders for your own names and for what was found. The id behind the
title is shown with --verbose.

A lab that is stuck in some way that is not here: ` + "`dcalab status`" + ` shows the state of
every node, ` + "`dcalab doctor`" + ` checks this machine and a swarm that was left alone
too long, ` + "`dcalab swarm bootstrap`" + ` repairs what can be repaired from any state, and
` + "`dcalab logs --bundle lab.tar.gz`" + ` packs what someone who helps you needs. ` + "`dcalab reset`" + ` makes
clean nodes of the same machines.

Vagrant's own failures have a page of their own: [vagrant-failures.md](vagrant-failures.md).
What exit statuses mean: [reference](reference.md#exit-statuses).

Written from the catalogue in trouble/catalogue.go and the errors in the code by
` + "`go test ./cmd -run Docs -update`" + `.
`)
	for _, topic := range trouble.Catalogue() {
		fmt.Fprintf(&b, "\n## %s\n", topic.Title)
		if topic.About != "" {
			b.WriteString("\n" + wrapped(topic.About))
		}
		for _, e := range topic.Entries {
			fmt.Fprintf(&b, "\n### %s (%s)\n\n", e.Title, e.ID)
			shown := map[string]bool{}
			for _, s := range said[e.ID] {
				if block := s.block(); !shown[block] {
					shown[block] = true
					b.WriteString(block)
				}
			}
			if !strings.HasSuffix(b.String(), "\n\n") {
				b.WriteString("\n")
			}
			b.WriteString(wrapped(prose.Replace(e.Text) + " Exit status " + exits(said[e.ID]) + "."))
			if e.ID == "preflight" {
				b.WriteString("\n| id | what is looked at |\n| --- | --- |\n")
				for _, c := range checks {
					fmt.Fprintf(&b, "| %s | %s |\n", c[0], c[1])
				}
			}
		}
	}
	return b.String()
}

// exits are the statuses that a trouble ends with.
func exits(places []*saying) string {
	names := map[string]int{
		"trouble.ExitOK": trouble.ExitOK, "trouble.ExitFailure": trouble.ExitFailure, "trouble.ExitUsage": trouble.ExitUsage,
		"trouble.ExitConfig": trouble.ExitConfig, "trouble.ExitRequirement": trouble.ExitRequirement, "trouble.ExitRefused": trouble.ExitRefused,
		"trouble.ExitUnfinished": trouble.ExitUnfinished, "trouble.ExitInterrupted": trouble.ExitInterrupted,
	}
	found := map[int]bool{}
	for _, s := range places {
		if len(s.exit) == 0 {
			found[trouble.ExitFailure] = true
		}
		for _, e := range s.exit {
			found[names[e]] = true
		}
	}
	var out []string
	for _, n := range slices.Sorted(maps.Keys(found)) {
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, " or ")
}

// readTroubles reads the program's source for what it says when something
// goes wrong, by id, and for the checks that dcalab up makes first.
func readTroubles(t *testing.T) (map[string][]*saying, [][2]string) {
	t.Helper()
	r := reader{files: token.NewFileSet(), checks: map[string]string{}}
	packages := map[string][]*ast.File{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (d.Name() == "tools" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(r.files, path, nil, parser.SkipObjectResolution)
		packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		r.folder = packages[dir]
		for _, file := range r.folder {
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
					r.function(f)
				}
			}
		}
	}
	for _, at := range r.unread {
		// Vagrant's failures have a catalogue and a page of their own.
		if !strings.HasPrefix(at, "../machine/vagrant/failure.go:") {
			t.Errorf("%s: the id of this error is not a constant, nor an argument of one call", at)
		}
	}
	byID := map[string][]*saying{}
	for _, s := range r.all {
		if s.id == "" || strings.Contains(s.id, ellipsis) {
			continue // it passes another error on, or has the id of a check
		}
		same := slices.ContainsFunc(byID[s.id], func(o *saying) bool {
			return o.node == s.node && slices.Equal(o.messages(), s.messages()) && slices.Equal(o.next, s.next) && slices.Equal(o.exit, s.exit)
		})
		if !same {
			byID[s.id] = append(byID[s.id], s)
		}
	}
	var checks [][2]string
	for _, id := range slices.Sorted(maps.Keys(r.checks)) {
		checks = append(checks, [2]string{id, r.checks[id]})
	}
	return byID, checks
}

type reader struct {
	files  *token.FileSet
	folder []*ast.File // of the package at hand
	inside *ast.FuncDecl
	all    []*saying
	unread []string // errors whose id is not to be found out
	checks map[string]string
}

// function reads one function and the functions in it.
func (r *reader) function(f *ast.FuncDecl) {
	r.inside = f
	named := map[*ast.CompositeLit]string{} // the variable that holds an error
	ast.Inspect(f, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
			if u, ok := a.Rhs[0].(*ast.UnaryExpr); ok {
				if lit, ok := u.X.(*ast.CompositeLit); ok {
					named[lit] = r.source(a.Lhs[0])
				}
			}
		}
		return true
	})
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		kind := r.source(lit.Type)
		if kind == "Error" && strings.HasPrefix(r.files.Position(lit.Pos()).Filename, "../trouble/") {
			kind = "trouble.Error"
		}
		switch kind {
		case "machine.Check":
			if !strings.HasPrefix(r.files.Position(lit.Pos()).Filename, "../machine/") {
				break // doctor's own
			}
			fields := fieldsOf(lit)
			if id := r.texts(fields["ID"], 0); len(id) == 1 && !strings.Contains(id[0], ellipsis) {
				what := strings.TrimSpace(strings.ReplaceAll(strings.Join(r.texts(fields["What"], 0), ""), ellipsis, ""))
				r.checks[id[0]] = cmp.Or(what, r.checks[id[0]])
			}
		case "trouble.Error":
			r.literal(f, lit, named[lit])
		}
		return true
	})
}

func fieldsOf(lit *ast.CompositeLit) map[string]ast.Expr {
	out := map[string]ast.Expr{}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			out[kv.Key.(*ast.Ident).Name] = kv.Value
		}
	}
	return out
}

// literal reads an error, and what is done to it afterwards where a variable
// holds it.
func (r *reader) literal(f *ast.FuncDecl, lit *ast.CompositeLit, variable string) {
	fields := fieldsOf(lit)
	position := r.files.Position(lit.Pos())
	blank := func() *saying {
		s := &saying{at: fmt.Sprintf("%s:%d", position.Filename, position.Line)}
		s.what, s.why, s.next = r.texts(fields["What"], 0), r.texts(fields["Why"], 0), r.texts(fields["Next"], 0)
		s.node = fields["Where"] != nil && r.text(fields["Where"]) == "NODE"
		if e := fields["Exit"]; e != nil {
			s.exit = []string{"trouble." + strings.TrimPrefix(r.source(e), "trouble.")}
		}
		return s
	}
	s := blank()
	r.all = append(r.all, s)
	switch ids := r.texts(fields["ID"], 0); {
	case len(ids) == 1 && ids[0] != "usage":
		s.id = ids[0]
		if r.forwards(f, lit, fields) {
			r.all = r.all[:len(r.all)-1]
			for _, c := range r.calls(f, lit) {
				r.inside = c.within
				one := *s
				one.why, one.next = c.texts(r, fields["Why"], s.why), c.texts(r, fields["Next"], s.next)
				r.all = append(r.all, &one)
			}
			r.inside = f
		}
	case len(ids) == 1:
		s.id, s.what, s.why, s.next = ids[0], nil, nil, nil // too many to show
	case fields["ID"] != nil: // a parameter
		r.all = r.all[:len(r.all)-1]
		before := len(r.all)
		defer func() {
			if len(r.all) == before {
				r.unread = append(r.unread, s.at)
			}
		}()
		for _, c := range r.calls(f, lit) {
			r.inside = c.within
			if id := c.texts(r, fields["ID"], nil); len(id) == 1 {
				one := *s
				one.id, one.why, one.next = id[0], c.texts(r, fields["Why"], s.why), c.texts(r, fields["Next"], s.next)
				r.all = append(r.all, &one)
			}
		}
		r.inside = f
	}
	if variable == "" {
		return
	}
	var walk func(list []ast.Stmt, s *saying)
	walk = func(list []ast.Stmt, s *saying) {
		for _, stmt := range list {
			a, ok := stmt.(*ast.AssignStmt)
			if !ok {
				for _, inner := range bodies(stmt) {
					walk(inner, s)
				}
				continue
			}
			for i, left := range a.Lhs {
				field, ok := strings.CutPrefix(r.source(left), variable+".")
				if !ok || len(a.Rhs) != len(a.Lhs) || a.Pos() < lit.Pos() {
					continue
				}
				texts := r.texts(a.Rhs[i], 0)
				switch field {
				case "ID":
					if len(texts) == 1 && !strings.Contains(texts[0], ellipsis) {
						other := *blank()
						other.id, other.why, other.next = texts[0], nil, nil
						s = &other
						r.all = append(r.all, s)
					}
				case "Why":
					if a.Tok == token.ADD_ASSIGN {
						break // words after the others
					}
					s.why = append(slices.Clone(s.why), texts...)
				case "Next":
					for _, line := range texts {
						if !slices.Contains(s.next, line) {
							s.next = append(slices.Clone(s.next), line)
						}
					}
				case "Exit":
					if len(s.exit) == 0 {
						s.exit = []string{"trouble.ExitFailure"}
					}
					s.exit = append(slices.Clone(s.exit), r.source(a.Rhs[i]))
				}
			}
		}
	}
	walk(f.Body.List, s)
}

// bodies are the lists of statements in a statement.
func bodies(stmt ast.Stmt) [][]ast.Stmt {
	switch s := stmt.(type) {
	case *ast.BlockStmt:
		return [][]ast.Stmt{s.List}
	case *ast.IfStmt:
		out := [][]ast.Stmt{s.Body.List}
		if s.Else != nil {
			out = append(out, bodies(s.Else)...)
		}
		return out
	case *ast.ForStmt:
		return bodies(s.Body)
	case *ast.RangeStmt:
		return bodies(s.Body)
	case *ast.SwitchStmt:
		return clauses(s.Body)
	case *ast.TypeSwitchStmt:
		return clauses(s.Body)
	}
	return nil
}

func clauses(body *ast.BlockStmt) [][]ast.Stmt {
	var out [][]ast.Stmt
	for _, s := range body.List {
		if c, ok := s.(*ast.CaseClause); ok {
			out = append(out, c.Body)
		}
	}
	return out
}

// call is a call of the function that makes an error of its parameters.
type call struct {
	within *ast.FuncDecl
	args   map[string][]ast.Expr // by parameter
}

// texts are those of the argument that an expression names, else what is
// known without the call.
func (c call) texts(r *reader, e ast.Expr, otherwise []string) []string {
	if id, ok := e.(*ast.Ident); ok {
		if args, ok := c.args[id.Name]; ok {
			var out []string
			for _, a := range args {
				out = append(out, r.texts(a, 0)...)
			}
			return out
		}
	}
	return otherwise
}

// maker is the innermost function around a literal, with the name that it is
// called by.
func (r *reader) maker(f *ast.FuncDecl, lit *ast.CompositeLit) (string, *ast.FuncType) {
	name, kind := f.Name.Name, f.Type
	ast.Inspect(f, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Rhs) != 1 {
			return true
		}
		if inner, ok := a.Rhs[0].(*ast.FuncLit); ok && inner.Pos() <= lit.Pos() && lit.End() <= inner.End() {
			name, kind = r.source(a.Lhs[0]), inner.Type
		}
		return true
	})
	return name, kind
}

// forwards tells whether a literal takes its words from parameters.
func (r *reader) forwards(f *ast.FuncDecl, lit *ast.CompositeLit, fields map[string]ast.Expr) bool {
	_, kind := r.maker(f, lit)
	for _, key := range []string{"ID", "Why", "Next"} {
		if id, ok := fields[key].(*ast.Ident); ok {
			for _, p := range kind.Params.List {
				if slices.ContainsFunc(p.Names, func(n *ast.Ident) bool { return n.Name == id.Name }) {
					return true
				}
			}
		}
	}
	return false
}

// calls finds the calls, in this package, of the function that a literal is in.
func (r *reader) calls(f *ast.FuncDecl, lit *ast.CompositeLit) []call {
	name, kind := r.maker(f, lit)
	var params []string
	variadic := -1
	for _, p := range kind.Params.List {
		for _, n := range p.Names {
			if _, ok := p.Type.(*ast.Ellipsis); ok {
				variadic = len(params)
			}
			params = append(params, n.Name)
		}
	}
	var out []call
	for _, file := range r.folder {
		for _, d := range file.Decls {
			within, ok := d.(*ast.FuncDecl)
			if !ok || within.Body == nil || name != f.Name.Name && within != f {
				continue
			}
			ast.Inspect(within, func(n ast.Node) bool {
				c, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				switch called := c.Fun.(type) {
				case *ast.Ident:
					if called.Name != name {
						return true
					}
				case *ast.SelectorExpr:
					if called.Sel.Name != name {
						return true
					}
				default:
					return true
				}
				args := map[string][]ast.Expr{}
				for i, p := range params {
					switch {
					case i == variadic && i < len(c.Args):
						args[p] = c.Args[i:]
					case i < len(c.Args) && i != variadic:
						args[p] = c.Args[i : i+1]
					}
				}
				out = append(out, call{within, args})
				return true
			})
		}
	}
	return out
}

// texts are the texts that an expression may come to: one, the lines of a
// list, or what a variable of the function is given somewhere in it.
func (r *reader) texts(e ast.Expr, deep int) []string {
	if e == nil || deep > 3 {
		return nil
	}
	switch e := e.(type) {
	case *ast.CompositeLit:
		var out []string
		for _, line := range e.Elts {
			out = append(out, r.text(line))
		}
		return out
	case *ast.CallExpr:
		if r.source(e.Fun) == "append" {
			var out []string
			for _, a := range e.Args[1:] {
				if !e.Ellipsis.IsValid() {
					out = append(out, r.text(a))
				}
			}
			return append(r.texts(e.Args[0], deep+1), out...)
		}
	case *ast.Ident:
		var out []string
		ast.Inspect(r.inside, func(n ast.Node) bool {
			a, ok := n.(*ast.AssignStmt)
			if !ok || len(a.Lhs) != len(a.Rhs) || a.Tok == token.ADD_ASSIGN {
				return true
			}
			for i, left := range a.Lhs {
				id, ok := left.(*ast.Ident)
				if !ok || id.Name != e.Name {
					continue
				}
				if c, ok := a.Rhs[i].(*ast.CallExpr); ok && r.source(c.Fun) == "append" && r.source(c.Args[0]) == e.Name {
					for _, line := range c.Args[1:] {
						out = append(out, r.text(line))
					}
				} else if !r.mentions(a.Rhs[i], e.Name) {
					out = append(out, r.texts(a.Rhs[i], deep+1)...)
				}
			}
			return true
		})
		return out
	}
	if t := r.text(e); t != ellipsis && t != "" {
		return []string{t}
	}
	return nil
}

func (r *reader) mentions(e ast.Expr, name string) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == name
		return true
	})
	return found
}

// text is one text as the source puts it together.
func (r *reader) text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	case *ast.BinaryExpr:
		return joints.ReplaceAllString(r.text(e.X)+r.text(e.Y), ellipsis)
	case *ast.ParenExpr:
		return r.text(e.X)
	case *ast.CallExpr:
		if r.source(e.Fun) == "fmt.Sprintf" {
			next := 0
			return verb.ReplaceAllStringFunc(r.text(e.Args[0]), func(v string) string {
				if v == "%%" {
					return "%"
				}
				if next++; next >= len(e.Args) {
					return ellipsis
				}
				if strings.HasSuffix(v, "q") {
					return `"` + r.text(e.Args[next]) + `"`
				}
				return r.text(e.Args[next])
			})
		}
	}
	switch s := r.source(e); s {
	case "node", "n.Name", "c.Name()", "ep.Node", "m.name", "n.name", "nodes[0].Name", "nodes[0]", "c.Name":
		return "NODE"
	case "s.Lab().Name", "o.Lab().Name", "f.Lab().Name", "s.of.Lab().Name", "s.lab.Name", "d.lab.Name", "d.cfg.Lab.Name", "p.mine.Lab", "l.Name", "s.lab", "c.Lab":
		return "LAB"
	case "name", "s.Name", "a.name", "s.name", "r.name":
		return "NAME"
	case "path", "full", "file":
		return "FILE"
	case "source", "l.Source":
		return "IMAGE"
	case "arch":
		return "ARCH"
	case "c.endpoint.User", "c.Endpoint().User", "ep.User":
		return "USER"
	case "FileName", "f.name":
		return "labs.yaml"
	}
	return ellipsis
}

var (
	verb   = regexp.MustCompile(`%[-+#0-9.]*[a-z%]`)
	joints = regexp.MustCompile(ellipsis + `\s*(` + ellipsis + `\s*)+`)
)

func (r *reader) source(n ast.Node) string {
	if n == nil {
		return ""
	}
	var b bytes.Buffer
	_ = printer.Fprint(&b, r.files, n)
	return b.String()
}

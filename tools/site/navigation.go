package main

import (
	"html/template"
	"path"
	"slices"
	"strings"

	"github.com/yuin/goldmark/ast"
)

// Languages, and how the names of documents in the second one end.
const (
	english    = "en"
	portuguese = "pt-BR"
	twinSuffix = ".pt-BR.md"
)

// A name is in both languages.
type name struct{ En, Pt string }

func (n name) in(lang string) string {
	if lang == portuguese {
		return n.Pt
	}
	return n.En
}

// A group of the navigation.
type group struct {
	name  name
	items []item
}

// An item is a document, by the file in English.
type item struct {
	file string
	name name
}

const (
	home     = "README.md"
	commands = "docs/commands/dcalab.md"
)

// navigation is what pages are listed, in what order. Documents that it does
// not have go to the end of the group Reference, by their titles.
func navigation() []group {
	return []group{
		{name{"Start", "Começar"}, []item{
			{home, name{"Overview", "Visão geral"}},
			{"docs/windows.md", name{"On Windows", "No Windows"}},
			{"docs/macos.md", name{"On macOS", "No macOS"}},
		}},
		{name{"Learn", "Aprender"}, []item{
			{"docs/tutorial.md", name{"Tutorial", "Tutorial"}},
			{"docs/troubleshooting.md", name{"Troubleshooting", "Solução de problemas"}}, //nolint:misspell // Portuguese
		}},
		{name{"Reference", "Referência"}, []item{
			{commands, name{"Commands", "Comandos"}}, //nolint:misspell // Portuguese
			{"docs/reference.md", name{"Settings, files, output", "Configurações, arquivos, saída"}},
			{"docs/security.md", name{"Security", "Segurança"}},
			{"CHANGELOG.md", name{"Changelog", "Histórico de mudanças"}},
		}},
		{name{"Teach", "Ensinar"}, []item{
			{"docs/teachers.md", name{"A class of thirty", "Uma turma de trinta"}},
		}},
		{name{"Inside", "Por dentro"}, []item{
			{"docs/architecture.md", name{"Architecture", "Arquitetura"}},
			{"docs/benchmarks.md", name{"Benchmarks", "Desempenho"}},
			{"docs/vagrant-failures.md", name{"Vagrant's failures", "Falhas do Vagrant"}},
			{"CONTRIBUTING.md", name{"Contributing", "Como contribuir"}},
			{"SECURITY.md", name{"Security policy", "Política de segurança"}},
		}},
	}
}

// A view is what page.html shows.
type view struct {
	Lang, Title, Root string
	Heading, Content  template.HTML
	Home              bool
	Groups            []viewGroup
	Contents          []link // of the page's headings
	Other             link   // the page in the other language, or that language's home
	Translated        bool
	Source            string // on GitHub
	Text              map[string]string
	Scripts           string // of the search
}

type viewGroup struct {
	Name  string
	Links []link
}

type link struct {
	URL, Name, Lang string
	Current         bool
	Level           int
	Links           []link
}

func (s *site) view(p *page, content string) view {
	heading, rest, _ := strings.Cut(content, "</h1>\n")
	v := view{
		Lang: p.lang, Title: p.title, Root: p.root(),
		Heading:  template.HTML(heading + "</h1>"),
		Content:  template.HTML(rest),
		Home:     strings.HasPrefix(p.file, "README"),
		Groups:   s.groups(p),
		Contents: contents(p),
		Source:   s.home + "/blob/main/" + p.file,
		Scripts:  p.root() + "minisearch.js " + p.root() + "search.en.js",
		Text:     map[string]string{},
	}
	for key, n := range texts() {
		v.Text[key] = n.in(p.lang)
	}
	if p.lang == portuguese {
		v.Scripts += " " + p.root() + "search.pt-BR.js"
	}
	switch {
	case p.twin != nil:
		v.Translated = true
		v.Other = link{URL: p.to(p.twin.out), Lang: p.twin.lang, Name: languageName(p.twin.lang)}
	case p.lang == english:
		if start := s.pages[home]; start != nil && start.twin != nil {
			v.Other = link{URL: p.to(start.twin.out), Lang: portuguese, Name: languageName(portuguese)}
		}
	}
	return v
}

func languageName(lang string) string {
	return name{"English", "Português"}.in(lang)
}

// groups is the navigation as it is on a page: in its language, with links
// to pages in English where there are no others.
func (s *site) groups(p *page) []viewGroup {
	listed := map[string]bool{}
	all := navigation()
	for _, g := range all {
		for _, i := range g.items {
			listed[i.file] = true
		}
	}
	for _, other := range s.order {
		if !listed[other.file] && other.lang == english && path.Dir(other.file) != path.Dir(commands) && path.Ext(other.file) == ".md" {
			for k := range all {
				if all[k].name.En == "Reference" {
					all[k].items = append(all[k].items, item{other.file, name{other.title, other.title}})
				}
			}
		}
	}
	var groups []viewGroup
	for _, g := range all {
		vg := viewGroup{Name: g.name.in(p.lang)}
		for _, i := range g.items {
			to := s.pages[i.file]
			if to == nil {
				continue
			}
			if p.lang == portuguese && to.twin != nil {
				to = to.twin
			}
			l := link{URL: p.to(to.out), Name: i.name.in(p.lang), Lang: to.lang, Current: to == p}
			if i.file == commands && path.Dir(p.file) == path.Dir(commands) {
				l.Links = s.commands(p)
			}
			vg.Links = append(vg.Links, l)
		}
		if len(vg.Links) > 0 {
			groups = append(groups, vg)
		}
	}
	return groups
}

// commands are the pages of the commands.
func (s *site) commands(p *page) []link {
	var all []link
	for _, c := range s.order {
		if path.Dir(c.file) == path.Dir(commands) && c.file != commands {
			all = append(all, link{URL: p.to(c.out), Name: strings.TrimPrefix(c.title, "dcalab "), Lang: c.lang, Current: c == p})
		}
	}
	slices.SortFunc(all, func(a, b link) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// contents are the headings of a page, those of the third level only where
// they are few.
func contents(p *page) []link {
	deepest := 3
	if len(p.headings) > 30 {
		deepest = 2
	}
	var all []link
	for _, h := range p.headings {
		if h.Level > 1 && h.Level <= deepest {
			all = append(all, link{URL: "#" + id(h), Name: words(ast.Node(h), p.source), Level: h.Level})
		}
	}
	if len(all) < 5 {
		return nil
	}
	return all
}

// texts are the words that pages have beside their document.
func texts() map[string]name {
	return map[string]name{
		"skip":     {"Skip to the text", "Ir para o texto"},
		"menu":     {"Menu", "Menu"},
		"pages":    {"Pages", "Páginas"},
		"search":   {"Search", "Buscar"},
		"key":      {"key /", "tecla /"},
		"none":     {"Nothing found.", "Nada encontrado."},
		"one":      {"1 result", "1 resultado"},
		"many":     {"# results", "# resultados"},
		"failed":   {"The search could not be loaded.", "Não foi possível carregar a busca."},
		"contents": {"On this page", "Nesta página"},
		"english":  {"in English", "em inglês"},
		"copy":     {"Copy", "Copiar"},
		"copied":   {"Copied", "Copiado"},
		"source":   {"This page on GitHub", "Esta página no GitHub"},
		"license":  {"Apache License 2.0. Search by MiniSearch", "Licença Apache 2.0. Busca feita com MiniSearch"},
	}
}

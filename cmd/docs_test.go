package cmd

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/viper"
)

var update = flag.Bool("update", false, "write docs/commands, docs/man and docs/troubleshooting.md anew")

// A page in two languages has the same outline in both: headings, code, table
// rows, list items and links, in the same order.
func TestDocsTranslationsAreInStep(t *testing.T) {
	for english, portuguese := range translations(t) {
		want, got := outline(read(t, english)), outline(read(t, portuguese))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-) and %s (+) differ:\n%s", english, portuguese, diff)
		}
	}
}

// Each of the two links to the other within its first lines, and elsewhere
// links to pages of its own language.
func TestDocsTranslationsLinkToEachOther(t *testing.T) {
	pairs := translations(t)
	for english, portuguese := range pairs {
		for file, other := range map[string]string{english: portuguese, portuguese: english} {
			lines := strings.SplitAfterN(read(t, file), "\n", 6)
			head, rest := strings.Join(lines[:5], ""), lines[5]
			if !slices.Contains(links(head), filepath.Base(other)) {
				t.Errorf("the first lines of %s do not link to %s", file, filepath.Base(other))
			}
			for _, target := range links(rest) {
				path, _, _ := strings.Cut(target, "#")
				path = filepath.Join(filepath.Dir(file), path)
				own, isEnglish := pairs[path]
				if file == portuguese && isEnglish {
					t.Errorf("%s links to %s, which is also in Portuguese: %s", file, target, own)
				}
				if file == english && strings.HasSuffix(path, translated) {
					t.Errorf("%s links to %s, which is in Portuguese", file, target)
				}
			}
		}
	}
}

func TestDocsOutline(t *testing.T) {
	const text = "# One\n\nProse, [a link](x.md#y).\n\n    up  # bring it up\n\n    $ up   # not a comment, but output\n\n" +
		"- an item\n  of two lines\n1. [another](z.pt-BR.md)\n\n| a | b |\n| - | - |\n\n    # a whole line\n    down\n## Two\n"
	want := []string{
		"#", "link x.md",
		"    up #", "", "    $ up   # not a comment, but output", "",
		"-", "1.", "link z.md", "| 2", "| 2",
		"    # a whole line", "    down", "", "##",
	}
	if diff := cmp.Diff(want, outline(text)); diff != "" {
		t.Errorf("outline (-want +got):\n%s", diff)
	}
	for name, other := range map[string]string{
		"a heading of another level": strings.Replace(text, "## Two", "### Two", 1),
		"a heading less":             strings.Replace(text, "## Two", "Two", 1),
		"another command":            strings.Replace(text, "    up ", "    start ", 1),
		"a command without comment":  strings.Replace(text, "  # bring it up", "", 1),
		"other output":               strings.Replace(text, "but output", "mas saída", 1),
		"blocks run together":        strings.Replace(text, "up\n\n    $ up", "up\n    $ up", 1),
		"a row less":                 strings.Replace(text, "| - | - |\n", "", 1),
		"a column less":              strings.Replace(text, "| a | b |", "| a |", 1),
		"an item less":               strings.Replace(text, "- an item", "an item", 1),
		"another link":               strings.Replace(text, "x.md", "w.md", 1),
	} {
		if cmp.Equal(want, outline(other)) {
			t.Errorf("%s passes for the same", name)
		}
	}
	for name, other := range map[string]string{
		"other prose":         strings.Replace(text, "Prose, ", "Mais texto,\nem linhas, ", 1),
		"a comment":           strings.Replace(text, "# bring it up", "# sobe", 1),
		"a heading's words":   strings.Replace(text, "# One", "# Um", 1),
		"a page's other twin": strings.Replace(text, "z.pt-BR.md", "z.md", 1),
	} {
		if diff := cmp.Diff(want, outline(other)); diff != "" {
			t.Errorf("%s is taken for a difference:\n%s", name, diff)
		}
	}
}

// Every command that a user may call is in the reference's table.
func TestDocsReferenceHasEveryCommand(t *testing.T) {
	listed := referenceTable(read(t, "docs/reference.md"))
	for path, c := range commands(t) {
		if path != pathOf(c) || c.Hidden || isGroup(c) || cobras(path) {
			continue
		}
		if !slices.Contains(listed, path) {
			t.Errorf("docs/reference.md: the table of commands lacks %q", path)
		}
	}
}

// What the documents call a command is one.
func TestDocsNameRealCommands(t *testing.T) {
	all := commands(t)
	for _, path := range referenceTable(read(t, "docs/reference.md")) {
		if _, ok := all[path]; !ok {
			t.Errorf("docs/reference.md: the table of commands has %q, which is none", path)
		}
	}
	for _, file := range documents(t, "docs") {
		if file == "docs/troubleshooting.md" {
			continue // the words are the code's; TestDocsTroubles looks at the commands in them
		}
		for _, words := range mentions(read(t, file)) {
			if wrong := unknown(all, words); wrong != "" {
				t.Errorf("%s: there is no command %q (in %q)", file, wrong, "dcalab "+strings.Join(words, " "))
			}
		}
	}
	for path, c := range all {
		for _, words := range mentions(markdown(c.Example)) {
			if wrong := unknown(all, words); wrong != "" {
				t.Errorf("%s: its example has %q, which is no command", path, wrong)
			}
		}
	}
}

// What the documents link to is there: files, and headings in them.
func TestDocsLinksLeadSomewhere(t *testing.T) {
	for _, file := range documents(t, "docs", "docs/commands") {
		for _, link := range links(read(t, file)) {
			target, heading, _ := strings.Cut(link, "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := file
			if target != "" {
				path = filepath.Join(filepath.Dir(file), target)
			}
			if _, err := os.Stat(filepath.Join("..", path)); err != nil {
				t.Errorf("%s links to %s: %v", file, link, err)
			} else if heading != "" && !slices.Contains(anchors(read(t, path)), heading) {
				t.Errorf("%s links to %s, and %s has no such heading", file, link, path)
			}
		}
	}
}

// docs/commands has a page for each command, made of its help.
func TestDocsCommandPagesAreCurrent(t *testing.T) {
	pages := map[string]string{}
	for path, c := range commands(t) {
		if path == pathOf(c) && !c.Hidden && !cobras(path) {
			pages[pageOf(c)] = page(c)
		}
	}
	current(t, "docs/commands", pages)
}

// docs/man has the same as man pages.
func TestDocsManPagesAreCurrent(t *testing.T) {
	pages := map[string]string{}
	for path, c := range commands(t) {
		if path == pathOf(c) && !c.Hidden && !cobras(path) {
			pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"] = manual(t, c)
		}
	}
	current(t, "docs/man", pages)
}

// Every command that does something says what for, shows an example, and
// says what it touches.
func TestDocsHelpTeaches(t *testing.T) {
	used := map[string]bool{}
	for path, c := range commands(t) {
		if path != pathOf(c) || c.Hidden || cobras(path) {
			continue
		}
		if words := len(strings.Fields(c.Long)); words < 12 {
			t.Errorf("dcalab %s: its purpose is told in %d words", path, words)
		}
		for line := range strings.Lines(c.Long) {
			if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("dcalab %s: wider than 80 columns: %s", path, line)
			}
		}
		if !c.HasExample() {
			t.Errorf("dcalab %s --help has no example", path)
		}
		if isGroup(c) {
			continue
		}
		if c.Annotations[touchesKey] == "" {
			t.Errorf("dcalab %s does not say what it touches: cmd/touches", path)
		}
		used[path] = true
		text, err := helpTexts.ReadFile("examples/" + exampleFile(c))
		if err != nil {
			t.Errorf("dcalab %s has no example: %v", path, err)
		} else if !strings.Contains(string(text), "$ dcalab "+path) && !strings.Contains(string(text), "$ dcalab -q "+path) {
			t.Errorf("cmd/examples/%s shows no dcalab %s", exampleFile(c), path)
		}
		var help strings.Builder
		c.SetOut(&help)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		if want := "\nTouches:\n" + c.Annotations[touchesKey] + "\n\nUsage:\n"; !strings.Contains(help.String(), want) {
			t.Errorf("dcalab %s --help does not say what it touches", path)
		}
	}
	files, err := helpTexts.ReadDir("touches")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := strings.ReplaceAll(strings.TrimSuffix(f.Name(), ".txt"), "_", " ")
		if !used[path] && !strings.HasPrefix(path, "shared ") {
			t.Errorf("cmd/touches/%s is of no command", f.Name())
		}
		for line := range strings.Lines(touches(path)) {
			if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("cmd/touches/%s: wider than 80 columns: %s", f.Name(), line)
			}
		}
	}
}

// current compares a folder, from the repository's top, with what it should
// hold; -update makes it so.
func current(t *testing.T, place string, pages map[string]string) {
	t.Helper()
	folder := "../" + place
	if *update {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range pages {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := pages[file.Name()]; !ok {
			t.Errorf("%s/%s is of no command; go test ./cmd -run Docs -update removes it", place, file.Name())
		}
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Errorf("%v; go test ./cmd -run Docs -update writes it", err)
		} else if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s/%s is not current (-help +page); go test ./cmd -run Docs -update writes it anew:\n%s", place, name, diff)
		}
	}
}

// page is a command's help as Markdown. (cobra/doc's knows nothing of what a
// command touches, and takes what is indented by two spaces for prose.)
func page(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s.\n", c.CommandPath(), c.Short)
	if long := c.Long; long != "" {
		fmt.Fprintf(&b, "\n%s", markdown(long))
	}
	if !isGroup(c) {
		fmt.Fprintf(&b, "\n    %s\n", c.UseLine())
	}
	if names := c.NameAndAliases(); len(c.Aliases) > 0 {
		fmt.Fprintf(&b, "\nOther names: %s.\n", strings.TrimPrefix(names, c.Name()+", "))
	}
	if text := touched(c); text != "" {
		fmt.Fprintf(&b, "\n## Touches\n\n%s", text)
	}
	if c.HasExample() {
		fmt.Fprintf(&b, "\n## Examples\n\n%s", markdown(c.Example))
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprint(&b, "\n## Commands\n\n")
		for _, sub := range c.Commands() {
			if !sub.Hidden && !cobras(pathOf(sub)) {
				fmt.Fprintf(&b, "- [%s](%s): %s\n", sub.CommandPath(), pageOf(sub), sub.Short)
			}
		}
	}
	c.InitDefaultHelpFlag()
	if flags := c.NonInheritedFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(&b, "\n## Flags\n\n%s", markdown(flags.FlagUsages()))
	}
	if c.HasParent() {
		fmt.Fprintf(&b, "\nFlags that every command has: [dcalab](dcalab.md).\n")
	}
	return b.String()
}

// touched is what a command touches, as Markdown.
func touched(c *cobra.Command) string {
	text := c.Annotations[touchesKey]
	if text == "" {
		return ""
	}
	return markdown(strings.ReplaceAll("\n"+text, "\n  ", "\n"))
}

// manual is a command's help as a man page, without a date: its source is as
// old as the program.
func manual(t *testing.T, c *cobra.Command) string {
	t.Helper()
	c.Root().DisableAutoGenTag = true
	long := c.Long
	if long == "" {
		long = c.Short
	}
	c.Long = markdown(long)
	if text := touched(c); text != "" {
		c.Long += "\n# TOUCHES\n" + text
	}
	never := time.Unix(0, 0).UTC()
	var b bytes.Buffer
	if err := doc.GenMan(c, &doc.GenManHeader{Section: "1", Date: &never, Source: "dcalab", Manual: "dcalab's manual"}, &b); err != nil {
		t.Fatal(err)
	}
	return options.ReplaceAllStringFunc(strings.Replace(b.String(), `"Jan 1970"`, `""`, 1), func(option string) string {
		m := options.FindStringSubmatch(option)
		name, value, usage := m[1], strings.Trim(m[2], `[]=`), m[3]
		if slices.Contains([]string{"", `""`, "false", "0s"}, value) {
			return ".TP\n" + name + "\n" + usage
		}
		return ".TP\n" + name + "=" + value + "\n" + usage
	})
}

// options are a flag in a man page of cobra's: --flag="" or --flag[=false].
var options = regexp.MustCompile(`(?m)(?:^\.PP\n)?^((?:\\fB-\w\\fP, )?\\fB--[\w-]+\\fP)(\S*)\n\t(.*)$`)

// pageOf is the name of the command's page.
func pageOf(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "_") + ".md" }

// markdown is a text of the help as Markdown: what it shows by two spaces is
// code, which takes four and an empty line above.
func markdown(help string) string {
	var b strings.Builder
	before := ""
	for line := range strings.SplitSeq(strings.Trim(help, "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			if before != "" && !strings.HasPrefix(before, "  ") {
				b.WriteString("\n")
			}
			b.WriteString("  " + line + "\n")
		} else {
			b.WriteString(prose.Replace(line) + "\n")
		}
		before = line
	}
	return b.String()
}

var prose = strings.NewReplacer("<", "\\<", "*", "\\*")

func TestDocsReadCommandsOutOfMarkdown(t *testing.T) {
	const text = "Do `dcalab snapshot save x`, or\n`./dcalab --lab ha -q up --swarm`; in dcalab all is well.\n\n" +
		"    $ sudo ./dcalab swarm bootstrap   # dcalab nonsense\n    demote it first: dcalab demote node02\n"
	got := mentions(text)
	want := [][]string{{"snapshot", "save", "x"}, {"--lab", "ha", "-q", "up", "--swarm"}, {"swarm", "bootstrap"}, {"demote", "node02"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mentions (-want +got):\n%s", diff)
	}
	table := "## Commands\n| `up [NODE...] [--swarm]` | … |\n| `snapshot save\\|delete NAME` · `snapshot list [-o json\\|yaml]` | … |\n| `init` | `up` … |\n"
	if diff := cmp.Diff([]string{"up", "snapshot save", "snapshot delete", "snapshot list", "init"}, referenceTable(table)); diff != "" {
		t.Errorf("the table's commands (-want +got):\n%s", diff)
	}
	all := commands(t)
	for _, words := range []string{"swarm boostrap", "statsu", "label set-all node01"} {
		if unknown(all, strings.Fields(words)) == "" {
			t.Errorf("%q passes for a command", words)
		}
	}
	for _, words := range []string{"", "--help", "--lab ha -q up node01", "COMMAND --help", "swarm token worker", "swarm"} {
		if wrong := unknown(all, strings.Fields(words)); wrong != "" {
			t.Errorf("%q does not pass: no command %q", words, wrong)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// documents are the READMEs and the Markdown files of folders, as paths from
// the repository's top.
func documents(t *testing.T, folders ...string) []string {
	t.Helper()
	files := []string{"../README.md", "../README.pt-BR.md"}
	for _, folder := range folders {
		found, err := filepath.Glob("../" + folder + "/*.md")
		if err != nil || len(found) == 0 {
			t.Fatalf("%s has no Markdown (%v)", folder, err)
		}
		files = append(files, found...)
	}
	for i, file := range files {
		files[i] = strings.TrimPrefix(filepath.ToSlash(file), "../")
	}
	return files
}

// translated is how the name of a page in Portuguese ends.
const translated = ".pt-BR.md"

// translations are the English pages that are also in Portuguese, each with
// its Portuguese twin.
func translations(t *testing.T) map[string]string {
	t.Helper()
	pairs := map[string]string{}
	for _, file := range documents(t, "docs") {
		if english, ok := strings.CutSuffix(file, translated); ok {
			pairs[english+".md"] = file
		}
	}
	for _, want := range []string{"README.md", "docs/teachers.md", "docs/tutorial.md"} {
		if pairs[want] == "" {
			t.Errorf("%s is not in Portuguese", want)
		}
	}
	return pairs
}

// outline is what a page and its translation have in common, in order:
// headings by their level, table rows by their columns, list items, the files
// that links lead to, and code as it is. Prose is left out.
// Where no prompt shows that a block is a transcript, what a comment behind a
// command says may differ, too.
func outline(markdown string) []string {
	var found, block []string
	flush := func() {
		if len(block) == 0 {
			return
		}
		transcript := slices.ContainsFunc(block, prompt.MatchString)
		for _, line := range block {
			if !transcript {
				line = commentTail.ReplaceAllString(line, "$1 #")
			}
			found = append(found, line)
		}
		found, block = append(found, ""), nil
	}
	for line := range strings.SplitSeq(markdown, "\n") {
		if strings.HasPrefix(line, "    ") {
			block = append(block, line)
			continue
		}
		flush()
		if mark := outlineMark.FindString(line); mark == "|" {
			found = append(found, fmt.Sprint("| ", strings.Count(line, "|")-strings.Count(line, `\|`)-1))
		} else if mark != "" {
			found = append(found, strings.TrimSpace(mark))
		}
		for _, target := range links(line) {
			path, _, _ := strings.Cut(target, "#")
			if before, ok := strings.CutSuffix(path, translated); ok {
				path = before + ".md"
			}
			found = append(found, "link "+path)
		}
	}
	flush()
	return found
}

var (
	outlineMark = regexp.MustCompile(`^(#+ |- |\d+\. |\|)`)
	prompt      = regexp.MustCompile(`^    (\w+)?\$ `)
	commentTail = regexp.MustCompile(`(\S)\s+# .*$`)
)

// links are the targets of a document's links.
func links(markdown string) []string {
	var targets []string
	for _, m := range link.FindAllStringSubmatch(markdown, -1) {
		targets = append(targets, m[1])
	}
	return targets
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// commands are the program's commands, the hidden ones too, by their path
// without the program's name, which is "" itself.
func commands(t *testing.T) map[string]*cobra.Command {
	t.Helper()
	root := (&app{settings: viper.New()}).root()
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	all := map[string]*cobra.Command{}
	var visit func(string, *cobra.Command)
	visit = func(path string, c *cobra.Command) {
		all[path] = c
		for _, sub := range c.Commands() {
			for _, name := range slices.Concat(sub.Aliases, []string{sub.Name()}) {
				visit(strings.TrimSpace(path+" "+name), sub)
			}
		}
	}
	visit("", root)
	return all
}

// pathOf is the command's own path, not one by an alias.
func pathOf(c *cobra.Command) string {
	_, path, _ := strings.Cut(c.CommandPath(), " ")
	return path
}

// cobras tells of help and completion, which are the library's.
func cobras(path string) bool {
	first, _, _ := strings.Cut(path, " ")
	return first == "help" || first == "completion"
}

// unknown is the path of the first of the words that had to be a command and
// is none; empty where all is well.
func unknown(all map[string]*cobra.Command, words []string) string {
	path := ""
	for i := 0; i < len(words); i++ {
		word := words[i]
		if strings.HasPrefix(word, "-") {
			if slices.Contains([]string{"--config", "--lab", "--driver", "--provider"}, word) {
				i++ // its value
			} else if !isGroup(all[path]) {
				return "" // it runs itself
			}
			continue
		}
		if !all[path].HasSubCommands() || !commandName.MatchString(word) {
			return ""
		}
		path = strings.TrimSpace(path + " " + word)
		if _, ok := all[path]; !ok {
			return path
		}
	}
	return ""
}

// A word in capitals stands for something, and is no name.
var commandName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

var comment = regexp.MustCompile(`(^|\s+)#\s.*$`)

// codeBlocks are the lines of indented code without comments, with an empty
// one after each block.
func codeBlocks(markdown string) []string {
	var lines []string
	for line := range strings.Lines(markdown) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			lines = append(lines, strings.TrimRight(comment.ReplaceAllString(strings.TrimRight(code, "\n"), ""), " "))
		} else if len(lines) > 0 && lines[len(lines)-1] != "" {
			lines = append(lines, "")
		}
	}
	return lines
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// mentions are the words after each "dcalab" that stands as a word in code,
// flags among them, up to the end of the line or what ends a clause.
func mentions(markdown string) [][]string {
	var prose strings.Builder
	for line := range strings.Lines(markdown) {
		if !strings.HasPrefix(line, "    ") {
			prose.WriteString(line)
		}
	}
	var code []string
	for _, m := range codeSpan.FindAllStringSubmatch(prose.String(), -1) {
		code = append(code, strings.ReplaceAll(m[1], "\n", " "))
	}
	var found [][]string
	for _, line := range append(code, codeBlocks(markdown)...) {
		words := strings.Fields(line)
		for i, word := range words {
			if word = strings.TrimLeft(word, `("'`); word != "dcalab" && word != "./dcalab" {
				continue
			}
			var after []string
			for _, next := range words[i+1:] {
				bare := strings.TrimRight(next, ",;:)")
				after = append(after, bare)
				if bare != next {
					break
				}
			}
			found = append(found, after)
		}
	}
	return found
}

// referenceTable are the commands in the first column of the table below the
// heading Commands: `snapshot save\|delete NAME` is two.
func referenceTable(markdown string) []string {
	_, table, _ := strings.Cut(markdown, "## Commands\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var paths []string
	for line := range strings.Lines(table) {
		row, ok := strings.CutPrefix(line, "|")
		if !ok {
			continue
		}
		cell, _, _ := strings.Cut(strings.ReplaceAll(row, `\|`, "\x00"), "|")
		for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
			found := []string{""}
			for word := range strings.FieldsSeq(m[1]) {
				names := strings.Split(word, "\x00")
				if slices.ContainsFunc(names, func(name string) bool { return !commandName.MatchString(name) }) {
					break
				}
				var longer []string
				for _, path := range found {
					for _, name := range names {
						longer = append(longer, strings.TrimSpace(path+" "+name))
					}
				}
				found = longer
			}
			paths = append(paths, found...)
		}
	}
	return paths
}

var heading = regexp.MustCompile(`(?m)^#+ (.+)$`)

// anchors are what GitHub calls the headings of a document in links.
func anchors(markdown string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(markdown, -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return r
			}
			return -1
		}, strings.ToLower(m[1])))
	}
	return all
}

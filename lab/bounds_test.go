package lab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What a labs.yaml that is broken many times over says fits on a screen, and
// the whole of it is not looked at key by key.
func TestManyProblemsAreBounded(t *testing.T) {
	t.Parallel()
	repeated := func(s string, bytes int) string { return strings.Repeat(s, bytes/len(s)) }
	var keys, bad, labs strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&keys, "key%d: 1\n", i)
		fmt.Fprintf(&labs, "  lab%d: {x: 1}\n", i)
	}
	for i := range 100 {
		fmt.Fprintf(&bad, "      - {name: n%d, ip: 10.20.20.%d, rol: manager, labels: {", i, i+2)
		for k := range 200 {
			fmt.Fprintf(&bad, "\"!=%d\": a,", i*200+k)
		}
		bad.WriteString("}}\n")
	}
	const head = "version: 1\nlabs:\n"
	const lab = head + "  dca:\n    subnet: 10.20.20.0/24\n"
	for name, tc := range map[string]struct {
		in   string
		want string // what the message has
	}{
		"an open bracket, 400 long lines": {"version: 1\nlabs: [" + strings.Repeat(repeated("b,", 600)+"\n", 400), "YAML syntax"},
		"an open bracket, short lines":    {"version: 1\nlabs: [" + repeated("bbbbbbb,\n", MaxSize-100), "YAML syntax"},
		"10,000 unknown keys":             {"version: 1\n" + keys.String(), "this mapping has 10001 keys; expected at most 1000"},
		"10,000 labs":                     {head + labs.String(), "this mapping has 10000 keys"},
		"a lab of 900 unknown keys":       {lab + repeated("    z: 1\n", 9*900), "and 8"},
		"20,000 bad labels":               {lab + "    nodes:\n" + bad.String(), "and 20080 more"},
		"80,000 tabs":                     {repeated("\ta\n", MaxSize-1), "more"},
		"a key of 1,000 letters":          {lab + "    " + strings.Repeat("k", 1000) + ": 1\n    nodes: []\n", `unknown key "kkk`},
		"a value of 100,000 letters":      {lab + "    driver: " + strings.Repeat("k", 100_000) + "\n    nodes: []\n", `driver is "kkk`},
		"10,000 brackets":                 {strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000), "the file is a list"},
		"brackets without end":            {strings.Repeat("[", MaxSize), "exceeded max depth"},
		"aliases of aliases":              {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n", "and 13 more"},
		"more bytes than a labs.yaml has": {repeated("# nothing\n", 1<<20), "expected at most 262144"},
		"a tag in each of 30,000 entries": {repeated("- !!x b\n", MaxSize-1), "more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("labs.yaml", []byte(tc.in))
			if err == nil {
				t.Fatal("no problem")
			}
			text := err.Error()
			if n := strings.Count(text, "\n") + 1; n > shownProblems+4 {
				t.Errorf("%d lines", n)
			}
			if len(text) > shownProblems*2*4*shownRunes {
				t.Errorf("%d bytes", len(text))
			}
			if !strings.Contains(text, tc.want) {
				t.Errorf("no %q in\n%s", tc.want, text)
			}
			var bad *InvalidError
			if !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Errorf("no problems as data: %v", err)
			}
		})
	}
}

// How often the beginning of a broken file is parsed anew has a limit in bytes.
func TestLookingForTheBrokenLineIsBounded(t *testing.T) {
	lines := slices.Concat(slices.Repeat([]string{"- a"}, 100), []string{"- [", "b,", "b,", "b,"})
	const all = 1 << 20
	if got := lastGoodLine(lines, all); got != 100 {
		t.Fatalf("the last good line is %d, want 100", got)
	}
	whole := len(strings.Join(lines, "\n"))
	if got := lastGoodLine(lines, 2*whole); got != 0 {
		t.Errorf("with bytes for two tries it is %d; the third finds it", got)
	}
}

// A word is compared with what it may be meant for so many times in one file.
func TestGuessesAreBounded(t *testing.T) {
	s := &structure{}
	for range maxGuesses {
		if got := s.meant("rol", []string{"name", "role"}); got != "name or role (did you mean role?)" {
			t.Fatal(got)
		}
	}
	if got := s.meant("rol", []string{"name", "role"}); got != "name or role" {
		t.Errorf("after %d guesses: %s", maxGuesses, got)
	}
}

func TestCut(t *testing.T) {
	for in, want := range map[string]string{"": "", "abcde": "abcde", "abcdef": "ab...", "ééééé": "ééééé", "éééééé": "éé..."} {
		if got := cut(in, 5); got != want {
			t.Errorf("cut(%q) = %q, want %q", in, got, want)
		}
	}
}

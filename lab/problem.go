package lab

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dcalab/dcalab/trouble"
)

// Problem is one thing in a labs.yaml that is wrong, or worth a warning.
type Problem struct {
	// Line and Column count from 1, columns in characters.
	Line   int `json:"line" yaml:"line"`
	Column int `json:"column" yaml:"column"`
	// What is wrong.
	What string `json:"what" yaml:"what"`
	// Expected is what should be there. May be empty.
	Expected string `json:"expected,omitempty" yaml:"expected,omitempty"`
}

// String gives line:column: what; expected this.
func (p Problem) String() string {
	s := fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.What)
	if p.Expected != "" {
		s += "; expected " + p.Expected
	}
	return s
}

// InvalidError is a labs.yaml with every problem that it has, in the order of the
// file. It is the cause of the trouble.Error that Parse returns.
type InvalidError struct {
	// Name of the file as it is shown.
	Name     string
	Problems []Problem
}

// What bounds a list of problems on a screen. An InvalidError has them all.
const (
	shownProblems = 20
	shownRunes    = 300 // of what is said of one
)

// Error lists the problems, one a line, as name:line:column: the first of them
// where they are many.
func (e *InvalidError) Error() string {
	var b strings.Builder
	noun := "problems"
	if len(e.Problems) == 1 {
		noun = "problem"
	}
	fmt.Fprintf(&b, "%d %s", len(e.Problems), noun)
	for i, p := range e.Problems {
		if i == shownProblems {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Problems)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %s:%s", e.Name, p)
	}
	return b.String()
}

// invalid makes the error of a file with problems.
func invalid(name string, problems []Problem) error {
	return &trouble.Error{
		ID:   "labs-invalid",
		What: name + " is not valid, and nothing was touched",
		Next: []string{"fix it and check again: dcalab config validate"},
		Exit: trouble.ExitConfig,
		Err:  &InvalidError{Name: name, Problems: sorted(problems)},
	}
}

// sorted puts problems in the order of the file and tells each once.
func sorted(problems []Problem) []Problem {
	for i := range problems {
		problems[i].What, problems[i].Expected = cut(problems[i].What, shownRunes), cut(problems[i].Expected, shownRunes)
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.What, b.What))
	})
	return slices.Compact(problems)
}

// cut shortens text that has more than so many characters.
func cut(s string, runes int) string {
	if len(s) <= runes { // bytes: at least as many
		return s
	}
	n := 0
	for i := range s {
		if n == runes-3 && utf8.RuneCountInString(s[i:]) > 3 {
			return s[:i] + "..."
		}
		n++
	}
	return s
}

// Nearest finds the candidate that word was probably meant to be; empty where
// none is near.
func Nearest(word string, candidates []string) string { return nearest(word, candidates)[0] }

// nearest gives all that are equally near; one empty word where none is.
func nearest(word string, candidates []string) []string {
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(s))
	}
	best, least := []string{""}, 1+max(1, min(len(word)/3, 3))
	for _, c := range candidates {
		// So many letters more or fewer are a distance already, and the table of
		// distance is as large as the two words.
		if n := len(fold(c)) - len(fold(word)); n > least || -n > least {
			continue
		}
		switch d := distance(fold(word), fold(c)); {
		case d < least:
			best, least = []string{c}, d
		case d == least && best[0] != "":
			best = append(best, c)
		}
	}
	return best
}

// ProviderMeant is that of Vagrant's providers which somebody names, also by its
// product; empty where none is.
func ProviderMeant(word string, providers []string) string {
	word = strings.ToLower(word)
	switch word {
	case "vbox":
		return "virtualbox"
	case "kvm", "qemu":
		return "libvirt"
	case "vmware", "fusion", "workstation", "vmware_fusion", "vmware_workstation":
		return "vmware_desktop"
	}
	return Nearest(word, providers)
}

// roleMeant is the role that somebody calls by another tool's word; empty where
// none is.
func roleMeant(word string) Role {
	switch strings.ToLower(word) {
	case "node", "slave", "agent", "minion", "client", "follower", "worker-node":
		return RoleWorker
	case "master", "server", "control-plane", "controlplane", "controller", "leader", "primary":
		return RoleManager
	}
	return ""
}

// NodeMeant advises somebody whose word is the name of no node: names are those
// that there are, addresses says whose each is. Nothing where it cannot be told.
func NodeMeant(word string, names []string, addresses map[string]string) []string {
	bare := word
	if _, host, found := strings.Cut(word, "@"); found {
		bare = host
	}
	bare, _, _ = strings.Cut(bare, ":")
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, bare) }); i >= 0 {
		return []string{"did you mean " + names[i] + "?"}
	}
	if name := addresses[bare]; name != "" {
		return []string{bare + " is the address of " + name + ": did you mean " + name + "?"}
	}
	if parts := strings.FieldsFunc(word, func(r rune) bool { return r == ',' || r == ' ' }); len(parts) > 1 {
		return []string{"several nodes are words of their own: " + strings.Join(parts, " ")}
	}
	if strings.EqualFold(word, "all") || word == "*" {
		return []string{"all nodes by their names: " + strings.Join(names, " ")}
	}
	// Of many that are equally near, none is meant more than the others.
	if near := nearest(bare, names); near[0] != "" && len(near) <= 3 {
		return []string{"did you mean " + strings.Join(near, " or ") + "?"}
	}
	return nil
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour between a and b (optimal string alignment).
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

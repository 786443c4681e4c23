package cmd

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
)

// starterName makes a lab's name of its folder's, one that no other lab of this
// user's has: contexts of docker and names for ssh are made of it.
func starterName(dir string, places []lab.Place) string {
	const longest = 28 // leaves room for a number
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, filepath.Base(dir))
	name = strings.Trim(name[:min(len(name), longest)], "-")
	if name == "" || slices.Contains([]string{"con", "prn", "aux", "nul"}, name) {
		name = "lab"
	}
	for i, candidate := 2, name; ; i++ {
		if !slices.ContainsFunc(places, func(p lab.Place) bool { return p.Lab == candidate && p.Root != dir }) {
			return candidate
		}
		candidate = fmt.Sprintf("%s-%d", name, i)
	}
}

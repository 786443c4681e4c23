package session

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// StarterName makes a lab's name of its folder's, one that no other lab of this
// user's has: contexts of docker and names for ssh are made of it.
func StarterName(dir string, places []lab.Place) string {
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

// StarterSubnet gives the subnet for a lab of init's: the one asked for, else the
// first that neither this machine nor a lab of this user has. taken says whose
// the one asked for, or the usual one, is; empty where it is free. What cannot be
// read is taken for nothing: up looks again.
func StarterSubnet(asked string, networks []Taken) (subnet netip.Prefix, taken string, err error) {
	if asked != "" {
		subnet, err := netip.ParsePrefix(asked)
		if err != nil || !subnet.Addr().Is4() || subnet.Bits() < 8 || subnet.Bits() > 24 {
			return subnet, "", trouble.Usage(fmt.Sprintf("--subnet %s is no IPv4 network of /8 to /24", asked), "dcalab init --subnet 10.9.9.0/24")
		}
		return subnet, Whose(subnet, networks), nil
	}
	usual := lab.StarterSubnets()[0]
	for _, subnet := range lab.StarterSubnets() {
		if Whose(subnet, networks) == "" {
			return subnet, Whose(usual, networks), nil
		}
	}
	return usual, "", nil
}

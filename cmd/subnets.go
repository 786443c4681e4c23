package cmd

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
)

// network is one that this machine has, or a lab of its user, and whose it is.
type network struct {
	prefix netip.Prefix
	of     string
}

// hostNetworks are those of this machine's links and routes: also those of other
// users' labs, as far as they are up. What cannot be read is none: up looks
// again.
func hostNetworks() []network {
	var out []network
	links, _ := net.Interfaces()
	for _, link := range links {
		addresses, _ := link.Addrs()
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				out = append(out, network{p.Masked(), "the link " + link.Name + " of this machine"})
			}
		}
	}
	routes, _ := os.ReadFile("/proc/net/route") // of Linux alone
	return append(out, parseRoutes(string(routes))...)
}

// parseRoutes reads /proc/net/route (proc_net(5)): a table of a link, a
// destination, …, and as the eighth column its mask, both as the bytes of a
// little-endian word. The default route is everybody's, and left out.
func parseRoutes(text string) []network {
	var out []network
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		destination, ok := littleEndian(fields[1])
		mask, fine := littleEndian(fields[7])
		if !ok || !fine {
			continue // the heading
		}
		bits, of := net.IPMask(mask[:]).Size()
		if of != 32 || bits == 0 {
			continue
		}
		out = append(out, network{netip.PrefixFrom(netip.AddrFrom4(destination), bits).Masked(), "the route of this machine through " + fields[0]})
	}
	return out
}

func littleEndian(word string) (b [4]byte, ok bool) {
	raw, err := hex.DecodeString(word)
	if err != nil || len(raw) != 4 {
		return b, false
	}
	return [4]byte{raw[3], raw[2], raw[1], raw[0]}, true
}

// labPlaces are the labs that this user made, wherever.
func labPlaces() []lab.Place {
	index, err := lab.OpenIndex(os.Getenv, owner())
	if err != nil {
		return nil
	}
	places, _, _ := index.Places()
	return places
}

// labNetworks are the subnets of labs, as they were made.
func labNetworks(places []lab.Place) []network {
	var out []network
	for _, p := range places {
		state, err := lab.OpenState(p.Root, p.Lab, owner())
		if err != nil {
			continue
		}
		record, created, err := state.ReadRecord()
		if err != nil || !created {
			continue
		}
		if of, err := netip.ParsePrefix(record.Subnet); err == nil {
			out = append(out, network{of, fmt.Sprintf("lab %s of %s", p.Lab, p.Root)})
		}
	}
	return out
}

// whose says whose a subnet is, or overlaps; empty where it is free.
func whose(subnet netip.Prefix, taken []network) string {
	for _, n := range taken {
		if n.prefix.Overlaps(subnet) {
			return fmt.Sprintf("%s has %s", n.of, n.prefix)
		}
	}
	return ""
}

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

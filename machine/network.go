package machine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/dcalab/dcalab/lab"
)

// Network is an IPv4 network that this machine has.
type Network struct {
	// Interface that it is on.
	Interface string
	// Addr is the machine's own address, with the length of its network; of a
	// route, the network itself.
	Addr netip.Prefix
	// Down: the interface is.
	Down bool
}

// Interfaces gives the addresses of this machine's interfaces.
func Interfaces() ([]Network, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the host's interfaces: %w", err)
	}
	var out []Network
	for _, i := range all {
		addrs, _ := i.Addrs() // none of an interface that was removed meanwhile
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				out = append(out, Network{i.Name, p, i.Flags&net.FlagUp == 0})
			}
		}
	}
	return out, nil
}

// ParseRoutes reads /proc/net/route (the kernel's fib_route_seq_show): a table
// of an interface, a destination, …, and as the eighth column its mask. The
// default route, which is everybody's, is left out.
func ParseRoutes(text string) []Network {
	var out []Network
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		destination, ok := word(f[1])
		mask, fine := word(f[7])
		bits, of := net.IPMask(mask[:]).Size()
		if ok && fine && of == 32 && bits > 0 { // else it is the heading
			out = append(out, Network{f[0], netip.PrefixFrom(netip.AddrFrom4(destination), bits).Masked(), false})
		}
	}
	return out
}

// word reads bytes of the network that are written as one hexadecimal number of
// the host's order.
func word(text string) (b [4]byte, ok bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 4 {
		return b, false
	}
	binary.NativeEndian.PutUint32(b[:], binary.BigEndian.Uint32(raw))
	return b, true
}

// HostsLines is what every node's /etc/hosts says about the nodes of a lab.
func HostsLines(l *lab.Lab) string {
	var b strings.Builder
	for _, n := range l.Nodes {
		names := n.Name
		if full := l.Hostname(n); full != n.Name {
			names = full + " " + n.Name
		}
		fmt.Fprintf(&b, "%s %s\n", n.IP, names)
	}
	return b.String()
}

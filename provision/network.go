package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// Network is what a node sees of its own network.
type Network struct {
	Interfaces []Interface
	// Reaches tells of each peer that was asked for whether a connection could
	// be opened to it within two seconds.
	Reaches map[netip.AddrPort]bool
	// Clock is by how much the node's clock is ahead of this machine's, in
	// whole seconds.
	Clock time.Duration
}

// Interface is one of a node's interfaces.
type Interface struct {
	Name      string
	Up        bool
	Addresses []netip.Addr
}

// networkBytes bounds what is read of a node's answer.
const networkBytes = 256 << 10

// ProbeNetwork asks the node for its interfaces, and whether it can open a TCP
// connection to each of the peers within two seconds. It needs ip(8), bash and
// timeout(1) there, and no root.
func ProbeNetwork(ctx context.Context, c *node.Conn, peers []netip.AddrPort) (Network, error) {
	var b strings.Builder
	b.WriteString("echo time $(date +%s); echo ip $(ip -j addr show)\n")
	for _, p := range peers {
		fmt.Fprintf(&b, "(timeout 2 bash -c ': </dev/tcp/%s/%d' 2>/dev/null && echo reaches %s) &\n", p.Addr(), p.Port(), p)
	}
	b.WriteString("wait\n")
	before := time.Now()
	said := head{limit: networkBytes}
	if _, err := c.Stream(ctx, b.String(), nil, &said, nil); err != nil {
		return Network{}, fmt.Errorf("look at the network: %w", err)
	}
	return parseNetwork(said.String(), peers, before, time.Now())
}

// head keeps the beginning of what is written to it.
type head struct {
	limit int
	strings.Builder
}

func (h *head) Write(p []byte) (int, error) {
	h.Builder.Write(p[:min(len(p), h.limit-h.Len())])
	return len(p), nil
}

func parseNetwork(said string, peers []netip.AddrPort, before, after time.Time) (Network, error) {
	out := Network{Reaches: map[netip.AddrPort]bool{}}
	for _, p := range peers {
		out.Reaches[p] = false
	}
	for line := range strings.Lines(said) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "time":
			if _, err := strconv.ParseInt(value, 10, 64); err == nil {
				out.Clock, _ = clockOffset(before, after, value)
			}
		case "ip":
			var links []struct {
				Name      string   `json:"ifname"`
				Flags     []string `json:"flags"`
				Addresses []struct {
					Local string `json:"local"`
				} `json:"addr_info"`
			}
			if err := json.Unmarshal([]byte(value), &links); err != nil {
				return out, fmt.Errorf("look at the network: what ip -j addr says: %w", err)
			}
			for _, l := range links {
				i := Interface{Name: l.Name}
				for _, f := range l.Flags {
					i.Up = i.Up || f == "UP"
				}
				for _, a := range l.Addresses {
					if addr, err := netip.ParseAddr(a.Local); err == nil {
						i.Addresses = append(i.Addresses, addr)
					}
				}
				out.Interfaces = append(out.Interfaces, i)
			}
		case "reaches":
			if p, err := netip.ParseAddrPort(value); err == nil {
				if _, asked := out.Reaches[p]; asked {
					out.Reaches[p] = true
				}
			}
		}
	}
	if out.Interfaces == nil {
		return out, fmt.Errorf("look at the network: the node says %q", trouble.LastLines(said, 1))
	}
	return out, nil
}

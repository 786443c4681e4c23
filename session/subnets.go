package session

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// Taken is a network that a new lab had better not have.
type Taken struct {
	netip.Prefix
	Of string // what it belongs to, in a few words
}

// Places are the labs that this user made, wherever; none where that cannot be
// read.
func (set Settings) Places() []lab.Place { return placesOf(set, set.User) }

func placesOf(set Settings, user lab.Owner) []lab.Place {
	index, err := lab.OpenIndex(set.getenv, user)
	if err != nil {
		return nil
	}
	places, _, _ := index.Places()
	return places
}

// Taken are the networks of this user's labs, as they were made, and those of
// this machine's links and routes: also those of other users' labs, as far as
// they are up. What cannot be read is none: up looks again.
func (set Settings) Taken() []Taken {
	var out []Taken
	for _, p := range set.Places() {
		state, err := lab.OpenState(p.Root, p.Lab, set.User)
		if err != nil {
			continue
		}
		record, _, err := state.ReadRecord()
		if err != nil {
			continue
		}
		if of, err := netip.ParsePrefix(record.Subnet); err == nil {
			out = append(out, Taken{of, fmt.Sprintf("lab %s in %s", p.Lab, p.Root)})
		}
	}
	links, _ := machine.Interfaces()
	for _, n := range links {
		out = append(out, Taken{n.Addr.Masked(), "interface " + n.Interface + " of this machine"})
	}
	routes, _ := os.ReadFile("/proc/net/route") // of Linux alone
	for _, n := range machine.ParseRoutes(string(routes)) {
		out = append(out, Taken{n.Addr, "a route of this machine through " + n.Interface})
	}
	return out
}

// Whose says whose a subnet is, or overlaps; empty where it is free.
func Whose(subnet netip.Prefix, taken []Taken) string {
	for _, n := range taken {
		if n.Overlaps(subnet) {
			return fmt.Sprintf("%s has %s", n.Of, n.Prefix)
		}
	}
	return ""
}

package lab

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxHostname is the longest host name that Linux keeps (HOST_NAME_MAX,
// gethostname(2)).
const maxHostname = 64

// Limits of a certificate's life. The lower one is swarmkit's
// (ca.MinNodeCertExpiration), the upper one is that of its root certificate
// (ca.RootCAExpiration: 630720000s).
const (
	minCertExpiry = time.Hour
	maxCertDays   = 20 * 365
	maxCertExpiry = maxCertDays * 24 * time.Hour
)

// reservation is a network that has another use inside a node.
type reservation struct {
	prefix netip.Prefix
	use    string
}

func reserved() []reservation {
	return []reservation{
		{netip.MustParsePrefix("10.0.2.0/24"), "VirtualBox's NAT network"},
		{netip.MustParsePrefix("172.17.0.0/16"), "Docker's own bridge, docker0"},
		{netip.MustParsePrefix("0.0.0.0/8"), "not for hosts"},
		{netip.MustParsePrefix("127.0.0.0/8"), "the loopback network"},
		{netip.MustParsePrefix("169.254.0.0/16"), "for link-local addresses"},
		{netip.MustParsePrefix("224.0.0.0/3"), "for multicast and not for hosts"},
	}
}

// check finds what a schema cannot say of one lab. What could not be decoded
// is zero here, has its problem already, and is passed over.
func (d *decoder) check(l *Lab, from source) {
	d.checkSubnet(l, from)
	d.checkPools(l, from)
	d.checkSwarm(l, from)
	d.checkRegistries(l, from)
	d.checkNodes(l, from)
	d.checkManagers(l, from)

	switch l.Name {
	case "con", "prn", "aux", "nul":
		d.problem(from[""], fmt.Sprintf("%q is not a good name", l.Name), "another one: Windows has no folders of this name")
	}
	switch l.Interface {
	case "lo", "docker0", "docker_gwbridge":
		d.problem(from.near("interface"), fmt.Sprintf("interface %s has another use in every node", l.Interface), "the name of the lab's own interface, such as enp0s8")
	}
}

func (d *decoder) checkSubnet(l *Lab, from source) {
	if !l.Subnet.IsValid() {
		return
	}
	if b := l.Subnet.Bits(); b < 8 || b > 30 {
		d.problem(from.near("subnet"), fmt.Sprintf("subnet %s is %s", l.Subnet, map[bool]string{true: "too small: it has no room for the gateway and a node", false: "too large"}[b > 30]), "a length from /8 to /30")
		l.Subnet = netip.Prefix{}
		return
	}
	for _, r := range reserved() {
		if r.prefix.Overlaps(l.Subnet) {
			d.problem(from.near("subnet"), fmt.Sprintf("subnet %s overlaps %s, which is %s", l.Subnet, r.prefix, r.use), "a private network of the lab's own, such as 10.20.20.0/24")
			return
		}
	}
}

func (d *decoder) checkPools(l *Lab, from source) {
	taken := reserved()
	if l.Subnet.IsValid() {
		taken = append([]reservation{{l.Subnet, "the lab's subnet"}}, taken...)
	}
	for i, pool := range l.Swarm.DefaultAddrPool {
		if !pool.IsValid() {
			continue
		}
		at := from.near("swarm.default_addr_pool." + strconv.Itoa(i))
		for _, r := range taken {
			if r.prefix.Overlaps(pool) {
				d.problem(at, fmt.Sprintf("the pool %s overlaps %s, which is %s", pool, r.prefix, r.use), "a private network that nothing else uses, such as "+defaultPool(l.Subnet).String())
				break
			}
		}
		if size := l.Swarm.SubnetSize; pool.Bits() > size {
			d.problem(at, fmt.Sprintf("the pool %s is smaller than one subnet of size %d", pool, size), fmt.Sprintf("a network with a length of at most /%d", size))
		}
		taken = append(taken, reservation{pool, "another pool"})
	}
}

func (d *decoder) checkSwarm(l *Lab, from source) {
	if from["swarm.cert_expiry"] != nil && !d.bad[from["swarm.cert_expiry"]] {
		if e := l.Swarm.CertExpiry; e < minCertExpiry || e > maxCertExpiry {
			d.problem(from["swarm.cert_expiry"], fmt.Sprintf("cert_expiry is %q", from["swarm.cert_expiry"].Value), "a duration from 1h to 7300d, such as 90d")
		}
	}
	if l.Swarm.DataPathPort == 7946 {
		d.problem(from.near("swarm.data_path_port"), "data_path_port 7946 is where the nodes gossip", "another port, such as 4789")
	}
}

// checkRegistries finds what would keep every engine of the lab from starting.
func (d *decoder) checkRegistries(l *Lab, from source) {
	for key, list := range map[string][]string{
		"registry_mirrors": l.Engine.RegistryMirrors, "insecure_registries": l.Engine.InsecureRegistries,
	} {
		path := "engine." + key
		node := from[path]
		if node == nil || node.Kind != yaml.SequenceNode || len(node.Content) != len(list) {
			continue // an entry has its problem already
		}
		for i, entry := range list {
			at := from.near(path + "." + strconv.Itoa(i))
			if slices.Contains(list[:i], entry) {
				d.problem(at, fmt.Sprintf("%s names %s twice", key, entry), "each once")
			}
			host := entry
			if _, network, ok := strings.Cut(entry, "/"); ok && key == "insecure_registries" {
				if _, err := netip.ParsePrefix(entry); err != nil {
					d.problem(at, fmt.Sprintf("%s is no network: /%s", entry, network), "a network such as 10.20.20.0/24")
				}
				continue
			}
			if key == "registry_mirrors" {
				u, err := url.Parse(entry)
				if err != nil {
					d.problem(at, fmt.Sprintf("registry_mirrors has %q", entry), "the URL of a mirror, such as http://10.20.20.200:5000")
					continue
				}
				host = u.Host
			}
			if colon := strings.LastIndexByte(host, ':'); colon >= 0 && !strings.HasSuffix(host, "]") {
				if port, err := strconv.ParseUint(host[colon+1:], 10, 16); err != nil || port == 0 {
					d.problem(at, fmt.Sprintf("%s has the port %q", entry, host[colon+1:]), "a port from 1 to 65535")
				}
			}
		}
	}
}

func (d *decoder) checkNodes(l *Lab, from source) {
	names, addresses := map[string]int{}, map[netip.Addr]int{}
	for i, n := range l.Nodes {
		path := "nodes." + strconv.Itoa(i) + "."
		line := func(first int, key string) int {
			return from.near("nodes." + strconv.Itoa(first) + "." + key).Line
		}
		if n.Name != "" {
			if first, ok := names[n.Name]; ok {
				d.problem(from.near(path+"name"), "a second node has the name "+n.Name, fmt.Sprintf("a name of its own (the first is in line %d)", line(first, "name")))
			} else {
				names[n.Name] = i
			}
			if n.Name == "localhost" {
				d.problem(from.near(path+"name"), "a node cannot be localhost", "a host name such as node01")
			}
			if full := l.Hostname(n); len(full) > maxHostname {
				d.problem(from.near(path+"name"), fmt.Sprintf("the full name %s has %d characters", full, len(full)), fmt.Sprintf("at most %d, which is Linux's limit for a host name", maxHostname))
			}
		}
		if n.IP.IsValid() {
			if first, ok := addresses[n.IP]; ok {
				d.problem(from.near(path+"ip"), fmt.Sprintf("a second node has the address %s", n.IP), fmt.Sprintf("an address of its own (the first is in line %d)", line(first, "ip")))
			} else {
				addresses[n.IP] = i
			}
			d.checkAddress(l, n.IP, from, path+"ip")
		}
		for _, label := range sortedKeys(n.EngineLabels) {
			if key := strings.ToLower(label) + "."; strings.HasPrefix(key, "com.docker.") || strings.HasPrefix(key, "io.docker.") || strings.HasPrefix(key, "org.dockerproject.") {
				d.problem(from.near(path+"engine_labels."+label), fmt.Sprintf("the label %s is in a namespace that Docker keeps to itself", label), "a key outside com.docker, io.docker and org.dockerproject")
			}
		}
	}
}

func (d *decoder) checkAddress(l *Lab, ip netip.Addr, from source, path string) {
	if !l.Subnet.IsValid() {
		return
	}
	lowest, highest := l.Gateway().Next(), last(l.Subnet).Prev()
	expected := fmt.Sprintf("an address from %s to %s", lowest, highest)
	if lowest == highest {
		expected = lowest.String() + ", the only one in this subnet"
	}
	var what string
	switch {
	case !l.Subnet.Contains(ip):
		what = "is outside the subnet " + l.Subnet.String()
	case ip == l.Subnet.Addr():
		what = "is the address of the network itself"
	case ip == l.Gateway():
		what = "is the gateway's, which is the host itself"
	case ip == last(l.Subnet):
		what = "is the broadcast address"
	default:
		return
	}
	d.problem(from.near(path), fmt.Sprintf("the address %s %s", ip, what), expected)
}

// checkManagers requires at least one manager, and warns of numbers that cost
// more than they give.
func (d *decoder) checkManagers(l *Lab, from source) {
	managers, roles := 0, ""
	for _, n := range l.Nodes {
		switch n.Role {
		case RoleManager:
			managers++
		case "":
			return // a role that is not known: no telling
		default:
			roles += string(n.Role)
		}
	}
	at := from.near("nodes")
	switch {
	case managers == 0 && roles != "":
		d.problem(at, fmt.Sprintf("the lab %s has no manager", l.Name), "role: manager for at least one node")
	case managers > 7:
		d.warning(at, fmt.Sprintf("the lab %s has %d managers: each change waits for %d of them, and more than 7 make a swarm slower, not safer", l.Name, managers, managers/2+1), "3, 5 or 7")
	case managers > 0 && managers%2 == 0:
		d.warning(at, fmt.Sprintf("the lab %s has %d managers, an even number: it tolerates the loss of %d, as %d would", l.Name, managers, (managers-1)/2, managers-1), "an odd number")
	case managers > 5:
		d.warning(at, fmt.Sprintf("the lab %s has %d managers: more than 5 are seldom worth it", l.Name, managers), "3 or 5")
	}
}

// last is the highest address of a network: the broadcast address.
func last(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

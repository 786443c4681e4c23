package lab

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// What a labs.yaml means by what it does not say. The schema names the same
// values for editors, and a test holds the two together.
const (
	defaultInterface    = "enp0s8"
	defaultBox          = "bento/ubuntu-24.04" // there for every provider
	defaultCPUs         = 1
	defaultMemory       = 1024
	defaultSource       = "distribution"
	defaultSubnetSize   = 24
	defaultDataPathPort = 4789
	defaultCertExpiry   = 90 * 24 * time.Hour
	defaultTaskHistory  = 5
)

// source is a lab's part of the document: the node that each setting of the
// lab comes from, by path ("swarm.autolock", "nodes.0.cpus"). What is a
// default is not in it. The lab itself has the empty path.
type source map[string]*yaml.Node

// near is the node of a path or, where it is not in the document, of the
// nearest thing around it.
func (s source) near(path string) *yaml.Node {
	for path != "" {
		if n := s[path]; n != nil {
			return n
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	return s[""]
}

// section reads the settings of one mapping.
type section struct {
	d      *decoder
	node   *yaml.Node
	prefix string // of paths: "" or "nodes.0."
	from   source
}

func (s section) in(key string) section {
	n, ok := s.d.found(s.node, key)
	if !ok {
		n = nil
	} else {
		s.from[s.prefix+key] = n
	}
	return section{s.d, n, s.prefix + key + ".", s.from}
}

func (s section) scalar(key string) (*yaml.Node, bool) {
	n, ok := s.d.found(s.node, key)
	if ok {
		s.from[s.prefix+key] = n
	}
	return n, ok
}

func (s section) text(key, fallback string) string {
	if n, ok := s.scalar(key); ok {
		return n.Value
	}
	return fallback
}

func (s section) number(key string, fallback int) int {
	n, ok := s.scalar(key)
	if !ok {
		return fallback
	}
	// 1e3 is a whole number too, in YAML as in JSON.
	var f float64
	if err := n.Decode(&f); err != nil {
		s.d.problem(n, fmt.Sprintf("%s is %s", key, shown(n)), "a whole number")
	}
	return int(f)
}

func (s section) truth(key string) bool {
	var b bool
	if n, ok := s.scalar(key); ok {
		if err := n.Decode(&b); err != nil {
			s.d.problem(n, fmt.Sprintf("%s is %s", key, shown(n)), "true or false")
		}
	}
	return b
}

func (s section) texts(key string) map[string]string {
	in := s.in(key)
	if in.node == nil || len(in.node.Content) == 0 {
		return nil
	}
	m := make(map[string]string, len(in.node.Content)/2)
	for i := 0; i+1 < len(in.node.Content); i += 2 {
		k := in.node.Content[i].Value
		if _, ok := m[k]; !ok {
			m[k] = in.text(k, "")
		}
	}
	return m
}

// list reads a list of texts; nil where there is none.
func (s section) list(key string) []string {
	in := s.in(key)
	if in.node == nil {
		return nil
	}
	var out []string
	for i, item := range in.node.Content {
		s.from[in.prefix+strconv.Itoa(i)] = item
		if item.Kind == yaml.ScalarNode && !s.d.bad[item] {
			out = append(out, item.Value)
		}
	}
	return out
}

// network reads an IPv4 network, written with no bit set to the right of its
// length.
func (s section) network(n *yaml.Node, key string) netip.Prefix {
	p, err := netip.ParsePrefix(n.Value)
	switch {
	case err != nil || !p.Addr().Is4():
		s.d.problem(n, fmt.Sprintf("%s is %s", key, shown(n)), "an IPv4 network such as 10.20.20.0/24")
		return netip.Prefix{}
	case p != p.Masked():
		s.d.problem(n, fmt.Sprintf("%s %s is an address in a network", key, n.Value), "the network itself, "+p.Masked().String())
		return netip.Prefix{}
	}
	return p
}

// file decodes the whole document. Its result is good only if the decoder has
// no problems afterwards.
func (d *decoder) file(root *yaml.Node) *File {
	f := &File{lines: map[string]map[string]int{}}
	top := section{d: d, node: root, from: source{}}
	f.Default = top.text("default", "")
	driver := top.text("driver", DriverAuto)

	labs, ok := d.found(root, "labs")
	if !ok || labs.Kind != yaml.MappingNode {
		return f
	}
	names := map[string]bool{}
	var list []string
	for i := 0; i+1 < len(labs.Content); i += 2 {
		key, n := labs.Content[i], labs.Content[i+1]
		if key.Kind != yaml.ScalarNode || names[key.Value] {
			continue
		}
		names[key.Value] = true
		list = append(list, key.Value)
		if d.bad[key] || n.Kind != yaml.MappingNode {
			continue
		}
		from := source{"": key}
		if n := top.from["driver"]; n != nil {
			from["driver"] = n
		}
		l := d.lab(section{d: d, node: n, from: from}, key.Value, driver)
		d.check(l, from)
		f.Labs = append(f.Labs, l)
		lines := map[string]int{}
		for path, n := range from {
			lines[path] = n.Line
		}
		f.lines[l.Name] = lines
	}
	n, said := d.found(root, "default")
	switch {
	case value(root, "default") == nil && len(list) == 1:
		f.Default = list[0]
	case value(root, "default") == nil && len(list) > 1:
		d.problem(labs, fmt.Sprintf("there are %d labs and no default", len(list)), "default: one of "+meant("", list)+", at the top of the file")
	case said && !names[f.Default]:
		d.problem(n, fmt.Sprintf("the default lab %q is not in labs", f.Default), meant(f.Default, list))
	}
	return f
}

func (d *decoder) lab(s section, name, driver string) *Lab {
	l := &Lab{
		Name:      name,
		Domain:    s.text("domain", name+".example"),
		Interface: s.text("interface", defaultInterface),
		Driver:    s.text("driver", driver),
		Provider:  s.text("provider", ""),
	}
	if n, ok := s.scalar("subnet"); ok {
		l.Subnet = s.network(n, "subnet")
	}
	engine := s.in("engine")
	l.Engine = Engine{
		Version: engine.text("version", ""),
		Source:  engine.text("source", defaultSource),

		RegistryMirrors:    engine.list("registry_mirrors"),
		InsecureRegistries: engine.list("insecure_registries"),
	}
	l.Swarm = d.swarm(s.in("swarm"), l.Subnet)

	every := Node{Box: s.text("box", defaultBox), CPUs: s.number("cpus", defaultCPUs), Memory: s.number("memory", defaultMemory), Disk: s.number("disk", 0)}
	nodes, ok := d.found(s.node, "nodes")
	if !ok || nodes.Kind != yaml.SequenceNode {
		return l
	}
	s.from["nodes"] = nodes
	for i, item := range nodes.Content {
		path := "nodes." + strconv.Itoa(i)
		s.from[path] = item
		for _, key := range []string{"box", "cpus", "memory", "disk"} {
			if n := s.from[key]; n != nil {
				s.from[path+"."+key] = n
			}
		}
		l.Nodes = append(l.Nodes, d.node(section{d, item, path + ".", s.from}, every))
	}
	return l
}

func (d *decoder) swarm(s section, subnet netip.Prefix) Swarm {
	w := Swarm{
		SubnetSize:   s.number("subnet_size", defaultSubnetSize),
		DataPathPort: s.number("data_path_port", defaultDataPathPort),
		CertExpiry:   defaultCertExpiry,
		Autolock:     s.truth("autolock"),
		TaskHistory:  s.number("task_history", defaultTaskHistory),
	}
	if n, ok := s.scalar("cert_expiry"); ok {
		expiry, err := parseExpiry(n.Value)
		if err != nil {
			d.problem(n, "cert_expiry is "+shown(n), "a duration such as 2160h or 90d")
		}
		w.CertExpiry = expiry
	}
	if pools := s.in("default_addr_pool"); pools.node != nil {
		for i, item := range pools.node.Content {
			var pool netip.Prefix
			if item.Kind == yaml.ScalarNode && !d.bad[item] {
				pool = s.network(item, "the pool")
			}
			s.from[pools.prefix+strconv.Itoa(i)] = item
			w.DefaultAddrPool = append(w.DefaultAddrPool, pool)
		}
	} else {
		w.DefaultAddrPool = []netip.Prefix{defaultPool(subnet)}
	}
	unsaid := func(key string) bool { return s.from[s.prefix+key] == nil }
	w.Unsaid = Unsaid{
		DefaultAddrPool: unsaid("default_addr_pool"), SubnetSize: unsaid("subnet_size"), DataPathPort: unsaid("data_path_port"),
		CertExpiry: unsaid("cert_expiry"), Autolock: unsaid("autolock"), TaskHistory: unsaid("task_history"),
	}
	return w
}

// defaultPool is where overlay networks take their subnets from where
// labs.yaml does not say: never Docker's own 10.0.0.0/8, whose second network
// is VirtualBox's NAT network, and never on top of the lab.
func defaultPool(subnet netip.Prefix) netip.Prefix {
	for _, second := range []byte{100, 110} {
		if p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, second, 0, 0}), 16); !p.Overlaps(subnet) {
			return p
		}
	}
	// The lab has both, so it is 10.64.0.0/10 or larger.
	return netip.MustParsePrefix("192.168.0.0/16")
}

// node reads one; every is what the lab says of those that say nothing themselves.
func (d *decoder) node(s section, every Node) Node {
	n := Node{
		Name:         s.text("name", ""),
		Role:         Role(s.text("role", string(RoleWorker))),
		Availability: Availability(s.text("availability", string(AvailabilityActive))),
		Box:          s.text("box", every.Box),
		CPUs:         s.number("cpus", every.CPUs),
		Memory:       s.number("memory", every.Memory),
		Disk:         s.number("disk", every.Disk),
		Labels:       s.texts("labels"),
		EngineLabels: s.texts("engine_labels"),
	}
	if d.roleUnclear(s.node) {
		n.Role = ""
	}
	if v, ok := s.scalar("ip"); ok {
		ip, err := netip.ParseAddr(v.Value)
		if err != nil || !ip.Is4() {
			d.problem(v, "ip is "+shown(v), "an IPv4 address such as 10.20.20.100")
		} else {
			n.IP = ip
		}
	}
	return n
}

// roleUnclear tells a node whose role has a problem of its own, or may hide
// behind a misspelt key: it may have been meant to be the manager.
func (d *decoder) roleUnclear(n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return true
	}
	if _, ok := d.found(n, "role"); ok {
		return false
	}
	if value(n, "role") != nil {
		return true
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if d.bad[n.Content[i]] {
			return true
		}
	}
	return false
}

// parseExpiry reads a duration as time.ParseDuration does, with days before
// everything else ("90d", "1d12h").
func parseExpiry(s string) (time.Duration, error) {
	var days time.Duration
	rest := s
	if number, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("days of %q: %w", s, err)
		}
		days, rest = time.Duration(n)*24*time.Hour, after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, err
	}
	if d > 1<<62 {
		return 0, fmt.Errorf("duration %q is too long", s)
	}
	return days + d, nil
}

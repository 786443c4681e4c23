package sandbox

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
)

const bridgePrefix = "dcab-" // of every lab's bridge

// Interface names are at most 15 bytes long (IFNAMSIZ).
func (d *Driver) bridge() string { return bridgePrefix + d.cfg.ID[:9] }
func (d *Driver) veth(node string) string {
	return fmt.Sprintf("dcv%s%x", d.cfg.ID[:6], sum(d.cfg.ID, node)[:3])
}

// chain names the lab's own chain in every iptables table that it needs.
func (d *Driver) chain() string { return "DCALAB-" + d.cfg.ID }

func sum(parts ...string) []byte {
	h := sha256.Sum256([]byte(strings.Join(parts, "/")))
	return h[:]
}

// hardwareAddr is a node's MAC address: locally administered, and the same
// after every start, so that no neighbour keeps a stale one.
func (d *Driver) hardwareAddr(node string) net.HardwareAddr {
	return append(net.HardwareAddr{0x02}, sum(d.cfg.ID, node)[:5]...)
}

// uplink tells whether the host has a default route. Without one, nodes get
// none either.
func uplink() (bool, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return false, fmt.Errorf("read the host's routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			return true, nil
		}
		if ones, _ := r.Dst.Mask.Size(); ones == 0 {
			return true, nil
		}
	}
	return false, nil
}

// clash finds a route of the host's, other than the default route and this
// lab's own, that covers any of the lab's subnet, and says whose it is.
func (d *Driver) clash() (string, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return "", fmt.Errorf("read the host's routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, _ := netip.AddrFromSlice(r.Dst.IP.To4())
		ones, _ := r.Dst.Mask.Size()
		p := netip.PrefixFrom(addr, ones)
		if ones == 0 || !p.Overlaps(d.cfg.Lab.Subnet) {
			continue
		}
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil {
			continue // gone meanwhile
		}
		switch a := link.Attrs(); {
		case a.Name == d.bridge():
		case strings.HasPrefix(a.Alias, aliasPrefix):
			return fmt.Sprintf("%s belongs to %s", p, a.Alias), nil
		default:
			return fmt.Sprintf("the host has a route to %s through %s", p, a.Name), nil
		}
	}
	return "", nil
}

const (
	aliasPrefix = "dcalab lab "
	aliasMax    = 255 // bytes; one less than the kernel's IFALIASZ
)

// raise makes the lab's bridge and tells whether the host has an uplink, so
// that nodes can be given a way out. It may be called again at any time.
func (d *Driver) raise() (nat bool, err error) {
	name := d.bridge()
	br, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
			return false, fmt.Errorf("bridge %s: %w", name, err)
		}
		br, err = netlink.LinkByName(name)
	}
	if err != nil {
		return false, fmt.Errorf("bridge %s: %w", name, err)
	}
	// The alias tells whoever lists the host's links what this one is for.
	alias := aliasPrefix + d.cfg.Lab.Name + " in " + d.cfg.Root
	if err := netlink.LinkSetAlias(br, alias[:min(len(alias), aliasMax)]); err != nil {
		return false, fmt.Errorf("alias of bridge %s: %w", name, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP:   d.cfg.Lab.Gateway().AsSlice(),
		Mask: net.CIDRMask(d.cfg.Lab.Subnet.Bits(), 32),
	}}
	if err := netlink.AddrReplace(br, addr); err != nil {
		return false, fmt.Errorf("address %s on bridge %s: %w", addr, name, err)
	}
	if err := netlink.LinkSetUp(br); err != nil {
		return false, err
	}
	return uplink()
}

// That dcalab switched forwarding on is remembered in a file of this name and
// the id of the network namespace, whose switch it is: the last lab in there
// switches it off again.
const forwardMark = runtimeRoot + "/ip_forward.was-off"

const forwardSwitch = "/proc/sys/net/ipv4/ip_forward"

// hostEnginePID is there while the host's own engine runs.
const hostEnginePID = "/run/docker.pid"

// forwardMarkHere is the mark of the network namespace that this process is in.
func forwardMarkHere() (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	// The cookie is never used again while this kernel runs; kernels before
	// 5.14 have none, and the inode may come back.
	if cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err == nil {
		return fmt.Sprintf("%s.%d", forwardMark, cookie), nil
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", fmt.Errorf("this network namespace: %w", err)
	}
	return fmt.Sprintf("%s.i%d", forwardMark, st.Ino), nil
}

// forwards tells whether dcalab switched forwarding on in this network
// namespace.
func forwards() bool {
	mark, err := forwardMarkHere()
	if err == nil {
		_, err = os.Stat(mark)
	}
	return err == nil
}

// forward switches forwarding on, for a lab whose bridge is there already.
func forward() error {
	root, err := lockedDir(runtimeRoot, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer root.Close()
	now, err := os.ReadFile(forwardSwitch)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(now)) != "0" {
		return nil
	}
	mark, err := forwardMarkHere()
	if err != nil {
		return err
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	return os.WriteFile(forwardSwitch, []byte("1"), 0)
}

// unforward undoes forward, when no lab is left in this network namespace. The
// caller has locked runtimeRoot.
func unforward() error {
	if !forwards() {
		return nil
	}
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, bridgePrefix) {
			return nil
		}
	}
	// An engine that the host started meanwhile needs it too, and found it on.
	if _, err := os.Stat(hostEnginePID); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(forwardSwitch, []byte("0"), 0); err != nil {
			return err
		}
	}
	mark, err := forwardMarkHere()
	if err != nil {
		return err
	}
	return os.Remove(mark)
}

// dropForwardMarks removes the marks of network namespaces that went with
// their labs. It is for when there is no lab left at all.
func dropForwardMarks() error {
	marks, err := filepath.Glob(forwardMark + "*")
	for _, m := range marks {
		err = errors.Join(err, os.Remove(m))
	}
	return err
}

// rule is one rule in one of iptables' own chains that leads to ours.
type rule struct {
	table, chain string
	spec         []string
}

// rules are what the lab's own chains hold: traffic among the nodes, out to
// the world, and the answers back; nothing else. A host whose own Docker drops
// what it does not know would cut the lab off without them, and one that
// forwards would let its LAN, and other labs, in at the nodes' ports. What the
// host itself sends is not forwarded, and so passes by.
func (d *Driver) rules(nat bool) []rule {
	br := d.bridge()
	filter := func(spec ...string) rule { return rule{"filter", d.chain(), spec} }
	rules := []rule{
		filter("-i", br, "-o", br, "-j", "ACCEPT"),
		filter("-i", br, "-o", bridgePrefix+"+", "-j", "DROP"),
		filter("-i", br, "-j", "ACCEPT"),
		filter("-o", br, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"),
		d.closing(),
	}
	if nat {
		rules = append(rules, rule{"nat", d.chain(), []string{"!", "-o", br, "-j", "MASQUERADE"}})
	}
	return rules
}

// closing is the last rule of the lab's chain in the filter table. Where it is
// there, so are those before it.
func (d *Driver) closing() rule {
	return rule{"filter", d.chain(), []string{"-o", d.bridge(), "-j", "DROP"}}
}

// entrances are the jumps from the tables' own chains into the lab's.
func (d *Driver) entrances() []rule {
	return []rule{
		{"filter", "FORWARD", []string{"-j", d.chain()}},
		{"nat", "POSTROUTING", []string{"-s", d.cfg.Lab.Subnet.String(), "-j", d.chain()}},
	}
}

// allow lets the lab's traffic through the host's firewall, and nothing else
// in. Rules that are there already stay, so that it may be called while nodes
// run. Forwarding comes last: nothing gets in while the rules are being made.
func (d *Driver) allow(nat bool) error {
	ipt, err := iptables.New(iptables.Timeout(5))
	if err != nil {
		return fmt.Errorf("iptables: %w", err)
	}
	made := map[string]bool{}
	for _, r := range d.rules(nat) {
		if !made[r.table] {
			made[r.table] = true
			ok, err := ipt.ChainExists(r.table, r.chain)
			if err == nil && !ok {
				err = ipt.NewChain(r.table, r.chain)
			}
			if err == nil && ok && r.table == "filter" {
				// Of another release, or half made: their order counts.
				if ok, err = ipt.Exists(r.table, r.chain, d.closing().spec...); err == nil && !ok {
					err = ipt.ClearChain(r.table, r.chain)
				}
			}
			if err != nil {
				return fmt.Errorf("iptables: %w", err)
			}
		}
		if err := ipt.AppendUnique(r.table, r.chain, r.spec...); err != nil {
			return fmt.Errorf("iptables: %w", err)
		}
	}
	for _, r := range d.entrances() {
		if !made[r.table] {
			continue
		}
		if err := ipt.InsertUnique(r.table, r.chain, 1, r.spec...); err != nil {
			return fmt.Errorf("iptables: %w", err)
		}
	}
	if nat {
		return forward()
	}
	return nil
}

// disallow takes back what allow did, and touches nothing else.
func (d *Driver) disallow() error {
	ipt, err := iptables.New(iptables.Timeout(5))
	if err != nil {
		return nil //nolint:nilerr // without iptables there are no rules of ours
	}
	for _, r := range d.entrances() {
		ok, err := ipt.ChainExists(r.table, d.chain())
		if err != nil {
			return fmt.Errorf("iptables: %w", err)
		}
		if !ok {
			continue
		}
		// Found by where they lead: the subnet in labs.yaml may be another by now.
		rules, err := ipt.List(r.table, r.chain)
		if err != nil {
			return fmt.Errorf("iptables: %w", err)
		}
		for _, line := range rules {
			f := strings.Fields(line) // -A POSTROUTING -s 10.20.20.0/24 -j DCALAB-…
			if len(f) < 4 || f[0] != "-A" || f[len(f)-1] != d.chain() {
				continue
			}
			if err := ipt.Delete(r.table, r.chain, f[2:]...); err != nil {
				return fmt.Errorf("iptables: %w", err)
			}
		}
		if err := ipt.ClearAndDeleteChain(r.table, d.chain()); err != nil {
			return fmt.Errorf("iptables: %w", err)
		}
	}
	return nil
}

// fell removes the bridge and the way out.
func (d *Driver) fell() error {
	br, err := netlink.LinkByName(d.bridge())
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		// Rules may be there all the same, when somebody else removed the
		// bridge; where iptables does not work, there are none.
		_ = d.disallow()
		return nil
	}
	if err != nil {
		return err
	}
	if err := d.disallow(); err != nil {
		return err
	}
	return netlink.LinkDel(br)
}

// mend plugs in a running node that has no interface, or one that leads
// nowhere: Up was killed before plug, or somebody removed the bridge. One that
// was switched off is switched on again.
func (d *Driver) mend(n lab.Node, pid int) error {
	br, err := netlink.LinkByName(d.bridge())
	if err != nil {
		return fmt.Errorf("bridge %s: %w", d.bridge(), err)
	}
	link, err := netlink.LinkByName(d.veth(n.Name))
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return d.plug(n, pid)
	}
	if err == nil && link.Attrs().MasterIndex != br.Attrs().Index {
		err = netlink.LinkSetMaster(link, br)
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("interface of %s: %w", n.Name, err)
	}
	return d.switchOn(n, pid)
}

// switchOn gives the interface of a running node, where it is down, what PID 1
// gave it. One that has another name by now is left to its owner.
func (d *Driver) switchOn(n lab.Node, pid int) error {
	nat, err := uplink()
	if err != nil {
		return err
	}
	return inNetworkNamespace(pid, func() error {
		link, err := netlink.LinkByName(d.cfg.Lab.Interface)
		if errors.As(err, &netlink.LinkNotFoundError{}) || err == nil && link.Attrs().Flags&net.FlagUp != 0 {
			return nil
		}
		if err != nil {
			return err
		}
		return joinNetwork(d.spec(n, nat))
	})
}

// inNetworkNamespace runs f on a thread that is in a process's network
// namespace.
func inNetworkNamespace(pid int, f func() error) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends in there
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter a node's network: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// plug gives a node, whose PID 1 is pid, its interface on the bridge. The
// interface dies with the node's network namespace.
func (d *Driver) plug(n lab.Node, pid int) error {
	br, err := netlink.LinkByName(d.bridge())
	if err != nil {
		return fmt.Errorf("bridge %s: %w", d.bridge(), err)
	}
	if err := d.unplug(n.Name); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = d.veth(n.Name)
	attrs.MasterIndex = br.Attrs().Index
	attrs.Flags = net.FlagUp
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: d.cfg.Lab.Interface,
		PeerHardwareAddr: d.hardwareAddr(n.Name), PeerNamespace: netlink.NsPid(pid),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("interface %s of %s: %w", d.cfg.Lab.Interface, n.Name, err)
	}
	return nil
}

// unplug removes the interface of a node that has died. The kernel would do it
// by itself, some time after the node's last process has gone.
func (d *Driver) unplug(node string) error {
	link, err := netlink.LinkByName(d.veth(node))
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if errors.As(err, &netlink.LinkNotFoundError{}) || errors.Is(err, unix.ENODEV) {
		return nil // it went in between
	}
	if err != nil {
		return fmt.Errorf("remove interface %s: %w", d.veth(node), err)
	}
	return nil
}

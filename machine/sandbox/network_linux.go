package sandbox

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox/pid1"
)

// network is a lab's network on the host: a bridge, a veth pair per node, and
// firewall rules (firewall_linux.go).
type network struct {
	id   string
	lab  *lab.Lab
	root string // the folder that holds the lab's state, for the bridge's alias
}

const bridgePrefix = "dcab-" // of every lab's bridge

// Interface names are at most 15 bytes long (IFNAMSIZ).
func (n network) bridge() string { return bridgePrefix + n.id[:9] }
func (n network) veth(node string) string {
	return fmt.Sprintf("dcv%s%x", n.id[:6], n.hash(node)[:3])
}

// chain is the name of the lab's own chain in every iptables table that it uses.
func (n network) chain() string { return "DCALAB-" + n.id }

func (n network) hash(of string) []byte {
	h := sha256.Sum256([]byte(n.id + "/" + of))
	return h[:]
}

// hardwareAddr is the MAC address of the node with that address: locally
// administered, and the same after every start and for every node that ever has
// the address, so that no neighbour keeps a stale one.
func (n network) hardwareAddr(ip netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{0x02}, n.hash(ip.String())[:5]...)
}

// learningNodes is the size up to which a lab's nodes find each other's MAC
// addresses themselves, by ARP. The kernel keeps what all hosts and namespaces
// have found in one table of 1,024 entries (net.ipv4.neigh.default.gc_thresh3,
// where nobody has changed it), and the nodes of a swarm all speak to each other:
// 33 nodes fill it, and then have no route to each other. Permanent entries are
// not counted.
const learningNodes = 20

// neighbours are the MAC addresses that a node of a large lab is told; nil in
// others.
func (n network) neighbours(of lab.Node) map[netip.Addr]string {
	if len(n.lab.Nodes) <= learningNodes {
		return nil
	}
	told := map[netip.Addr]string{}
	for _, other := range n.lab.Nodes {
		if other.Name != of.Name {
			told[other.IP] = n.hardwareAddr(other.IP).String()
		}
	}
	return told
}

// spec is what a node's PID 1 is told about its network.
func (n network) spec(of lab.Node, nat bool) pid1.Spec {
	sp := pid1.Spec{
		Interface: n.lab.Interface, Address: netip.PrefixFrom(of.IP, n.lab.Subnet.Bits()),
		Neighbours: n.neighbours(of),
	}
	if nat {
		sp.Gateway = n.lab.Gateway()
	}
	return sp
}

// uplink tells whether the host has a default route. Without one, nodes get
// none either.
func uplink() (bool, error) {
	routes, err := whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
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

// whole asks the kernel for a list, again where it changed meanwhile: another lab comes up.
func whole[T any](list func() ([]T, error)) (all []T, err error) {
	for range 100 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// conflict finds a route of the host, other than the default route and this
// lab's own, that overlaps the lab's subnet, and says whose it is.
func (n network) conflict() (string, error) {
	routes, err := os.ReadFile("/proc/thread-self/net/route")
	if err != nil {
		return "", fmt.Errorf("read the host's routes: %w", err)
	}
	for _, r := range machine.ParseRoutes(string(routes)) {
		if r.Interface == n.bridge() || !r.Addr.Overlaps(n.lab.Subnet) {
			continue
		}
		link, err := netlink.LinkByName(r.Interface)
		switch {
		case err != nil: // removed meanwhile
		case strings.HasPrefix(link.Attrs().Alias, aliasPrefix):
			return fmt.Sprintf("%s belongs to %s", r.Addr, link.Attrs().Alias), nil
		default:
			return fmt.Sprintf("the host has a route to %s through %s", r.Addr, r.Interface), nil
		}
	}
	return "", nil
}

const (
	aliasPrefix = "dcalab lab "
	aliasMax    = 255 // bytes; one less than the kernel's IFALIASZ
)

// setUpBridge makes the lab's bridge and tells whether the host has an uplink,
// so that nodes can be given a way out. It may be called again at any time.
func (n network) setUpBridge() (nat bool, err error) {
	name := n.bridge()
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
	alias := aliasPrefix + n.lab.Name + " in " + n.root
	if err := netlink.LinkSetAlias(br, alias[:min(len(alias), aliasMax)]); err != nil {
		return false, fmt.Errorf("alias of bridge %s: %w", name, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP:   n.lab.Gateway().AsSlice(),
		Mask: net.CIDRMask(n.lab.Subnet.Bits(), 32),
	}}
	if err := netlink.AddrReplace(br, addr); err != nil {
		return false, fmt.Errorf("address %s on bridge %s: %w", addr, name, err)
	}
	if err := netlink.LinkSetUp(br); err != nil {
		return false, err
	}
	return uplink()
}

// tearDown removes the bridge and the firewall rules.
func (n network) tearDown() error {
	br, err := netlink.LinkByName(n.bridge())
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		// Where somebody else removed the bridge, there may still be rules; where
		// iptables does not work, there are none.
		_ = n.disallow()
		return nil
	}
	if err != nil {
		return err
	}
	if err := n.disallow(); err != nil {
		return err
	}
	return netlink.LinkDel(br)
}

// repair attaches a running node that has no interface, or whose interface leads
// nowhere: Up was killed before attach, or somebody removed the bridge. An
// interface that was switched off is switched on again.
func (n network) repair(of lab.Node, pid int) error {
	br, err := netlink.LinkByName(n.bridge())
	if err != nil {
		return fmt.Errorf("bridge %s: %w", n.bridge(), err)
	}
	link, err := netlink.LinkByName(n.veth(of.Name))
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return n.attach(of, pid)
	}
	if err == nil && link.Attrs().MasterIndex != br.Attrs().Index {
		err = netlink.LinkSetMaster(link, br)
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("interface of %s: %w", of.Name, err)
	}
	return n.switchOn(of, pid)
}

// switchOn gives the interface of a running node, where it is down, what PID 1
// gave it. An interface that was renamed in the node is left as it is.
func (n network) switchOn(of lab.Node, pid int) error {
	nat, err := uplink()
	if err != nil {
		return err
	}
	return inNetworkNamespace(pid, func() error {
		link, err := netlink.LinkByName(n.lab.Interface)
		if errors.As(err, &netlink.LinkNotFoundError{}) || err == nil && link.Attrs().Flags&net.FlagUp != 0 {
			return nil
		}
		if err != nil {
			return err
		}
		return pid1.JoinNetwork(n.spec(of, nat))
	})
}

// onOwnThread runs f on a thread that ends with it, so that f may change the
// thread's namespaces.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the Go runtime ends such a thread
		done <- f()
	}()
	return <-done
}

// inNetworkNamespace runs f in a process's network namespace.
func inNetworkNamespace(pid int, f func() error) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	return onOwnThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter a node's network: %w", err)
		}
		return f()
	})
}

// attach gives a node, whose PID 1 is pid, its interface on the bridge. The
// interface is removed with the node's network namespace.
func (n network) attach(of lab.Node, pid int) error {
	br, err := netlink.LinkByName(n.bridge())
	if err != nil {
		return fmt.Errorf("bridge %s: %w", n.bridge(), err)
	}
	if err := n.detach(of.Name); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.veth(of.Name)
	attrs.MasterIndex = br.Attrs().Index
	attrs.Flags = net.FlagUp
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: n.lab.Interface,
		PeerHardwareAddr: n.hardwareAddr(of.IP), PeerNamespace: netlink.NsPid(pid),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("interface %s of %s: %w", n.lab.Interface, of.Name, err)
	}
	return nil
}

// detach removes the interface of a node that has ended. The kernel would do it
// too, some time after the node's last process.
func (n network) detach(node string) error {
	link, err := netlink.LinkByName(n.veth(node))
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if errors.As(err, &netlink.LinkNotFoundError{}) || errors.Is(err, unix.ENODEV) {
		return nil // removed meanwhile
	}
	if err != nil {
		return fmt.Errorf("remove interface %s: %w", n.veth(node), err)
	}
	return nil
}

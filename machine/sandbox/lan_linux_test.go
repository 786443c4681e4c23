package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// elsewhere is a thread in a network namespace of its own: another host.
type elsewhere struct {
	path string // of the namespace
	todo chan func()
}

// newElsewhere makes another host; it is gone with the test.
func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{todo: make(chan func())}
	began := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the namespace goes with the thread
		err := unix.Unshare(unix.CLONE_NEWNET)
		e.path = fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		began <- err
		for f := range e.todo {
			f()
		}
	}()
	t.Cleanup(func() { close(e.todo) })
	if err := <-began; err != nil {
		t.Fatal(err)
	}
	e.try(t, func() error { return setUp("lo") })
	return e
}

// try runs f in there.
func (e *elsewhere) try(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	e.todo <- func() { done <- f() }
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func setUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// newLAN makes a host on a LAN with this one, which is 198.51.100.2 there and
// has its default route through it: 198.51.100.1 is also the internet, where
// 203.0.113.80 answers on port 80 (RFC 5737), and has a route to the lab's
// subnet.
func newLAN(t *testing.T, subnet netip.Prefix) *elsewhere {
	t.Helper()
	lan := newElsewhere(t)
	ns, err := os.Open(lan.path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "wan0"
	wan := &netlink.Veth{LinkAttrs: attrs, PeerName: "lan0", PeerNamespace: netlink.NsFd(int(ns.Fd()))}
	if err := errors.Join(netlink.LinkAdd(wan), netlink.LinkSetUp(wan)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(wan) })
	addAddr(t, wan, "198.51.100.2/24")
	lan.try(t, func() error {
		link, err := netlink.LinkByName("lan0")
		if err != nil {
			return err
		}
		addAddr(t, link, "198.51.100.1/24")
		addAddr(t, link, "203.0.113.80/32")
		_, dst, _ := net.ParseCIDR(subnet.String())
		return errors.Join(netlink.LinkSetUp(link),
			netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Gw: net.IPv4(198, 51, 100, 2)}))
	})
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: wan.Attrs().Index, Gw: net.IPv4(198, 51, 100, 1)}); err != nil {
		t.Fatal(err)
	}
	lan.try(t, func() error {
		l, err := net.Listen("tcp4", "203.0.113.80:80")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "from "+c.RemoteAddr().(*net.TCPAddr).IP.String()+"\n")
				c.Close()
			}
		}()
		return nil
	})
	return lan
}

// dropped counts what the last rule of a lab's chain has dropped, in packets.
func dropped(t *testing.T, d *Driver) int {
	t.Helper()
	out, err := exec.Command("iptables", "-w", "-v", "-x", "-n", "-L", d.net.chain()).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	f := strings.Fields(lines[len(lines)-1])
	if len(f) < 3 || f[2] != "DROP" {
		t.Fatalf("the chain does not end in a drop:\n%s", out)
	}
	n, err := strconv.Atoi(f[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNodesAreNotOnTheLAN holds that a lab with a way out has no way in.
func TestNodesAreNotOnTheLAN(t *testing.T) {
	f := newFixture(t, "master", "node01")
	lan := newLAN(t, f.Lab.Subnet)
	// Whoever had a lab of an earlier release up has rules without an end.
	d := f.up(t)
	if out, err := exec.Command("iptables", "-w", "-D", d.net.chain(), "-o", d.net.bridge(), "-j", "DROP").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f.up(t)

	const page = "timeout 20 bash -c 'exec 3<>/dev/tcp/203.0.113.80/80; cat <&3'"
	if got := f.sh(t, "node01", page); got != "from 198.51.100.2" {
		t.Errorf("the internet answers a node %q", got)
	}
	if got := f.sh(t, "node01", "timeout 20 bash -c 'exec 3<>/dev/tcp/10.20.20.100/22; head -c 4 <&3'"); got != "SSH-" {
		t.Errorf("a node answers a node %q", got)
	}
	here, err := net.Dial("tcp4", "10.20.20.100:22")
	if err != nil {
		t.Errorf("this host does not reach a node: %v", err)
	} else {
		here.Close()
	}
	for _, port := range []int{22, 2377, 7946} {
		before := dropped(t, d)
		answer := make(chan error, 1)
		lan.try(t, func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			go func() {
				defer unix.Close(fd)
				answer <- unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{10, 20, 20, 100}})
			}()
			return nil
		})
		eventually(t, fmt.Sprintf("the knock at %d is answered or dropped", port), func() bool {
			select {
			case err := <-answer:
				t.Errorf("port %d of a node answers the LAN: %v", port, err)
				return true
			default:
				return dropped(t, d) > before
			}
		})
	}
}

// TestLabsDoNotReachEachOther holds the same among labs of one host.
func TestLabsDoNotReachEachOther(t *testing.T) {
	f := newFixture(t, "master")
	newLAN(t, f.Lab.Subnet)
	g := newFixtureBeside(t, "master")
	g.Lab.Subnet = netip.MustParsePrefix("10.20.30.0/24")
	g.Lab.Nodes[0].IP = netip.MustParseAddr("10.20.30.100")
	f.up(t)
	g.up(t)
	defer g.destroy(t)
	for _, way := range []struct {
		from *fixture
		to   string
	}{{f, "10.20.30.100"}, {g, "10.20.20.100"}} {
		if out, err := way.from.try(t, "master", "timeout 1 bash -c 'exec 3<>/dev/tcp/"+way.to+"/22; head -c 4 <&3'"); err == nil {
			t.Errorf("%s answers another lab: %q", way.to, out)
		}
	}
}

// TestForwardingIsKeptPerNetworkNamespace holds that labs of two network
// namespaces share nothing of it, and that each leaves it as it was.
func TestForwardingIsKeptPerNetworkNamespace(t *testing.T) {
	f := newFixture(t, "master")
	newLAN(t, f.Lab.Subnet)
	f.up(t)
	if !forwards() || strings.TrimSpace(readText(forwardSwitch)) != "1" {
		t.Fatal("forwarding is not on, or not remembered")
	}
	if limits := strings.Join(f.driver().Limits(t.Context()), "\n"); !strings.Contains(limits, "IP forwarding") {
		t.Errorf("nothing is said of forwarding: %q", limits)
	}
	// In another network namespace it is on already, and stays so when the last
	// lab there goes, while this one's lab is up.
	other := newElsewhere(t)
	other.try(t, func() error {
		root, err := lockedDir(runtimeRoot, unix.LOCK_EX)
		if err != nil {
			return err
		}
		defer root.Close()
		if forwards() {
			return errors.New("forwarding of one network namespace is remembered for another")
		}
		return unforward()
	})
	if got := strings.TrimSpace(readText(forwardSwitch)); got != "1" {
		t.Errorf("another network namespace switched forwarding to %s", got)
	}
	f.destroy(t)
	if got := strings.TrimSpace(readText(forwardSwitch)); got != "0" {
		t.Errorf("forwarding is %s after the last lab went", got)
	}
	// On before: it stays on.
	if err := os.WriteFile(forwardSwitch, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	f.up(t)
	if forwards() {
		t.Error("dcalab remembers that it switched on what was on")
	}
	f.destroy(t)
	if got := strings.TrimSpace(readText(forwardSwitch)); got != "1" {
		t.Errorf("forwarding is %s, and was on before", got)
	}
	if err := os.WriteFile(forwardSwitch, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(forwardMark + "*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestTheLastLabSwitchesForwardingOff holds that it is the last, not any.
func TestTheLastLabSwitchesForwardingOff(t *testing.T) {
	f := newFixture(t, "master")
	newLAN(t, f.Lab.Subnet)
	g := newFixtureBeside(t, "master")
	g.Lab.Subnet = netip.MustParsePrefix("10.20.30.0/24")
	g.Lab.Nodes[0].IP = netip.MustParseAddr("10.20.30.100")
	f.up(t)
	g.up(t)
	f.destroy(t)
	if got := strings.TrimSpace(readText(forwardSwitch)); got != "1" {
		t.Errorf("forwarding is %s while a lab is left", got)
	}
	g.destroy(t)
	if got := strings.TrimSpace(readText(forwardSwitch)); got != "0" {
		t.Errorf("forwarding is %s after the last lab went", got)
	}
}

package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/sandbox/pid1"
	"github.com/dcalab/dcalab/trouble"
)

func TestMissingPrograms(t *testing.T) {
	here := func(names ...string) string {
		first, second := t.TempDir(), t.TempDir()
		for i, name := range names {
			dir := []string{first, second}[i%2]
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return first + ":" + second
	}
	names := func(path string) []string {
		var out []string
		for _, p := range missing(path) {
			out = append(out, p.name)
		}
		return out
	}
	for _, test := range []struct {
		name, path string
		want       []string
	}{
		{"nothing installed", here(), []string{"runc", "dockerd", "docker", "containerd", "iptables", "ip", "sshd", "sudo"}},
		{"all installed", here("runc", "dockerd", "docker", "containerd", "iptables", "ip", "sshd", "sudo"), nil},
		{"no sshd", here("runc", "dockerd", "docker", "containerd", "iptables", "ip", "sudo"), []string{"sshd"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := names(test.path); !slices.Equal(got, test.want) {
				t.Errorf("missing %v, want %v", got, test.want)
			}
		})
	}
	t.Run("neither a folder nor a file that cannot be run is a program", func(t *testing.T) {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(filepath.Join(dir, "runc"), 0o755), os.WriteFile(filepath.Join(dir, "sshd"), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"runc", "sshd", "absent"} {
			if at, err := find(dir, name); err == nil {
				t.Errorf("found %s at %s", name, at)
			}
		}
	})
}

func TestPreflight(t *testing.T) {
	// refused checks that Preflight and Up both refuse, in words that hold all
	// of these, and touch nothing.
	refused := func(t *testing.T, f *fixture, words ...string) {
		t.Helper()
		for name, err := range map[string]error{
			"preflight": f.driver().Preflight(t.Context()),
			"up":        f.driver().Up(t.Context(), observerThatFails(t)),
		} {
			if err == nil {
				t.Errorf("%s: no error, want one with %q", name, words)
				continue
			}
			if got := trouble.ExitStatus(err); got != trouble.ExitRequirement {
				t.Errorf("%s: exit status %d, want %d", name, got, trouble.ExitRequirement)
			}
			if len(trouble.Advice(err)) == 0 {
				t.Errorf("%s: no advice in %v", name, err)
			}
			for _, word := range words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %v; want %q in it", name, err, word)
				}
			}
		}
		if _, err := os.Stat(f.Nodes); err == nil {
			t.Error("there are disks of nodes")
		}
	}

	t.Run("nothing is missing here", func(t *testing.T) {
		f := newFixture(t, "master")
		if err := f.driver().Preflight(t.Context()); err != nil {
			t.Error(err)
		}
		f.wantNothing(t)
	})
	t.Run("another lab has the subnet", func(t *testing.T) {
		f := newFixture(t, "master")
		f.Lab.Name = "the-first"
		d := f.up(t)
		if err := d.Preflight(t.Context()); err != nil {
			t.Errorf("a lab is in its own way: %v", err)
		}
		other := newFixtureBeside(t, "master")
		refused(t, other, "10.20.20.0/24", "the-first", f.Root)
		other.Lab.Subnet = netip.MustParsePrefix("10.20.0.0/16")
		refused(t, other, "10.20.20.0/24", "the-first")

		other.Lab.Subnet = netip.MustParsePrefix("10.20.21.0/24")
		other.Lab.Nodes[0].IP = netip.MustParseAddr("10.20.21.100")
		other.up(t)
		other.destroy(t)
		for _, l := range other.leftovers(t) {
			if !strings.HasPrefix(l, "path /run/dcalab") { // the other lab's too
				t.Error("left behind by one lab of two: " + l)
			}
		}
		if got := f.sh(t, "master", "id -un"); got != User {
			t.Errorf("destroying one lab hurt the other: %q", got)
		}
	})
	for _, cidr := range []string{"10.20.20.7/30", "10.20.0.1/16"} {
		t.Run("the host has a route that overlaps, "+cidr, func(t *testing.T) {
			f := newFixture(t, "master")
			addAddr(t, addLink(t, "lan0"), cidr)
			refused(t, f, netip.MustParsePrefix(cidr).Masked().String(), "lan0")
		})
	}
	t.Run("a default route is no clash", func(t *testing.T) {
		f := newFixture(t, "master")
		fakeUplink(t)
		if err := f.driver().Preflight(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("a lab in a deep folder", func(t *testing.T) {
		f := newFixture(t, "master")
		// Its path does not fit into the alias of a link.
		f.Nodes = filepath.Join(f.Root, strings.Repeat("deep/", 60), "nodes")
		if err := os.MkdirAll(filepath.Dir(f.Nodes), 0o755); err != nil {
			t.Fatal(err)
		}
		f.up(t)
	})
}

func TestHaveModule(t *testing.T) {
	if !haveModule("overlay") && readText("/proc/filesystems") == "" {
		t.Error("no overlay")
	}
	if haveModule("no_such_module_of_dcalab") {
		t.Error("found a module that does not exist")
	}
}

func TestSumsAreNames(t *testing.T) {
	d := New(Config{ID: "0123456789ab", Lab: &lab.Lab{}})
	seen := map[string]string{}
	for i := range 60 {
		node := fmt.Sprintf("node%02d", i)
		name := d.net.veth(node)
		if len(name) > 15 || seen[name] != "" {
			t.Errorf("%s: %q is too long, or %s's", node, name, seen[name])
		}
		seen[name] = node
		if mac := d.net.hardwareAddr(netip.AddrFrom4([4]byte{10, 20, 20, byte(i)})); len(mac) != 6 || mac[0]&3 != 2 {
			t.Errorf("%s: %v is no locally administered unicast address", node, mac)
		}
	}
	if len(d.net.bridge()) > 15 || len(d.net.chain()) > 28 {
		t.Errorf("%q or %q is too long", d.net.bridge(), d.net.chain())
	}
}

// The kernel's table of neighbours is one for all nodes, and too small for what
// those of a large lab would find out about each other.
func TestLargeLabsAreToldTheirNeighbours(t *testing.T) {
	of := func(size int) network {
		l := &lab.Lab{Interface: "neighbours", Subnet: netip.MustParsePrefix("10.20.20.0/24")}
		for i := range size {
			l.Nodes = append(l.Nodes, lab.Node{Name: fmt.Sprintf("node%02d", i), IP: netip.AddrFrom4([4]byte{10, 20, 20, byte(100 + i)})})
		}
		return network{id: "0123456789ab", lab: l}
	}
	if small := of(learningNodes); small.neighbours(small.lab.Nodes[0]) != nil {
		t.Error("a small lab does not find its neighbours itself")
	}
	large := of(learningNodes + 1)
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "neighbours-far"
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: large.lab.Interface}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	if err := pid1.JoinNetwork(large.spec(large.lab.Nodes[0], false)); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName(large.lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	known, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, k := range known {
		if k.State == netlink.NUD_PERMANENT {
			got[k.IP.String()] = k.HardwareAddr.String()
		}
	}
	for i, n := range large.lab.Nodes {
		want := ""
		if i > 0 {
			want = large.hardwareAddr(n.IP).String()
		}
		if got[n.IP.String()] != want {
			t.Errorf("the MAC address of %s is %q, want %q", n.Name, got[n.IP.String()], want)
		}
	}
}

package sandbox

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/machinetest"
)

// upCommand makes this test program a dcalab that brings a fixture's lab up,
// for others to kill.
const upCommand = "test-up"

func TestMain(m *testing.M) {
	if status, done := machinetest.Isolate(); done {
		os.Exit(status)
	}
	if len(os.Args) == 3 && os.Args[1] == canaryCommand {
		exit(upWithCanaries(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == upCommand {
		f := &fixture{Root: os.Args[2]}
		data, err := os.ReadFile(f.path("fixture.json"))
		if err == nil {
			err = json.Unmarshal(data, f)
		}
		if err == nil {
			err = f.driver().Up(context.Background(), machine.Observer{})
		}
		exit(err)
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// fixture is a lab of a test's own, with what surrounds it on a user's
// machine: a state folder, a key pair, and a file per pinned host key.
type fixture struct {
	Root string
	ID   string
	Lab  *lab.Lab
	// Nodes is the folder of the nodes' disks.
	Nodes string
}

// newFixture makes a lab of these nodes, with nothing up, and sees to it that
// the test leaves nothing of it, or of any lab, behind.
func newFixture(t *testing.T, nodes ...string) *fixture {
	t.Helper()
	f := newFixtureBeside(t, nodes...)
	forwarding := readText(forwardSwitch)
	t.Cleanup(func() {
		if err := f.driver().Destroy(context.Background(), machine.Observer{}); err != nil {
			t.Errorf("destroy at the end: %v", err)
		}
		f.wantNothing(t)
		if now := readText(forwardSwitch); now != forwarding {
			t.Errorf("ip_forward is %q, was %q", now, forwarding)
		}
	})
	return f
}

// newFixtureBeside makes a lab beside one that is up.
func newFixtureBeside(t *testing.T, nodes ...string) *fixture {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	id := make([]byte, 6)
	_, _ = rand.Read(id)
	f := &fixture{Root: t.TempDir(), ID: hex.EncodeToString(id)}
	f.Nodes = f.path("nodes")
	f.Lab = &lab.Lab{
		Name: "contract", Domain: "docker-dca.example", Interface: "enp0s8",
		Subnet: netip.MustParsePrefix("10.20.20.0/24"),
	}
	ip := netip.MustParseAddr("10.20.20.100")
	for _, name := range nodes {
		f.Lab.Nodes = append(f.Lab.Nodes, lab.Node{Name: name, IP: ip, CPUs: 1, Memory: 1024})
		ip = ip.Next()
	}
	if err := os.Mkdir(f.path("keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"id": pem.EncodeToMemory(block), "id.pub": ssh.MarshalAuthorizedKey(key)} {
		if err := os.WriteFile(f.path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *fixture) path(name string) string { return filepath.Join(f.Root, name) }

func (f *fixture) driver() *Driver {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cfg := Config{
		Lab: f.Lab, ID: f.ID, Dir: f.Nodes, Root: f.Root, Executable: exe,
		IdentityFile: f.path("id"),
		AuthorizedKey: func() (ssh.PublicKey, error) {
			key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(readText(f.path("id.pub"))))
			return key, err
		},
		PinHostKey: func(host string, key ssh.PublicKey) error {
			return os.WriteFile(f.path("keys/"+host), ssh.MarshalAuthorizedKey(key), 0o600)
		},
		ForgetHostKey: func(host string) error {
			if err := os.Remove(f.path("keys/" + host)); !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return nil
		},
		Hidden: []string{f.Root},
	}
	return New(cfg)
}

// claim makes the lab's folders of root's, with their record.
func (f *fixture) claim(t *testing.T) {
	t.Helper()
	if err := f.driver().place.claim(); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) hostKey(alias string) (ssh.PublicKey, bool) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(readText(f.path("keys/" + alias))))
	return key, err == nil
}

// save writes the fixture for a child that runs upCommand.
func (f *fixture) save(t *testing.T) {
	t.Helper()
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path("fixture.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) up(t *testing.T) *Driver {
	t.Helper()
	d := f.driver()
	if err := d.Up(t.Context(), machine.Observer{}); err != nil {
		t.Fatalf("up: %v", err)
	}
	return d
}

func (f *fixture) destroy(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := f.driver().Destroy(ctx, machine.Observer{}); err != nil {
		t.Fatalf("destroy: %v", err)
	}
}

// try runs a shell command in a node.
func (f *fixture) try(t *testing.T, node, command string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ep, err := f.driver().Endpoint(ctx, node)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := f.hostKey(ep.HostKeyAlias)
	if !ok {
		t.Fatalf("no host key is pinned for %s", ep.HostKeyAlias)
	}
	out, err := machinetest.Exec(ctx, ep, key, command)
	return strings.TrimSpace(out), err
}

func (f *fixture) sh(t *testing.T, node, command string) string {
	t.Helper()
	out, err := f.try(t, node, command)
	if err != nil {
		t.Fatalf("%s: %s: %v", node, command, err)
	}
	return out
}

// eventually polls for a minute until f gives true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
		_ = pause(t.Context(), 20*time.Millisecond)
	}
}

// wantNothing checks that nothing of the lab is left on this machine.
func (f *fixture) wantNothing(t *testing.T) {
	t.Helper()
	// The kernel takes down links and ends processes in its own time.
	left := f.leftovers(t)
	for deadline := time.Now().Add(30 * time.Second); len(left) > 0 && time.Now().Before(deadline); left = f.leftovers(t) {
		_ = pause(context.Background(), 20*time.Millisecond)
	}
	for _, l := range left {
		t.Error("left behind: " + l)
	}
}

// leftovers looks for everything that the package comment says a lab has.
func (f *fixture) leftovers(t *testing.T) []string {
	t.Helper()
	var left []string
	found := func(format string, args ...any) { left = append(left, fmt.Sprintf(format, args...)) }
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if strings.Contains(readText(p+"/stat"), ") Z ") {
			continue // dead; whoever is PID 1 on this host has yet to collect it
		}
		cmdline := strings.ReplaceAll(readText(p+"/cmdline"), "\x00", " ")
		if strings.Contains(readText(p+"/cgroup"), f.ID) || strings.Contains(cmdline, f.ID) {
			found("process %s %s", filepath.Base(p), cmdline)
		}
	}
	roots, err := hierarchies()
	if err != nil || len(roots) == 0 {
		t.Fatalf("no cgroup hierarchies: %v", err)
	}
	for _, root := range roots {
		if _, err := os.Stat(filepath.Join(root, "dcalab", f.ID)); err == nil {
			found("cgroup in %s", root)
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if name := l.Attrs().Name; strings.HasPrefix(name, "dcab-"+f.ID[:9]) || strings.HasPrefix(name, "dcv"+f.ID[:6]) {
			found("link %s", name)
		}
	}
	rules, err := exec.Command("iptables-save").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(rules)) {
		if strings.Contains(line, f.ID) {
			found("iptables %s", strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(readText("/proc/self/mountinfo")) {
		if strings.Contains(line, f.ID) || strings.Contains(line, f.Nodes) {
			found("mount %s", strings.TrimSpace(line))
		}
	}
	for _, pattern := range []string{"/run/dcalab", "/run/.probe-*", f.Nodes, filepath.Dir(f.Nodes) + "/.*", f.path("keys/*")} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			found("path %s", p)
		}
	}
	return left
}

// fakeUplink gives this network namespace a default route, so that the driver
// makes its NAT rules. It leads nowhere.
func fakeUplink(t *testing.T) {
	t.Helper()
	wan := addLink(t, "wan0")
	addAddr(t, wan, "198.51.100.2/24") // RFC 5737
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: wan.Attrs().Index, Gw: netip.MustParseAddr("198.51.100.1").AsSlice()}); err != nil {
		t.Fatal(err)
	}
}

// addLink makes a link that leads nowhere: a bridge with nothing on it.
func addLink(t *testing.T, name string) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	link := &netlink.Bridge{LinkAttrs: attrs}
	if err := errors.Join(netlink.LinkAdd(link), netlink.LinkSetUp(link)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlink.LinkDel(link); err != nil {
			t.Error(err)
		}
	})
	return link
}

func addAddr(t *testing.T, link netlink.Link, cidr string) {
	t.Helper()
	addr, err := netlink.ParseAddr(cidr)
	if err == nil {
		err = netlink.AddrAdd(link, addr)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	f := newFixture(t, "master", "node01", "node02")
	machinetest.Run(t, machinetest.Setup{
		Lab: f.Lab, Boot: time.Minute, Prompt: 10 * time.Second,
		New:     func(*testing.T) machine.Driver { return f.driver() },
		HostKey: f.hostKey,
	})
}

// The leftovers that other tests look for are really found: a test that
// cannot fail is worse than none.
func TestLeftoversAreFound(t *testing.T) {
	f := newFixture(t, "master")
	fakeUplink(t)
	f.up(t)
	left := f.leftovers(t)
	for _, want := range []string{"process", "cgroup", "link dcab-", "link dcv", "iptables :DCALAB-", "path /run/dcalab", "path " + f.Nodes, "path " + f.path("keys/")} {
		if !slices.ContainsFunc(left, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("a running lab shows no %q in %q", want, left)
		}
	}
	for _, rule := range []string{"FORWARD -j DCALAB-", "POSTROUTING -s 10.20.20.0/24 -j DCALAB-", "MASQUERADE"} {
		if !slices.ContainsFunc(left, func(s string) bool { return strings.Contains(s, rule) }) {
			t.Errorf("no rule with %q in %q", rule, left)
		}
	}
	if got := strings.TrimSpace(readText(forwardSwitch)); got != "1" {
		t.Errorf("ip_forward is %s with an uplink, want 1", got)
	}
	if got := f.sh(t, "master", "ip route show default"); !strings.Contains(got, "via 10.20.20.1 dev enp0s8") {
		t.Errorf("the node's default route is %q", got)
	}
}

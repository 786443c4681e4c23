package machinetest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
)

func (c *contract) nothing(t *testing.T) {
	d := c.gone(t)
	ctx := c.context(t)
	if err := d.Destroy(ctx, machine.Observer{}); err != nil {
		t.Errorf("destroy of what does not exist: %v", err)
	}
	if err := d.Destroy(ctx, machine.Observer{}, c.first()); err != nil {
		t.Errorf("destroy of a node that does not exist: %v", err)
	}
	if err := d.Halt(ctx, machine.Observer{}); err != nil {
		t.Errorf("halt of what does not exist: %v", err)
	}
	var r readiness
	if err := d.Start(ctx, r.observer()); err == nil {
		t.Error("start of nodes that do not exist succeeded")
	}
	r.want(t)
	c.wantStatus(t, d, machine.StatusAbsent)
}

func (c *contract) unknown(t *testing.T) {
	d := c.New(t)
	ctx := c.context(t)
	before, err := d.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const nobody = "nobody-of-this-name"
	for name, call := range map[string]func() error{
		"up":       func() error { return d.Up(ctx, machine.Observer{}, c.first(), nobody) },
		"start":    func() error { return d.Start(ctx, machine.Observer{}, c.first(), nobody) },
		"halt":     func() error { return d.Halt(ctx, machine.Observer{}, c.first(), nobody) },
		"destroy":  func() error { return d.Destroy(ctx, machine.Observer{}, c.first(), nobody) },
		"endpoint": func() error { _, err := d.Endpoint(ctx, nobody); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), nobody) {
			t.Errorf("%s: error is %v, want one that names %s", name, err, nobody)
		}
	}
	after, err := d.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(before, after) {
		t.Errorf("status went from %v to %v", before, after)
	}
}

func (c *contract) upOne(t *testing.T) {
	c.gone(t)
	d := c.up(t, c.first())
	c.wantStatus(t, d, machine.StatusAbsent, c.first(), machine.StatusRunning)
	// Start, where some of the nodes are absent, starts none of the others.
	var absent *machine.AbsentError
	if err := d.Start(c.context(t), machine.Observer{}, c.first(), c.second()); !errors.As(err, &absent) || absent.Node != c.second() {
		t.Errorf("start of an absent node: %v", err)
	}
	c.wantStatus(t, d, machine.StatusAbsent, c.first(), machine.StatusRunning)
}

// upAll also checks that Ready comes with an endpoint that works then and
// there, and that a second Up changes nothing and tells of the nodes again.
func (c *contract) upAll(t *testing.T) {
	d := c.New(t)
	ctx := c.context(t)
	var r readiness
	collect := r.observer().Ready
	o := machine.Observer{Ready: func(ep node.Endpoint) {
		collect(ep)
		key, ok := c.HostKey(ep.HostKeyAlias)
		if !ok {
			t.Errorf("%s is ready, and no host key is pinned for %s", ep.Node, ep.HostKeyAlias)
			return
		}
		if out, err := Exec(ctx, ep, key, "id -un"); err != nil || strings.TrimSpace(out) != ep.User {
			t.Errorf("%s is ready, and `id -un` gives %q, %v; want %s", ep.Node, out, err, ep.User)
		}
	}}
	if err := d.Up(ctx, o); err != nil {
		t.Fatal(err)
	}
	r.want(t, c.Lab.NodeNames()...)
	c.wantStatus(t, d, machine.StatusRunning)

	for _, name := range c.Lab.NodeNames() {
		ep, err := d.Endpoint(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if told := r.calls[name][0]; !same(ep, told) {
			t.Errorf("Endpoint gives %+v, Ready %+v", ep, told)
		}
	}

	lives := map[string]string{}
	for _, name := range c.Lab.NodeNames() {
		lives[name] = c.life(t, d, name)
	}
	c.upWith(t, d)
	for _, name := range c.Lab.NodeNames() {
		if now := c.life(t, d, name); now != lives[name] {
			t.Errorf("a second up booted %s again (%s, then %s)", name, lives[name], now)
		}
	}
	if r.wasLate {
		t.Error("Ready was called after Up had returned")
	}
}

func (c *contract) twice(t *testing.T) {
	c.up(t, c.second())
	d := c.New(t)
	if err := d.Halt(c.context(t), machine.Observer{}, c.first(), c.first()); err != nil {
		t.Fatal(err)
	}
	n, _ := c.Lab.Node(c.first())
	var r readiness
	if err := d.Up(c.context(t), r.observer(), n.Name, c.Lab.Hostname(n), n.Name); err != nil {
		t.Fatal(err)
	}
	r.want(t, n.Name)
}

func (c *contract) fresh(t *testing.T) {
	node := c.Lab.Nodes[2]
	d := c.New(t)
	if err := d.Destroy(c.context(t), machine.Observer{}, node.Name); err != nil {
		t.Fatal(err)
	}
	c.upWith(t, d, node.Name)
	ep, err := d.Endpoint(c.context(t), node.Name)
	if err != nil {
		t.Fatal(err)
	}
	grouped := "1"
	if d.Traits().Boxes {
		grouped = "0"
	}
	for _, check := range []struct{ what, command, want string }{
		{"the user", "id -un", ep.User},
		{"sudo without a password", "sudo -n id -u", "0"},
		{"in the docker group only where no box is", "id -nG | tr ' ' '\\n' | grep -c '^docker$' || true", grouped},
		{"the host name", "hostname", c.Lab.Hostname(node)},
		{"the kernel's host name", "uname -n", c.Lab.Hostname(node)},
		{"the lab's address on an interface", fmt.Sprintf("ip -4 -o addr | grep -c ' %s/%d ' || true", node.IP, c.Lab.Subnet.Bits()), "1"},
		{"that interface is up", fmt.Sprintf("ip -4 -o addr show up | grep -c ' %s/' || true", node.IP), "1"},
		{"a home to write to", "cd && touch here && stat -c %U here && rm here", ep.User},
		{"an exit status", "(exit 7); echo $?", "7"},
	} {
		if got := c.shAt(t, ep, check.command); got != check.want {
			t.Errorf("%s: `%s` gives %q, want %q", check.what, check.command, got, check.want)
		}
	}
	for _, other := range c.Lab.Nodes {
		for _, name := range []string{other.Name, c.Lab.Hostname(other)} {
			if got := c.shAt(t, ep, "getent ahostsv4 "+name+" | cut -d' ' -f1 | sort -u"); got != other.IP.String() {
				t.Errorf("%s is %q in %s, want %s", name, got, node.Name, other.IP)
			}
		}
	}
}

func (c *contract) network(t *testing.T) {
	t.Helper()
	d := c.up(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, from := range c.Lab.Nodes {
		var script strings.Builder
		for _, to := range c.Lab.Nodes {
			// Every node has an sshd, which speaks first.
			for _, at := range []string{to.IP.String(), to.Name} {
				fmt.Fprintf(&script, "timeout 5 bash -c 'exec 3<>/dev/tcp/%s/22; head -c 4 <&3' || true; echo ' %s'; ", at, at)
			}
		}
		out := c.sh(t, d, from.Name, script.String())
		for _, to := range c.Lab.Nodes {
			for _, at := range []string{to.IP.String(), to.Name} {
				if !strings.Contains(out, "SSH- "+at) {
					t.Errorf("%s does not reach %s at %s: %q", from.Name, to.Name, at, out)
				}
			}
		}
	}
}

func (c *contract) twoDrivers(t *testing.T) {
	one := c.up(t, c.first())
	two := c.New(t)
	ctx := c.context(t)
	seen, err := one.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	other, err := two.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(seen, other) {
		t.Errorf("one sees %v, the other %v", seen, other)
	}
	a, errA := one.Endpoint(ctx, c.first())
	b, errB := two.Endpoint(ctx, c.first())
	if errA != nil || errB != nil || !same(a, b) {
		t.Errorf("endpoints are %+v (%v) and %+v (%v)", a, errA, b, errB)
	}
	if one.Name() != two.Name() || one.Name() == "" {
		t.Errorf("names are %q and %q", one.Name(), two.Name())
	}
	sameTraits(t, one.Traits(), two.Traits())
	if err := two.Halt(ctx, machine.Observer{}, c.first()); err != nil {
		t.Fatal(err)
	}
	seen[c.first()] = machine.StatusHalted
	if now, err := one.Status(ctx); err != nil || !maps.Equal(now, seen) {
		t.Errorf("after the other's halt: %v (%v), want %v", now, err, seen)
	}
	c.upWith(t, one, c.first())
}

func sameTraits(t *testing.T, a, b machine.Traits) {
	t.Helper()
	if (a.Login == nil) != (b.Login == nil) {
		t.Error("one has a login of its own, the other has none")
	}
	a.Login, b.Login = nil, nil
	if !reflect.DeepEqual(a, b) {
		t.Errorf("traits are %+v and %+v", a, b)
	}
}

// traits holds what the driver declares against the node that it made.
func (c *contract) traits(t *testing.T) {
	d := c.up(t, c.first())
	traits := d.Traits()
	if traits.NeedsRoot && traits.PerUser {
		t.Error("a driver that needs root cannot belong to whoever runs it")
	}
	if traits.NeedsRoot && os.Geteuid() > 0 {
		t.Error("it needs root, and did without")
	}
	init := c.sh(t, d, c.first(), "test -d /run/systemd/system && echo systemd || echo another")
	if (init == "systemd") != traits.Systemd {
		t.Errorf("the init of a node is %s, and Systemd is %v", init, traits.Systemd)
	}
	if traits.Login != nil && !strings.Contains(traits.Login(c.first()), c.first()) {
		t.Errorf("the login of %s is %q", c.first(), traits.Login(c.first()))
	}
}

// same tells whether two endpoints lead to the same place, by the same program.
func same(a, b node.Endpoint) bool {
	dials := (a.Dial == nil) == (b.Dial == nil)
	a.Dial, b.Dial = nil, nil
	return dials && reflect.DeepEqual(a, b)
}

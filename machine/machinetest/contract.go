package machinetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
)

// Setup is a lab on which a driver is put to the test. No node of it exists
// when Run begins, and none does when Run ends.
type Setup struct {
	// Lab has three nodes or more, in a domain.
	Lab *lab.Lab
	// New makes a driver for the lab, as another run of dcalab would: drivers
	// share nothing but what they leave on the machine and on the disk.
	New func(t *testing.T) machine.Driver
	// HostKey gives what is pinned for a HostKeyAlias, and whether anything is.
	HostKey func(alias string) (ssh.PublicKey, bool)
	// Boot is how long an Up of the whole lab may take.
	Boot time.Duration
	// Prompt is how soon a method has to return once its context is cancelled.
	Prompt time.Duration
}

// Run holds a driver against the contract of machine.Driver. Its subtests
// share one lab, which passes from one to the next in whatever state it is
// in; each brings it first into the state that it needs, so that any of them
// can be run alone.
//
// With real virtual machines creating a node costs minutes. A whole run
// creates all nodes of the lab four times, begins to twice more, and creates a
// single one twice. Of that, -short leaves one creation of all and the two of
// one; what it leaves out is marked slow.
func Run(t *testing.T, s Setup) {
	t.Helper()
	if len(s.Lab.Nodes) < 3 || s.Lab.Domain == "" {
		t.Fatal("the contract is tested on three nodes or more, in a domain")
	}
	c := &contract{Setup: s}
	t.Cleanup(func() {
		// The test's own context is over by now.
		ctx, cancel := context.WithTimeout(context.Background(), s.Boot)
		defer cancel()
		if err := s.New(t).Destroy(ctx, machine.Observer{}); err != nil {
			t.Errorf("destroy the lab at the end: %v", err)
		}
	})
	t.Run("nothing exists at first", c.nothing)
	t.Run("a node that the lab does not have is an error", c.unknown)
	t.Run("up of one node creates that one", c.upOne)
	t.Run("up creates the rest, and every node is ready once", c.upAll)
	t.Run("a node named twice is one node", c.twice)
	t.Run("a fresh node is what the runbooks expect", c.fresh)
	t.Run("nodes reach each other", c.network)
	t.Run("two drivers see the same truth", c.twoDrivers)
	t.Run("a driver is what its traits say", c.traits)
	t.Run("halt keeps the disk, start brings the node back", c.haltStart)
	t.Run("up after a halt that was cut short", c.haltCancelled)
	t.Run("destroy of one node leaves the others", c.destroyOne)
	t.Run("up that was cut short is finished by the next", c.upCancelled)
	t.Run("destroy cleans up after an up that was cut short", c.upCancelledDestroy)
	t.Run("a context that is over before it began", c.overBefore)
	t.Run("destroy all, and up makes new nodes", c.rebuild)
	t.Run("destroy all", c.destroyAll)
}

// slow marks a subtest that creates the whole lab anew.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow: creates the whole lab anew")
	}
}

// contract is a run of the suite.
type contract struct{ Setup }

// first is the node that single-node tests act on, second one that they leave.
func (c *contract) first() string  { return c.Lab.Nodes[0].Name }
func (c *contract) second() string { return c.Lab.Nodes[1].Name }

func (c *contract) context(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), c.Boot)
	t.Cleanup(cancel)
	return ctx
}

// readiness collects the calls of Observer.Ready.
type readiness struct {
	mu    sync.Mutex
	calls map[string][]node.Endpoint
	// late is set when the method has returned: no call may come any more.
	late, wasLate bool
}

func (r *readiness) observer() machine.Observer {
	return machine.Observer{Ready: func(ep node.Endpoint) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.calls == nil {
			r.calls = map[string][]node.Endpoint{}
		}
		r.calls[ep.Node] = append(r.calls[ep.Node], ep)
		r.wasLate = r.wasLate || r.late
	}}
}

// want checks that exactly these nodes were ready, each once.
func (r *readiness) want(t *testing.T, nodes ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = true
	for node, calls := range r.calls {
		if len(calls) != 1 {
			t.Errorf("Ready was called %d times for %s, want once", len(calls), node)
		}
	}
	if got := slices.Sorted(maps.Keys(r.calls)); !slices.Equal(got, slices.Sorted(slices.Values(nodes))) {
		t.Errorf("Ready was called for %v, want %v", got, nodes)
	}
}

// up brings nodes up, checks that each became ready once, and gives the driver.
func (c *contract) up(t *testing.T, nodes ...string) machine.Driver {
	t.Helper()
	d := c.New(t)
	c.upWith(t, d, nodes...)
	return d
}

func (c *contract) upWith(t *testing.T, d machine.Driver, nodes ...string) {
	t.Helper()
	var r readiness
	if err := d.Up(c.context(t), r.observer(), nodes...); err != nil {
		t.Fatalf("up %v: %v", nodes, err)
	}
	if len(nodes) == 0 {
		nodes = c.Lab.NodeNames()
	}
	r.want(t, nodes...)
}

// gone destroys the lab.
func (c *contract) gone(t *testing.T) machine.Driver {
	t.Helper()
	d := c.New(t)
	if err := d.Destroy(c.context(t), machine.Observer{}); err != nil {
		t.Fatalf("destroy: %v", err)
	}
	c.wantStatus(t, d, machine.StatusAbsent)
	return d
}

// wantStatus checks the status of every node: rest, but for those named.
func (c *contract) wantStatus(t *testing.T, d machine.Driver, rest machine.Status, but ...any) {
	t.Helper()
	want := map[string]machine.Status{}
	for _, name := range c.Lab.NodeNames() {
		want[name] = rest
	}
	for i := 0; i < len(but); i += 2 {
		want[fmt.Sprint(but[i])] = machine.Status(fmt.Sprint(but[i+1]))
	}
	got, err := d.Status(c.context(t))
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	if !maps.Equal(got, want) {
		t.Fatalf("status is %v, want %v", got, want)
	}
}

// sh runs a shell command in a node, as its user, and gives what it printed.
func (c *contract) sh(t *testing.T, d machine.Driver, node, command string) string {
	t.Helper()
	ep, err := d.Endpoint(c.context(t), node)
	if err != nil {
		t.Fatalf("endpoint of %s: %v", node, err)
	}
	return c.shAt(t, ep, command)
}

func (c *contract) shAt(t *testing.T, ep node.Endpoint, command string) string {
	t.Helper()
	key, ok := c.HostKey(ep.HostKeyAlias)
	if !ok {
		t.Fatalf("%s: no host key is pinned for %s", ep.Node, ep.HostKeyAlias)
	}
	out, err := Exec(c.context(t), ep, key, command)
	if err != nil {
		t.Fatalf("%s: %s: %v", ep.Node, command, err)
	}
	return strings.TrimSpace(out)
}

// life tells one boot of a node from another.
func (c *contract) life(t *testing.T, d machine.Driver, node string) string {
	t.Helper()
	return c.sh(t, d, node, "cat /proc/sys/kernel/random/boot_id; sed 's/.*) //' /proc/1/stat | cut -d' ' -f20")
}

func (c *contract) pinned(t *testing.T, node string) string {
	t.Helper()
	n, ok := c.Lab.Node(node)
	if !ok {
		t.Fatalf("no node %s", node)
	}
	key, ok := c.HostKey(c.Lab.Hostname(n))
	if !ok {
		return ""
	}
	return string(ssh.MarshalAuthorizedKey(key))
}

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
		if told := r.calls[name][0]; ep != told {
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
	if errA != nil || errB != nil || a != b {
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

func (c *contract) haltStart(t *testing.T) {
	d := c.up(t)
	ctx := c.context(t)
	name := c.first()
	key, life, spared := c.pinned(t, name), c.life(t, d, name), c.life(t, d, c.second())
	c.sh(t, d, name, "echo kept >~/kept; sudo -n sh -c 'echo kept >/etc/kept'")

	for range 2 { // the second time there is nothing to halt
		if err := d.Halt(ctx, machine.Observer{}, name); err != nil {
			t.Fatal(err)
		}
		c.wantStatus(t, d, machine.StatusRunning, name, machine.StatusHalted)
	}
	if ep, err := d.Endpoint(ctx, name); err == nil {
		if pinned, ok := c.HostKey(ep.HostKeyAlias); ok {
			short, cancel := context.WithTimeout(ctx, min(c.Prompt, 5*time.Second))
			defer cancel()
			if _, err := Exec(short, ep, pinned, "true"); err == nil {
				t.Error("a halted node answers")
			}
		}
	}
	for range 2 { // the second time it runs already
		var r readiness
		if err := d.Start(ctx, r.observer(), name); err != nil {
			t.Fatal(err)
		}
		r.want(t, name)
		c.wantStatus(t, d, machine.StatusRunning)
	}
	if c.pinned(t, name) != key {
		t.Error("the host key changed with a restart")
	}
	want := strings.TrimSpace(strings.Repeat("kept\n", 2))
	if got := c.sh(t, d, name, "cat ~/kept /etc/kept"); got != want {
		t.Errorf("what was written before the halt reads %q", got)
	}
	if c.life(t, d, name) == life {
		t.Error("halt and start did not boot the node anew")
	}
	if c.life(t, d, c.second()) != spared {
		t.Errorf("halt of %s touched %s", name, c.second())
	}

	if err := d.Halt(ctx, machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	c.wantStatus(t, d, machine.StatusHalted)
	c.upWith(t, d)
	if got := c.sh(t, d, name, "cat ~/kept"); got != "kept" {
		t.Errorf("after halt and up of all, the file reads %q", got)
	}
}

// haltCancelled wants up to mean up, also while a halt that nobody waits for
// is still at work.
func (c *contract) haltCancelled(t *testing.T) {
	d := c.up(t, c.first())
	ctx, cancel := context.WithCancel(c.context(t))
	defer cancel()
	o := machine.Observer{Step: func(string, string) { cancel() }}
	if err := d.Halt(ctx, o, c.first()); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.upWith(t, d, c.first())
	c.life(t, d, c.first()) // it answers
	status, err := d.Status(c.context(t))
	if err != nil || status[c.first()] != machine.StatusRunning {
		t.Errorf("status is %v (%v)", status, err)
	}
}

func (c *contract) destroyOne(t *testing.T) {
	d := c.up(t)
	ctx := c.context(t)
	name := c.first()
	key, spared := c.pinned(t, name), c.life(t, d, c.second())
	c.sh(t, d, name, "touch ~/lost")
	for range 2 {
		if err := d.Destroy(ctx, machine.Observer{}, name); err != nil {
			t.Fatal(err)
		}
		c.wantStatus(t, d, machine.StatusRunning, name, machine.StatusAbsent)
	}
	if left := c.pinned(t, name); left != "" {
		t.Errorf("the host key of a destroyed node is still pinned: %s", left)
	}
	if err := d.Start(ctx, machine.Observer{}, name); err == nil {
		t.Error("start of a destroyed node succeeded")
	}
	if c.life(t, d, c.second()) != spared {
		t.Errorf("destroy of %s touched %s", name, c.second())
	}
	c.upWith(t, d, name)
	if now := c.pinned(t, name); now == key || now == "" {
		t.Errorf("the new node's host key is %q, the old one's was %q", now, key)
	}
	if got := c.sh(t, d, name, "ls ~/lost 2>/dev/null || echo new"); got != "new" {
		t.Error("the new node has the old one's files")
	}
	if c.life(t, d, c.second()) != spared {
		t.Errorf("up of %s touched %s", name, c.second())
	}
}

// cut starts an Up of the whole lab and cancels it at the first step of any
// node's whose name is not one of creation alone; it checks the promptness.
func (c *contract) cut(t *testing.T, d machine.Driver) {
	t.Helper()
	ctx, cancel := context.WithCancel(c.context(t))
	defer cancel()
	var mu sync.Mutex
	var cancelled time.Time
	steps := map[string]int{}
	o := machine.Observer{Step: func(node, _ string) {
		mu.Lock()
		defer mu.Unlock()
		if steps[node]++; steps[node] == 2 && cancelled.IsZero() {
			cancelled = time.Now()
			cancel()
		}
	}}
	err := d.Up(ctx, o)
	if cancelled.IsZero() {
		t.Fatalf("up came to no node's second step (%v), so there was nothing to cut short", err)
	}
	took := time.Since(cancelled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("up that was cut short: %v, want %v", err, context.Canceled)
	}
	if took > c.Prompt {
		t.Errorf("up returned %v after its context was cancelled, want %v at most", took, c.Prompt)
	}
	t.Logf("returned %v after the cancellation", took.Round(time.Millisecond))
	if _, err := d.Status(c.context(t)); err != nil {
		t.Errorf("status after it: %v", err)
	}
}

func (c *contract) upCancelled(t *testing.T) {
	slow(t)
	c.cut(t, c.gone(t))
	d := c.up(t)
	c.wantStatus(t, d, machine.StatusRunning)
	c.network(t)
}

func (c *contract) upCancelledDestroy(t *testing.T) {
	slow(t)
	c.cut(t, c.gone(t))
	c.gone(t)
	for _, name := range c.Lab.NodeNames() {
		if left := c.pinned(t, name); left != "" {
			t.Errorf("a host key is still pinned for %s", name)
		}
	}
}

func (c *contract) overBefore(t *testing.T) {
	d := c.New(t)
	before, err := d.Status(c.context(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if err := d.Up(ctx, machine.Observer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("up: %v, want %v", err, context.Canceled)
	}
	if took := time.Since(began); took > c.Prompt {
		t.Errorf("up returned after %v, want %v at most", took, c.Prompt)
	}
	after, err := d.Status(c.context(t))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(before, after) {
		t.Errorf("status went from %v to %v", before, after)
	}
}

func (c *contract) rebuild(t *testing.T) {
	slow(t)
	c.up(t)
	keys := map[string]string{}
	for _, name := range c.Lab.NodeNames() {
		keys[name] = c.pinned(t, name)
	}
	c.gone(t)
	d := c.up(t)
	for _, name := range c.Lab.NodeNames() {
		if now := c.pinned(t, name); now == keys[name] || now == "" {
			t.Errorf("the host key of the new %s is %q, the old one's was %q", name, now, keys[name])
		}
		c.life(t, d, name) // and it is the node's
	}
}

func (c *contract) destroyAll(t *testing.T) {
	c.up(t, c.first())
	c.gone(t)
	for _, name := range c.Lab.NodeNames() {
		if left := c.pinned(t, name); left != "" {
			t.Errorf("a host key is still pinned for %s", name)
		}
	}
}

package machinetest

import (
	"context"
	"fmt"
	"maps"
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

// PinnedIn gives the HostKey of a Setup whose driver pins keys in a lab's state.
func PinnedIn(state *lab.State) func(alias string) (ssh.PublicKey, bool) {
	return func(alias string) (ssh.PublicKey, bool) {
		keys, err := state.HostKeys(alias)
		if err != nil || len(keys) == 0 {
			return nil, false
		}
		return keys[0], true
	}
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
	c := begin(t, s)
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
	t.Run("kill cuts the power, start brings the node back", c.kill)
	t.Run("up after a halt that was cut short", c.haltCancelled)
	t.Run("destroy of one node leaves the others", c.destroyOne)
	t.Run("up that was cut short is finished by the next", c.upCancelled)
	t.Run("destroy cleans up after an up that was cut short", c.upCancelledDestroy)
	t.Run("a context that is over before it began", c.overBefore)
	t.Run("destroy all, and up makes new nodes", c.rebuild)
	t.Run("destroy all", c.destroyAll)
}

// slow marks a subtest that creates the whole lab again.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow: creates the whole lab again")
	}
}

// contract is a run of the suite.
type contract struct{ Setup }

// begin makes the test destroy the lab at its end.
func begin(t *testing.T, s Setup) *contract {
	t.Helper()
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), s.Boot)
		defer cancel()
		if err := s.New(t).Destroy(ctx, machine.Observer{}); err != nil {
			t.Errorf("destroy the lab at the end: %v", err)
		}
	})
	return &contract{s}
}

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

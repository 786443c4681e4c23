package machinetest

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dcalab/dcalab/machine"
)

// kill cuts the power of a node; what was on the disk comes back with it.
func (c *contract) kill(t *testing.T) {
	d := c.up(t)
	killer, ok := d.(machine.Killer)
	if !ok {
		t.Skip("this driver cannot cut the power")
	}
	ctx := c.context(t)
	name := c.first()
	life, spared := c.life(t, d, name), c.life(t, d, c.second())
	c.sh(t, d, name, "echo kept >~/kept; sync")
	for range 2 { // the second time there is nothing to kill
		if err := killer.Kill(ctx, machine.Observer{}, name); err != nil {
			t.Fatal(err)
		}
		c.wantStatus(t, d, machine.StatusRunning, name, machine.StatusHalted)
	}
	var r readiness
	if err := d.Start(ctx, r.observer(), name); err != nil {
		t.Fatal(err)
	}
	r.want(t, name)
	if got := c.sh(t, d, name, "cat ~/kept"); got != "kept" {
		t.Errorf("what was written before reads %q", got)
	}
	if c.life(t, d, name) == life || c.life(t, d, c.second()) != spared {
		t.Error("another node than " + name + " was killed")
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
// is still working.
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

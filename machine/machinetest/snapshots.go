package machinetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dcalab/dcalab/machine"
)

// RunSnapshots holds a driver that keeps snapshots against the contract of
// machine.Snapshotter. As with Run, its subtests share one lab; here each
// builds on the one before.
//
// With real virtual machines each halt and start costs a minute. A whole run
// creates the lab once and halts and starts it three times; -short leaves out
// one of these.
func RunSnapshots(t *testing.T, s Setup) {
	t.Helper()
	c := &snapshots{begin(t, s), time.Now()}
	// Each depends on the ones before.
	_ = t.Run("running nodes are not touched", c.running) &&
		t.Run("save keeps all nodes, once under a name", c.save) &&
		t.Run("a save that was cut short is not listed, and can be done again", c.saveCancelled) &&
		t.Run("restore brings every disk back", c.restore) &&
		t.Run("a restore that was cut short is all or nothing, and can be done again", c.restoreCancelled) &&
		t.Run("delete leaves the nodes alone", c.remove) &&
		t.Run("destroy removes the snapshots", c.destroy)
}

type snapshots struct {
	*contract
	began time.Time
}

// The names under which the suite saves.
const (
	before = "before"
	again  = "again-2"
)

func (c *snapshots) driver(t *testing.T) (machine.Driver, machine.Snapshotter) {
	t.Helper()
	d := c.New(t)
	s, ok := d.(machine.Snapshotter)
	if !ok {
		t.Fatalf("driver %s keeps no snapshots", d.Name())
	}
	return d, s
}

// want checks the list of snapshots, as another driver sees it.
func (c *snapshots) want(t *testing.T, names ...string) {
	t.Helper()
	_, s := c.driver(t)
	list, err := s.Snapshots(c.context(t))
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	var got []string
	for _, one := range list {
		got = append(got, one.Name)
		if !slices.Equal(one.Nodes, c.Lab.NodeNames()) {
			t.Errorf("snapshot %s has the nodes %v, want %v", one.Name, one.Nodes, c.Lab.NodeNames())
		}
		if one.Time.Before(c.began.Add(-2*time.Second)) || one.Time.After(time.Now().Add(2*time.Second)) {
			t.Errorf("snapshot %s is of %v, and the suite began at %v", one.Name, one.Time, c.began)
		}
	}
	if !slices.Equal(got, names) {
		t.Fatalf("the snapshots are %q, want %q", got, names)
	}
}

// write puts a word into two places of every node's disk.
func (c *snapshots) write(t *testing.T, d machine.Driver, word string) {
	t.Helper()
	for _, node := range c.Lab.NodeNames() {
		c.sh(t, d, node, fmt.Sprintf("echo %s >~/word; echo %s | sudo -n tee /etc/word >/dev/null; touch ~/%s; sync", word, word, word))
	}
}

// read gives that word, which must be the same everywhere, and checks that no
// file tells of another. Logging in checks the host keys.
func (c *snapshots) read(t *testing.T, d machine.Driver) string {
	t.Helper()
	found := map[string]bool{}
	for _, node := range c.Lab.NodeNames() {
		for w := range strings.FieldsSeq(c.sh(t, d, node, "cat ~/word /etc/word; cd; ls -d word-*")) {
			found[w] = true
		}
	}
	if len(found) != 1 {
		t.Fatalf("the nodes' disks tell of %v", found)
	}
	for w := range found {
		return w
	}
	return ""
}

func (c *snapshots) halt(t *testing.T, d machine.Driver) {
	t.Helper()
	if err := d.Halt(c.context(t), machine.Observer{}); err != nil {
		t.Fatalf("halt: %v", err)
	}
}

func (c *snapshots) start(t *testing.T, d machine.Driver) {
	t.Helper()
	var r readiness
	if err := d.Start(c.context(t), r.observer()); err != nil {
		t.Fatalf("start: %v", err)
	}
	r.want(t, c.Lab.NodeNames()...)
}

// is checks the kind of an error.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want one that wraps %q", what, err, want)
	}
}

func (c *snapshots) running(t *testing.T) {
	d, s := c.driver(t)
	c.want(t)
	if err := s.SaveSnapshot(c.context(t), machine.Observer{}, before); err == nil {
		t.Error("a snapshot of nodes that do not exist was saved")
	}
	c.up(t)
	c.write(t, d, "word-kept")
	if err := s.SaveSnapshot(c.context(t), machine.Observer{}, before); err == nil {
		t.Error("a snapshot of running nodes was saved")
	}
	is(t, "delete of an unknown one", s.DeleteSnapshot(c.context(t), machine.Observer{}, "nobodys"), machine.ErrNoSnapshot)
	c.want(t)
	c.wantStatus(t, d, machine.StatusRunning)
}

func (c *snapshots) save(t *testing.T) {
	d, s := c.driver(t)
	c.halt(t, d)
	for _, bad := range []string{"", "..", "a/b", "-f", "A"} {
		if err := s.SaveSnapshot(c.context(t), machine.Observer{}, bad); err == nil {
			t.Errorf("a snapshot was saved under the name %q", bad)
		}
	}
	is(t, "restore of an unknown one", s.RestoreSnapshot(c.context(t), machine.Observer{}, "nobodys"), machine.ErrNoSnapshot)
	var mu sync.Mutex
	told := map[string]bool{}
	o := machine.Observer{Step: func(node, _ string) {
		mu.Lock()
		defer mu.Unlock()
		told[node] = true
	}}
	if err := s.SaveSnapshot(c.context(t), o, before); err != nil {
		t.Fatalf("save: %v", err)
	}
	if len(told) == 0 {
		t.Error("the observer was told of no step")
	}
	c.want(t, before)
	is(t, "save under a name that is taken", s.SaveSnapshot(c.context(t), machine.Observer{}, before), machine.ErrSnapshotExists)
	c.want(t, before)
	c.wantStatus(t, d, machine.StatusHalted)
}

// cut cancels a call at the first step that the driver tells.
func (c *snapshots) cut(t *testing.T, call func(context.Context, machine.Observer) error) error {
	t.Helper()
	ctx, cancel := context.WithCancel(c.context(t))
	defer cancel()
	var once sync.Once
	var cancelled time.Time
	err := call(ctx, machine.Observer{Step: func(string, string) {
		once.Do(func() { cancelled = time.Now(); cancel() })
	}})
	if took := time.Since(cancelled); !cancelled.IsZero() && took > c.Prompt {
		t.Errorf("it returned %v after its context was cancelled, want %v at most", took, c.Prompt)
	}
	return err
}

func (c *snapshots) saveCancelled(t *testing.T) {
	d, s := c.driver(t)
	err := c.cut(t, func(ctx context.Context, o machine.Observer) error { return s.SaveSnapshot(ctx, o, again) })
	if err == nil {
		t.Log("it was too late to cut the save short")
	} else {
		c.want(t, before)
		if err := s.SaveSnapshot(c.context(t), machine.Observer{}, again); err != nil {
			t.Fatalf("save again: %v", err)
		}
	}
	c.want(t, before, again)
	c.wantStatus(t, d, machine.StatusHalted)
}

func (c *snapshots) restore(t *testing.T) {
	d, s := c.driver(t)
	c.start(t, d)
	if got := c.read(t, d); got != "word-kept" {
		t.Fatalf("after the save the nodes tell of %q", got)
	}
	keys := map[string]string{}
	for _, node := range c.Lab.NodeNames() {
		keys[node] = c.pinned(t, node)
		c.sh(t, d, node, "rm ~/word-kept")
	}
	c.write(t, d, "word-lost")
	if err := s.RestoreSnapshot(c.context(t), machine.Observer{}, before); err == nil {
		t.Error("a snapshot was restored under running nodes")
	}
	c.wantStatus(t, d, machine.StatusRunning)
	if got := c.read(t, d); got != "word-lost" {
		t.Fatalf("before the restore the nodes tell of %q", got)
	}
	c.halt(t, d)
	if err := s.RestoreSnapshot(c.context(t), machine.Observer{}, before); err != nil {
		t.Fatalf("restore: %v", err)
	}
	c.wantStatus(t, d, machine.StatusHalted)
	c.start(t, d)
	if got := c.read(t, d); got != "word-kept" {
		t.Errorf("after the restore the nodes tell of %q", got)
	}
	for _, node := range c.Lab.NodeNames() {
		if now := c.pinned(t, node); now != keys[node] {
			t.Errorf("the host key of %s is %q, was %q", node, now, keys[node])
		}
	}
	c.want(t, before, again)
}

func (c *snapshots) restoreCancelled(t *testing.T) {
	slow(t)
	d, s := c.driver(t)
	for _, node := range c.Lab.NodeNames() {
		c.sh(t, d, node, "rm ~/word-kept")
	}
	c.write(t, d, "word-new")
	c.halt(t, d)
	restore := func(ctx context.Context, o machine.Observer) error { return s.RestoreSnapshot(ctx, o, again) }
	if err := c.cut(t, restore); err != nil {
		// A driver may refuse to start a lab of which half is restored.
		if err := d.Start(c.context(t), machine.Observer{}); err == nil {
			if got := c.read(t, d); got != "word-new" && got != "word-kept" {
				t.Errorf("after a restore that was cut short the nodes tell of %q", got)
			}
			c.halt(t, d)
		}
		if err := restore(c.context(t), machine.Observer{}); err != nil {
			t.Fatalf("restore again: %v", err)
		}
	}
	c.wantStatus(t, d, machine.StatusHalted)
	c.start(t, d)
	if got := c.read(t, d); got != "word-kept" {
		t.Errorf("after the restore the nodes tell of %q", got)
	}
}

func (c *snapshots) remove(t *testing.T) {
	d, s := c.driver(t)
	life := c.life(t, d, c.first())
	if err := s.DeleteSnapshot(c.context(t), machine.Observer{}, before); err != nil {
		t.Fatalf("delete: %v", err)
	}
	c.want(t, again)
	is(t, "delete of one that is deleted", s.DeleteSnapshot(c.context(t), machine.Observer{}, before), machine.ErrNoSnapshot)
	c.wantStatus(t, d, machine.StatusRunning)
	if now := c.life(t, d, c.first()); now != life {
		t.Errorf("delete booted %s anew", c.first())
	}
	if got := c.read(t, d); got != "word-kept" {
		t.Errorf("after the delete the nodes tell of %q", got)
	}
}

func (c *snapshots) destroy(t *testing.T) {
	c.want(t, again)
	c.gone(t)
	c.want(t)
}

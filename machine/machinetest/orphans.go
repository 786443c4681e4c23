package machinetest

import (
	"maps"
	"slices"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// RunOrphans holds a driver that can tell of orphans against the contract of
// machine.OrphanLister. forLab makes a driver for the lab as labs.yaml has it later,
// of the same id.
func RunOrphans(t *testing.T, s Setup, forLab func(*lab.Lab) machine.Driver) {
	t.Helper()
	c := &contract{Setup: s}
	c.up(t)
	name := c.first()
	less := *s.Lab
	less.Nodes = slices.Clone(s.Lab.Nodes[1:])
	d := forLab(&less)
	lister, ok := d.(machine.OrphanLister)
	before, okBefore := forLab(s.Lab).(machine.OrphanLister)
	if !ok || !okBefore {
		t.Fatal("the driver is no machine.OrphanLister")
	}
	ctx := c.context(t)
	if none, err := before.Orphans(ctx); err != nil || len(none) > 0 {
		t.Errorf("a lab whose nodes all stand in labs.yaml has orphans: %v, %v", none, err)
	}
	want := func(what string, want map[string]machine.Status) {
		t.Helper()
		if got, err := lister.Orphans(ctx); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: orphans are %v (%v), want %v", what, got, err, want)
		}
	}
	want("a node left labs.yaml", map[string]machine.Status{name: machine.StatusRunning})
	if status, err := d.Status(ctx); err != nil || status[name] != "" || len(status) != len(less.Nodes) {
		t.Errorf("the status of the lab's own nodes is %v, %v", status, err)
	}
	n := s.Lab.Nodes[0]
	if got := c.sh(t, d, name, "hostname"); got != s.Lab.Hostname(n) {
		t.Errorf("the orphan's endpoint leads to %s", got)
	}
	if err := d.Up(ctx, machine.Observer{}, name); err == nil {
		t.Error("up of an orphan succeeded")
	}
	spared := c.life(t, d, c.second())
	if err := d.Destroy(ctx, machine.Observer{}, name); err != nil {
		t.Fatal(err)
	}
	want("it was destroyed", map[string]machine.Status{})
	if left := c.pinned(t, name); left != "" {
		t.Errorf("the host key of an orphan that was destroyed is still pinned: %s", left)
	}
	if err := d.Destroy(ctx, machine.Observer{}, name); err == nil {
		t.Error("destroy of what is neither a node nor an orphan succeeded")
	}
	if c.life(t, d, c.second()) != spared {
		t.Errorf("destroy of the orphan touched %s", c.second())
	}
	c.upWith(t, s.New(t), name) // it is a node again
	if err := d.Destroy(ctx, machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	want("all was destroyed", map[string]machine.Status{})
	c.wantStatus(t, s.New(t), machine.StatusAbsent)
}

package vagrant

import (
	"maps"
	"testing"

	"github.com/dcalab/dcalab/machine"
)

func TestOrphans(t *testing.T) {
	f := newStage(t)
	ctx := t.Context()
	if err := f.Up(ctx, machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	want := func(want map[string]machine.Status) {
		t.Helper()
		if got, err := f.Orphans(ctx); err != nil || !maps.Equal(got, want) {
			t.Errorf("orphans are %v, %v; want %v", got, err, want)
		}
	}
	want(map[string]machine.Status{})
	orphan := f.cfg.Lab.Nodes[2]
	f.cfg.Lab.Nodes = f.cfg.Lab.Nodes[:2]
	f.starts()
	want(map[string]machine.Status{orphan.Name: machine.StatusRunning})
	if ep, err := f.Endpoint(ctx, orphan.Name); err != nil || ep.Node != orphan.Name {
		t.Errorf("the orphan's endpoint is %+v, %v", ep, err)
	}
	f.wantStarts() // what is remembered does
	f.play("destroy", `for n; do gone $n; done`)
	if err := f.Destroy(ctx, machine.Observer{}, orphan.Name); err != nil {
		t.Fatal(err)
	}
	f.wantStarts("destroy --force node02 --machine-readable")
	want(map[string]machine.Status{})
	if keys, err := f.state.HostKeys(f.cfg.Lab.Hostname(orphan)); err != nil || len(keys) > 0 {
		t.Errorf("host keys of the orphan: %v, %v", keys, err)
	}
	if err := f.Destroy(ctx, machine.Observer{}, orphan.Name); err == nil {
		t.Error("destroy of what is neither a node nor an orphan succeeded")
	}
	f.wantStatus(map[string]machine.Status{"master": machine.StatusRunning, "node01": machine.StatusRunning})
}

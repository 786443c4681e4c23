package vagrant

import (
	"maps"
	"testing"

	"github.com/dcalab/dcalab/machine"
)

func TestStrays(t *testing.T) {
	f := newStage(t)
	ctx := t.Context()
	if err := f.Up(ctx, machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	want := func(want map[string]machine.Status) {
		t.Helper()
		if got, err := f.Strays(ctx); err != nil || !maps.Equal(got, want) {
			t.Errorf("strays are %v, %v; want %v", got, err, want)
		}
	}
	want(map[string]machine.Status{})
	stray := f.cfg.Lab.Nodes[2]
	f.cfg.Lab.Nodes = f.cfg.Lab.Nodes[:2]
	f.starts()
	want(map[string]machine.Status{stray.Name: machine.StatusRunning})
	if ep, err := f.Endpoint(ctx, stray.Name); err != nil || ep.Node != stray.Name {
		t.Errorf("the stray's endpoint is %+v, %v", ep, err)
	}
	f.wantStarts() // what is remembered does
	f.play("destroy", `for n; do gone $n; done`)
	if err := f.Destroy(ctx, machine.Observer{}, stray.Name); err != nil {
		t.Fatal(err)
	}
	f.wantStarts("destroy --force node02 --machine-readable")
	want(map[string]machine.Status{})
	if keys, err := f.state.HostKeys(f.cfg.Lab.Hostname(stray)); err != nil || len(keys) > 0 {
		t.Errorf("host keys of the stray: %v, %v", keys, err)
	}
	if err := f.Destroy(ctx, machine.Observer{}, stray.Name); err == nil {
		t.Error("destroy of what is neither a node nor a stray succeeded")
	}
	f.wantStatus(map[string]machine.Status{"master": machine.StatusRunning, "node01": machine.StatusRunning})
}

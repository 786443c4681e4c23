package vagrant

import (
	"encoding/json"
	"testing"

	"github.com/dcalab/dcalab/machine"
)

// Whatever is in the driver's files, reading them does not panic, and what
// they give is what could have been written.

func FuzzRecall(f *testing.F) {
	for _, seed := range []string{
		`{"master":{"id":"7f","endpoint":{"network":"tcp","address":"127.0.0.1:2222","user":"vagrant"},"names":"x"}}`,
		`{"master":null}`, `{"master":{"endpoint":7}}`, `[]`, `null`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all := recall(data)
		if all == nil {
			t.Fatal("no map: nothing could be remembered in it")
		}
		if !json.Valid(data) && len(all) > 0 {
			t.Errorf("%q gives %+v", data, all)
		}
	})
}

func FuzzParseAlbum(f *testing.F) {
	for _, seed := range []string{
		`{"snapshots":[{"name":"start","time":"2026-01-02T03:04:05Z","nodes":["master"],"ids":{"master":"7f"}}]}`,
		`{"restoring":"start","snapshots":[]}`, `{"restoring":"--force"}`, `{"snapshots":[{"name":"-f"}]}`, `[]`, `null`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseSnapshotIndex(data)
		if err != nil {
			return
		}
		names := []string{}
		if a.Restoring != "" {
			names = append(names, a.Restoring)
		}
		for _, p := range a.Snapshots {
			names = append(names, p.Name)
		}
		for _, name := range names { // it becomes an argument of Vagrant's
			if machine.CheckSnapshotName(name) != nil {
				t.Errorf("%q gives a snapshot of the name %q", data, name)
			}
		}
	})
}

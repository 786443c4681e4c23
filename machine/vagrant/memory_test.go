package vagrant

import (
	"fmt"
	"sync"
	"testing"

	"github.com/dcalab/dcalab/lab"
)

// status --watch learns of one machine while up, in another terminal, learns of
// the others.
func TestTwoProcessesRememberAtOnce(t *testing.T) {
	root := t.TempDir()
	const each = 20
	open := func() *memory {
		state, err := lab.OpenState(root, "dca", lab.Owner{})
		if err != nil {
			t.Fatal(err)
		}
		return &memory{state: state}
	}
	name := func(p, i int) string { return fmt.Sprintf("node%d-%d", p, i) }
	var all sync.WaitGroup
	for p := range 2 {
		m := open() // another process has its own
		all.Go(func() {
			for i := range each {
				if err := m.edit(name(p, i), func(r remembered) remembered { r.ID = "id"; return r }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	known, err := open().read()
	if err != nil {
		t.Fatal(err)
	}
	for p := range 2 {
		for i := range each {
			if known[name(p, i)].ID != "id" {
				t.Fatalf("%s is forgotten: %d of %d are known", name(p, i), len(known), 2*each)
			}
		}
	}
}

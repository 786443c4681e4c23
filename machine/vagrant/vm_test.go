package vagrant

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/machinetest"
)

// realLab is a lab for real machines, and its folder. It skips the test where
// there is no bed for them (scripts/vm-bed).
func realLab(t *testing.T) (*lab.Lab, *lab.State) {
	t.Helper()
	box := os.Getenv("DCALAB_VM_BOX")
	if box == "" {
		t.Skip("real machines: make test-vm")
	}
	l := &lab.Lab{
		Name: "vm", Domain: "docker-dca.example", Subnet: netip.MustParsePrefix("10.20.20.0/24"),
		Interface: "enp0s8", Driver: Name,
	}
	for i, name := range []string{"master", "node01", "node02"} {
		l.Nodes = append(l.Nodes, lab.Node{
			Name: name, IP: netip.AddrFrom4([4]byte{10, 20, 20, byte(100 + 10*i)}), Role: lab.RoleManager,
			Box: box, CPUs: 1, Memory: 1024,
		})
	}
	state, err := lab.OpenState(t.TempDir(), l.Name, lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.Create(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if text, err := os.ReadFile(state.Log()); err == nil && t.Failed() {
			t.Logf("what Vagrant said:\n%s", text)
		}
	})
	return l, state
}

func realDriver(t *testing.T, l *lab.Lab, state *lab.State) *Driver {
	t.Helper()
	template, err := os.ReadFile("../../Vagrantfile.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	log, err := state.OpenLog()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return New(Config{
		Lab: l, ID: "0123456789ab", Provider: os.Getenv("VAGRANT_DEFAULT_PROVIDER"), Template: string(template),
		State: state, Index: indexBelow(t, filepath.Dir(filepath.Dir(state.Dir()))), Log: stamped{log},
	})
}

// stamped is a log in which every line has its time.
type stamped struct{ *os.File }

func (s stamped) Write(p []byte) (int, error) {
	if _, err := fmt.Fprintf(s.File, "%s %s", time.Now().Format("15:04:05"), p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// TestContract holds the driver against the contract of machine.Driver, on
// real machines.
func TestContract(t *testing.T) {
	machinetest.Run(t, realSetup(t))
}

// TestSnapshots does the same for machine.Snapshotter.
func TestSnapshots(t *testing.T) {
	machinetest.RunSnapshots(t, realSetup(t))
}

func realSetup(t *testing.T) machinetest.Setup {
	t.Helper()
	l, state := realLab(t)
	return machinetest.Setup{
		Lab:     l,
		New:     func(t *testing.T) machine.Driver { t.Helper(); return realDriver(t, l, state) },
		HostKey: machinetest.PinnedIn(state),
		Boot:    10 * time.Minute, Prompt: 2 * time.Minute,
	}
}

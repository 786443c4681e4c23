package bench

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var machines = flag.Bool("bench.machines", false, "measure on real machines, in the bed of scripts/vm-bed")

// TestBenchMachines measures dcalab up --swarm on real machines against the
// same steps typed by hand. Both go through the same Vagrant, with the same
// Vagrantfile; libvirt boots machines at once, and one after another, as
// VirtualBox does, where Vagrant is told to.
func TestBenchMachines(t *testing.T) {
	if !*machines {
		t.Skip("measuring takes a quarter of an hour: make bench-vm")
	}
	box := os.Getenv("DCALAB_VM_BOX")
	if box == "" {
		t.Fatal("real machines: make bench-vm")
	}
	self, by := os.Getenv("DCALAB_E2E_BINARY"), testdata(t, "by-hand.sh")
	labs := fmt.Sprintf(`version: 1
labs:
  dca:
    domain: docker-dca.example
    subnet: 10.20.20.0/24
    driver: vagrant
    box: %s
    cpus: 1
    memory: 1024
    nodes:
      - {name: master, ip: 10.20.20.100, role: manager}
      - {name: node01, ip: 10.20.20.110}
      - {name: node02, ip: 10.20.20.120}
`, box)
	bed := func() []string {
		var env []string
		for _, key := range []string{"VAGRANT_HOME", "VAGRANT_DEFAULT_PROVIDER", "VAGRANT_CHECKPOINT_DISABLE", "VAGRANT_BOX_UPDATE_CHECK_DISABLE"} {
			env = append(env, key+"="+os.Getenv(key))
		}
		return env
	}
	var tab table
	for _, order := range []struct{ what, env string }{
		{"machines boot one after another", "VAGRANT_NO_PARALLEL=1"}, {"machines boot at once", "DCALAB_BENCH=1"},
	} {
		env := append(bed(), order.env)
		ours := tab.line("up --swarm, " + order.what)
		hand := tab.line("  vagrant up, then plain ssh")
		hand.ours = ours
		for range *rounds {
			m := &measured{t: t, dir: t.TempDir(), nodes: class}
			if err := os.WriteFile(filepath.Join(m.dir, "labs.yaml"), []byte(labs), 0o600); err != nil {
				t.Fatal(err)
			}
			ours.add(m.run(env, self, "up", "--swarm"))
			vagrantfile, err := os.ReadFile(filepath.Join(m.dir, ".dcalab/dca/Vagrantfile"))
			if err != nil {
				t.Fatal(err)
			}
			m.run(env, self, "destroy", "--yes")

			h := &measured{t: t, dir: t.TempDir(), nodes: class}
			path := filepath.Join(h.dir, "theirs")
			if err := os.WriteFile(path, vagrantfile, 0o600); err != nil {
				t.Fatal(err)
			}
			hand.add(h.run(env, "bash", by, path))
			h.run(env, "vagrant", "destroy", "--force")
			t.Logf("%s: %v, by hand %v", order.what, last(ours), last(hand))
		}
	}
	if err := tab.write(os.Stdout); err != nil {
		t.Error(err)
	}
}

func last(l *line) time.Duration { return l.times[len(l.times)-1].Round(time.Second) }

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// The sizes of a lab that Starter writes.
const (
	maxStarterManagers = 7
	maxStarterWorkers  = 30
)

// StarterSubnets are those that a lab of Starter's may be in, the usual one
// first: 10.20.20.0/24 to 10.20.250.0/24.
func StarterSubnets() []netip.Prefix {
	var out []netip.Prefix
	for third := 20; third <= 250; third += 10 {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 20, byte(third), 0}), 24))
	}
	return out
}

// Starter writes the labs.yaml that dcalab init leaves: one lab of 1 to 7
// managers and 0 to 30 workers in a subnet of IPv4 with at most 24 bits,
// commented. It passes Parse where the name is one of a lab and the subnet is
// free to use.
func Starter(name string, managers, workers int, subnet netip.Prefix) ([]byte, error) {
	if managers < 1 || managers > maxStarterManagers {
		return nil, &trouble.Error{
			ID:   "starter-size",
			What: fmt.Sprintf("a lab with %d managers", managers),
			Why:  fmt.Sprintf("from 1 to %d are possible, and 1, 3 or 5 make sense: an even number tolerates no more losses than the odd one below it", maxStarterManagers),
			Next: []string{"dcalab init --managers 3 --workers 2"},
			Exit: trouble.ExitUsage,
		}
	}
	if workers < 0 || workers > maxStarterWorkers {
		return nil, &trouble.Error{
			ID:   "starter-size",
			What: fmt.Sprintf("a lab with %d workers", workers),
			Why:  fmt.Sprintf("from 0 to %d are possible", maxStarterWorkers),
			Next: []string{"dcalab init --managers 3 --workers 2"},
			Exit: trouble.ExitUsage,
		}
	}
	var b strings.Builder
	host := func(last int) netip.Addr {
		bytes := subnet.Masked().Addr().As4()
		bytes[3] = byte(last)
		return netip.AddrFrom4(bytes)
	}
	fmt.Fprintf(&b, starterHead, scalar(name), name, name, host(1), subnet)
	for i := range managers {
		fmt.Fprintf(&b, "      - name: manager%02d\n        ip: %s\n        role: manager\n", i+1, host(101+i))
	}
	for i := range workers {
		fmt.Fprintf(&b, "      - name: worker%02d\n        ip: %s\n", i+1, host(111+i))
		if i == 0 {
			b.WriteString(starterLabels)
		}
	}
	return []byte(b.String()), nil
}

const starterHead = `# The labs of this folder. After a change:
#   dcalab config validate   says what is wrong, with line and column
#   dcalab config view       shows what is in force and where it comes from
#   dcalab config schema     is the JSON Schema, for editors
version: 1

# vagrant (virtual machines), sandbox (real nodes without a hypervisor, on
# Linux), docker (the same, in one container of your Docker), or auto, which
# takes what this machine has.
driver: auto

labs:
  %s:
    # manager01 is manager01.%s.example
    domain: %s.example
    # The first address, %s, is this machine.
    subnet: %s
    # Of every node; a node can say its own. Memory is in MiB.
    box: bento/ubuntu-24.04
    cpus: 1
    memory: 1024

    # Pins the engine. Keep the quotes: YAML reads 20.10 as 20.1.
    # engine:
    #   version: "28.2"
    #   source: docker  # or distribution

    # Settings of the whole swarm, with their defaults.
    # swarm:
    #   default_addr_pool: [10.100.0.0/16]
    #   subnet_size: 24
    #   data_path_port: 4789
    #   cert_expiry: 90d
    #   autolock: false
    #   task_history: 5

    # A node is a worker unless it says role: manager, or role: none for a
    # machine with an engine that stays out of the swarm.
    nodes:
`

const starterLabels = `        # availability: drain  # or active, pause
        # labels: {disk: ssd}
        # disk: 2048  # MiB that its /var/lib/docker has for itself (sandbox)
        # engine_labels: {rack: "7"}
`

// FileExists refuses to write a file that is there already.
func FileExists(path string) error {
	return &trouble.Error{
		ID:   "file-exists",
		What: path + " is there already, and was left as it is",
		Next: []string{"dcalab config validate    # checks it", "mv " + path + " " + path + ".old    # makes room for a new one"},
		Exit: trouble.ExitRefused,
	}
}

// WriteNew writes a file that is not there yet. One that is there, whatever it
// is, stays as it is.
func WriteNew(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return FileExists(path)
	}
	if err != nil {
		return fmt.Errorf("write a new file: %w", err)
	}
	defer func() {
		if err != nil {
			// Ours since O_EXCL, and half a file is worse than none.
			err = errors.Join(err, os.Remove(path))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

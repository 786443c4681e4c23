package sandbox

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
)

// remains lists the nodes of which anything is left: a disk, a runtime
// folder, a process, a cgroup.
func (c containers) remains() []string {
	dirs := []string{c.disks.path(), c.disks.restored(), runtimeDir(c.id)}
	roots, _ := hierarchies()
	for _, root := range roots {
		dirs = append(dirs, filepath.Join(root, "dcalab", c.id))
	}
	found := map[string]bool{}
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir) // none where it does not exist
		for _, e := range entries {
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				name, _, _ := strings.Cut(e.Name(), ".") // a suffix says what the folder is for
				found[name] = true
			}
		}
	}
	alive, _ := running(c.id)
	for name := range alive {
		found[name] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// find finds a node of the lab, or an orphan, which has a name only.
func (c containers) find(name string) (lab.Node, error) {
	if n, ok := c.lab.Node(name); ok {
		return n, nil
	}
	if slices.Contains(c.remains(), name) {
		return lab.Node{Name: name}, nil
	}
	return lab.Node{}, fmt.Errorf("lab %s has no node %s", c.lab.Name, name)
}

// Orphans are the nodes of which anything is left and that labs.yaml no longer
// names.
func (d *Driver) Orphans(context.Context) (map[string]machine.Status, error) {
	if err := d.place.verify(); err != nil {
		return nil, err
	}
	alive, err := running(d.cfg.ID)
	if err != nil {
		return nil, err
	}
	out := map[string]machine.Status{}
	for _, name := range d.nodes.remains() {
		if _, ok := d.cfg.Lab.Node(name); ok {
			continue
		}
		out[name] = d.disks.status(name, alive[name])
		if out[name] == machine.StatusAbsent {
			out[name] = machine.StatusUnknown // something else is left of it
		}
	}
	return out, nil
}

// Status tells which nodes run, which are halted, and which do not exist.
func (d *Driver) Status(context.Context) (map[string]machine.Status, error) {
	if err := d.place.verify(); err != nil {
		return nil, err
	}
	alive, err := running(d.cfg.ID)
	if err != nil {
		return nil, err
	}
	out := map[string]machine.Status{}
	for _, n := range d.cfg.Lab.Nodes {
		out[n.Name] = d.disks.status(n.Name, alive[n.Name])
	}
	return out, nil
}

// Endpoint gives the socket that leads to the node's sshd.
func (d *Driver) Endpoint(_ context.Context, name string) (node.Endpoint, error) {
	if err := d.place.verify(); err != nil {
		return node.Endpoint{}, err
	}
	n, err := d.nodes.find(name)
	if err != nil {
		return node.Endpoint{}, err
	}
	return node.Endpoint{
		Node: n.Name, Network: "unix", Address: d.nodes.socket(n.Name),
		User: User, IdentityFile: d.cfg.IdentityFile, HostKeyAlias: d.cfg.Lab.Hostname(n),
	}, nil
}

package vagrant

import (
	"context"
	"fmt"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// Status tells the state of every node. Nodes that answer are not asked about
// any further; for the others Vagrant is started, once.
func (d *Driver) Status(ctx context.Context) (map[string]machine.Status, error) {
	ids, err := d.dotfile.machineIDs()
	if err != nil {
		return nil, err
	}
	answering := d.logins.answering(ctx, d.cfg.Lab.Nodes, ids)
	status := map[string]machine.Status{}
	var ask []string
	for _, n := range d.cfg.Lab.Nodes {
		_, exists := ids[n.Name]
		_, answers := answering[n.Name]
		switch {
		case !exists:
			status[n.Name] = machine.StatusAbsent
		case answers:
			status[n.Name] = machine.StatusRunning
		default:
			status[n.Name] = machine.StatusUnknown
			ask = append(ask, n.Name)
		}
	}
	if len(ask) == 0 {
		return status, ctx.Err()
	}
	err = d.vagrant.ask(ctx, func(e event) {
		if _, ok := status[e.Target]; ok && e.Type == "state" {
			status[e.Target] = stateOf(e.data(0))
		}
	}, append([]string{"status"}, ask...)...)
	if err != nil {
		return nil, err
	}
	for _, name := range ask {
		if status[name] == machine.StatusRunning {
			if err := d.memory.dropEndpoint(name); err != nil { // it has another one now
				return status, err
			}
		}
	}
	return status, nil
}

// stateOf maps the states of Vagrant's providers.
func stateOf(state string) machine.Status {
	switch state {
	case "running", "on": // VirtualBox and the others; Hyper-V says "running" too
		return machine.StatusRunning
	case "not_created", "host_state_unknown":
		return machine.StatusAbsent
	case "poweroff", "shutoff", "shutdown", "stopped", "off", "not_running", "aborted",
		"aborted-saved", "gurumeditation", "saved", "paused", "suspended", "pmsuspended", "crashed", "frozen":
		// vagrant up brings any of these to run, which is what halted means.
		return machine.StatusHalted
	default:
		return machine.StatusUnknown
	}
}

// Endpoint tells how to reach a node that is running.
func (d *Driver) Endpoint(ctx context.Context, name string) (node.Endpoint, error) {
	ids, err := d.dotfile.machineIDs()
	if err != nil {
		return node.Endpoint{}, err
	}
	n, ok := d.cfg.Lab.Node(name)
	switch {
	case !ok && !d.orphan(name, ids):
		return node.Endpoint{}, fmt.Errorf("lab %s has no node %s", d.cfg.Lab.Name, name)
	case !ok:
		return d.orphanEndpoint(name, ids[name])
	}
	id, ok := ids[n.Name]
	if !ok {
		return node.Endpoint{}, &trouble.Error{
			ID: "node-absent", Where: n.Name, Why: "this node has not been created", Next: []string{"create it: dcalab up " + n.Name},
		}
	}
	if ep, ok, err := d.memory.endpoint(n.Name, id); err != nil || ok {
		return ep, err
	}
	ep, id, err := d.vagrant.askEndpoint(ctx, n)
	if err != nil {
		return node.Endpoint{}, err
	}
	// Somebody has used Vagrant itself: what is remembered is about another boot, or
	// another machine.
	return ep, d.logins.adopt(ctx, n, id, ep, true, runningTimeout)
}

// Orphans are the machines that Vagrant has created and labs.yaml no longer
// has. Vagrant is not asked about those that do not answer.
func (d *Driver) Orphans(ctx context.Context) (map[string]machine.Status, error) {
	ids, err := d.dotfile.machineIDs()
	if err != nil {
		return nil, err
	}
	var nodes []lab.Node
	out := map[string]machine.Status{}
	for name := range ids {
		if d.orphan(name, ids) {
			nodes = append(nodes, lab.Node{Name: name})
			out[name] = machine.StatusUnknown
		}
	}
	for name := range d.logins.answering(ctx, nodes, ids) {
		out[name] = machine.StatusRunning
	}
	return out, ctx.Err()
}

func (d *Driver) orphan(name string, ids map[string]string) bool {
	_, ours := d.cfg.Lab.Node(name)
	return !ours && ids[name] != ""
}

// orphanEndpoint is what is remembered of an orphan: nobody looks for more.
func (d *Driver) orphanEndpoint(name, id string) (node.Endpoint, error) {
	ep, ok, err := d.memory.endpoint(name, id)
	if err == nil && !ok {
		err = &trouble.Error{ID: "node-unknown", Where: name, Why: "how this machine is reached is not known, and labs.yaml no longer has it"}
	}
	return ep, err
}

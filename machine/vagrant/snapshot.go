package vagrant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// snapshotsFile lists the lab's snapshots. Vagrant knows snapshots of single
// machines only, and keeps those that a save was cut short over; which of them
// are whole stands here.
const snapshotsFile = "snapshots.json"

// album is what snapshotsFile holds.
type album struct {
	// Restoring is the snapshot that is being restored, or was when the restore
	// was cut short: until it is done again, the nodes must not start.
	Restoring string  `json:"restoring,omitempty"`
	Snapshots []photo `json:"snapshots"`
}

// photo is a snapshot and the machines that it is of.
type photo struct {
	machine.Snapshot
	// IDs of the machines: a machine that was made anew has no snapshots.
	IDs map[string]string `json:"ids"`
	// Deleting: it is going, or was when that was cut short.
	Deleting bool `json:"deleting,omitempty"`
}

var _ machine.Snapshotter = (*Driver)(nil)

// snapshotID is a snapshot's name with Vagrant, where the user may keep others.
func snapshotID(name string) string { return "dcalab-" + name }

func (d *Driver) readAlbum() (album, error) {
	var a album
	data, err := d.cfg.State.ReadFile(snapshotsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	if a, err = parseAlbum(data); err != nil {
		return album{}, fmt.Errorf("read the list of snapshots, %s: %w", filepath.Join(d.cfg.State.Dir(), snapshotsFile), err)
	}
	return a, nil
}

// parseAlbum reads what snapshotsFile holds. The names in it become arguments.
func parseAlbum(data []byte) (album, error) {
	var a album
	if err := json.Unmarshal(data, &a); err != nil {
		return album{}, err
	}
	for _, p := range a.Snapshots {
		if err := machine.CheckSnapshotName(p.Name); err != nil {
			return album{}, err
		}
	}
	if a.Restoring == "" {
		return a, nil
	}
	return a, machine.CheckSnapshotName(a.Restoring)
}

func (d *Driver) writeAlbum(a album) error {
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return d.cfg.State.WriteFile(snapshotsFile, append(data, '\n'), 0o600)
}

// find gives the place of a snapshot that is whole.
func (a album) find(name string) (int, error) {
	at := slices.IndexFunc(a.Snapshots, func(p photo) bool { return p.Name == name && !p.Deleting })
	if at < 0 {
		return at, fmt.Errorf("snapshot %s: %w", name, machine.ErrNoSnapshot)
	}
	return at, nil
}

// Snapshots lists those that are complete, the oldest first.
func (d *Driver) Snapshots(context.Context) ([]machine.Snapshot, error) {
	a, err := d.readAlbum()
	if err != nil {
		return nil, err
	}
	list := []machine.Snapshot{}
	for _, p := range a.Snapshots {
		if !p.Deleting {
			list = append(list, p.Snapshot)
		}
	}
	return list, nil
}

// allHalted gives the ids of all the lab's machines, or says which of them
// is not as it has to be.
func (d *Driver) allHalted(ctx context.Context, what string) (map[string]string, error) {
	status, err := d.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range d.cfg.Lab.Nodes {
		switch status[n.Name] {
		case machine.StatusHalted:
		case machine.StatusAbsent:
			return nil, &trouble.Error{ID: "node-absent", Where: n.Name, What: what, Why: "its machine is not created", Next: []string{"dcalab up " + n.Name}, Exit: trouble.ExitRefused}
		case machine.StatusUnknown:
			return nil, &trouble.Error{ID: "node-unknown", Where: n.Name, What: what, Why: "the state of its machine is not known", Next: []string{"ask Vagrant: dcalab vagrant -- status " + n.Name}, Exit: trouble.ExitRefused}
		default:
			return nil, &trouble.Error{ID: "node-running", Where: n.Name, What: what, Why: "its machine runs", Next: []string{"dcalab halt"}, Exit: trouble.ExitRefused}
		}
	}
	ids, err := d.machineIDs()
	if err != nil {
		return nil, err
	}
	// Those that labs.yaml no longer has shall have no part in it.
	maps.DeleteFunc(ids, func(name, _ string) bool { _, ok := d.cfg.Lab.Node(name); return !ok })
	return ids, nil
}

// SaveSnapshot keeps the disks of all nodes.
func (d *Driver) SaveSnapshot(ctx context.Context, o machine.Observer, name string) error {
	if err := machine.CheckSnapshotName(name); err != nil {
		return err
	}
	a, err := d.readAlbum()
	if err != nil {
		return err
	}
	if _, err := a.find(name); err == nil {
		return fmt.Errorf("snapshot %s: %w", name, machine.ErrSnapshotExists)
	}
	if err := d.settled(a); err != nil {
		return err
	}
	ids, err := d.allHalted(ctx, "save snapshot "+name)
	if err != nil {
		return err
	}
	// What a save that was cut short left behind is replaced.
	if err := d.command(ctx, o, "snapshot", "save", "--force", snapshotID(name)); err != nil {
		return err
	}
	a.Snapshots = slices.DeleteFunc(a.Snapshots, func(p photo) bool { return p.Name == name })
	a.Snapshots = append(a.Snapshots, photo{
		Snapshot: machine.Snapshot{Name: name, Time: time.Now().UTC().Truncate(time.Second), Nodes: d.cfg.Lab.NodeNames()}, IDs: ids,
	})
	return d.writeAlbum(a)
}

// RestoreSnapshot brings all disks back.
func (d *Driver) RestoreSnapshot(ctx context.Context, o machine.Observer, name string) error {
	a, err := d.readAlbum()
	if err != nil {
		return err
	}
	at, err := a.find(name)
	if err != nil {
		return err
	}
	p := a.Snapshots[at]
	if err := p.Fits(d.cfg.Lab); err != nil {
		return err
	}
	ids, err := d.allHalted(ctx, "restore snapshot "+name)
	if err != nil {
		return err
	}
	for _, n := range d.cfg.Lab.Nodes {
		if p.IDs[n.Name] != ids[n.Name] {
			return &trouble.Error{
				ID: "snapshot-of-other-machines", Where: n.Name, What: "refused to restore snapshot " + name,
				Why:  "the machine was made anew since, and its snapshots went with the old one",
				Next: []string{"forget the snapshot: dcalab snapshot delete " + name}, Exit: trouble.ExitRefused,
			}
		}
	}
	if err := d.haveAll(ctx, name); err != nil {
		return err
	}
	a.Restoring = name
	if err := d.writeAlbum(a); err != nil {
		return err
	}
	if err := d.command(ctx, o, "snapshot", "restore", "--no-start", "--no-provision", snapshotID(name)); err != nil {
		return err
	}
	a.Restoring = ""
	return d.writeAlbum(a)
}

// OwnSnapshot names the nodes, in the order of the lab, of whose machines
// Vagrant has a snapshot of this name that dcalab did not take. It starts
// Vagrant, once, and changes nothing.
func (d *Driver) OwnSnapshot(ctx context.Context, name string) ([]string, error) {
	if name == "" || strings.HasPrefix(name, snapshotID("")) {
		return nil, nil
	}
	found, err := d.holders(ctx, name)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(d.cfg.Lab.NodeNames(), func(node string) bool { return !found[node] }), nil
}

// haveAll makes sure that Vagrant still has a snapshot of every machine,
// before the first is touched.
func (d *Driver) haveAll(ctx context.Context, name string) error {
	found, err := d.holders(ctx, snapshotID(name))
	if err != nil {
		return err
	}
	for _, n := range d.cfg.Lab.Nodes {
		if !found[n.Name] {
			return &trouble.Error{
				ID: "snapshot-incomplete", Where: n.Name, What: "refused to restore snapshot " + name,
				Why:  "Vagrant no longer has it of this machine: somebody deleted it there",
				Next: []string{"forget the snapshot: dcalab snapshot delete " + name}, Exit: trouble.ExitRefused,
			}
		}
	}
	return nil
}

// holders are the nodes of whose machines Vagrant has a snapshot; id is its
// name with Vagrant.
func (d *Driver) holders(ctx context.Context, id string) (map[string]bool, error) {
	found := map[string]bool{}
	node := ""
	out, err := d.run(ctx, func(e event) {
		if e.Type != "ui" {
			return
		}
		// A line that names the machine, and then its snapshots, one a line.
		if e.Target != "" {
			node = e.Target
		}
		if strings.TrimSpace(e.data(1)) == id {
			found[node] = true
		}
	}, "snapshot", "list")
	if errors.Is(err, errFailed) {
		err = explain(out)
	}
	return found, err
}

// settled refuses while a restore is not finished: some disks are of one time,
// some of another.
func (d *Driver) settled(a album) error {
	if a.Restoring == "" {
		return nil
	}
	return &trouble.Error{
		ID: "restore-unfinished", What: "lab " + d.cfg.Lab.Name,
		Why:  "restoring snapshot " + a.Restoring + " was cut short, so that the nodes' disks are of different times",
		Next: []string{"finish it: dcalab snapshot restore " + a.Restoring, "or remove the lab: dcalab destroy"}, Exit: trouble.ExitRefused,
	}
}

// DeleteSnapshot forgets one.
func (d *Driver) DeleteSnapshot(ctx context.Context, o machine.Observer, name string) error {
	a, err := d.readAlbum()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(a.Snapshots, func(p photo) bool { return p.Name == name })
	if at < 0 {
		return fmt.Errorf("snapshot %s: %w", name, machine.ErrNoSnapshot)
	}
	if a.Restoring == name {
		return d.settled(a)
	}
	a.Snapshots[at].Deleting = true
	if err := d.writeAlbum(a); err != nil {
		return err
	}
	ids, err := d.machineIDs()
	if err != nil {
		return err
	}
	for _, node := range a.Snapshots[at].Nodes {
		if id, ok := ids[node]; !ok || id != a.Snapshots[at].IDs[node] {
			continue // gone with its machine
		}
		out, err := d.run(ctx, func(e event) {
			if o.Step != nil && e.Target == node {
				if what := stepOf(e); what != "" {
					o.Step(node, what)
				}
			}
		}, "snapshot", "delete", node, snapshotID(name))
		gone := slices.ContainsFunc(out.Errors, func(e vagrantError) bool { return e.Class == "Vagrant::Errors::SnapshotNotFound" })
		switch {
		case errors.Is(err, errFailed) && !gone:
			return explain(out)
		case err != nil && !errors.Is(err, errFailed):
			return err
		}
	}
	a.Snapshots = slices.Delete(a.Snapshots, at, at+1)
	return d.writeAlbum(a)
}

// forgetSnapshots is for a lab of which nothing is left.
func (d *Driver) forgetSnapshots() error {
	err := os.Remove(filepath.Join(d.cfg.State.Dir(), snapshotsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

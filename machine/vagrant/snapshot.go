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

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// snapshotsFile lists the lab's snapshots. Vagrant knows snapshots of single
// machines only, and keeps those of an interrupted save; this file says which are
// complete.
const snapshotsFile = "snapshots.json"

// snapshotIndex is what snapshotsFile holds.
type snapshotIndex struct {
	// Restoring is the snapshot that is being restored, or was when the restore
	// was interrupted: until it is repeated, the nodes must not start.
	Restoring string          `json:"restoring,omitempty"`
	Snapshots []snapshotEntry `json:"snapshots"`
}

// snapshotEntry is a snapshot and the machines that it is of.
type snapshotEntry struct {
	machine.Snapshot
	// IDs of the machines: a machine that was recreated has no snapshots.
	IDs map[string]string `json:"ids"`
	// Deleting: it is being deleted, or was when that was interrupted.
	Deleting bool `json:"deleting,omitempty"`
}

// snapshots keeps the lab's snapshots with Vagrant, and what they are in its index.
type snapshots struct {
	lab     *lab.Lab
	state   *lab.State
	dotfile dotfile
	vagrant runner
	status  func(context.Context) (map[string]machine.Status, error)
}

var _ machine.Snapshotter = (*Driver)(nil)

// snapshotID is a snapshot's name with Vagrant, where the user may keep others.
func snapshotID(name string) string { return "dcalab-" + name }

func (s *snapshots) read() (snapshotIndex, error) {
	var a snapshotIndex
	data, err := s.state.ReadFile(snapshotsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	if a, err = parseSnapshotIndex(data); err != nil {
		return snapshotIndex{}, fmt.Errorf("read the list of snapshots, %s: %w", filepath.Join(s.state.Dir(), snapshotsFile), err)
	}
	return a, nil
}

// parseSnapshotIndex reads what snapshotsFile holds. The names in it become arguments.
func parseSnapshotIndex(data []byte) (snapshotIndex, error) {
	var a snapshotIndex
	if err := json.Unmarshal(data, &a); err != nil {
		return snapshotIndex{}, err
	}
	for _, p := range a.Snapshots {
		if err := machine.CheckSnapshotName(p.Name); err != nil {
			return snapshotIndex{}, err
		}
	}
	if a.Restoring == "" {
		return a, nil
	}
	return a, machine.CheckSnapshotName(a.Restoring)
}

func (s *snapshots) write(a snapshotIndex) error {
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return s.state.WriteFile(snapshotsFile, append(data, '\n'), 0o600)
}

// find gives the position of a snapshot that is complete.
func (a snapshotIndex) find(name string) (int, error) {
	at := slices.IndexFunc(a.Snapshots, func(p snapshotEntry) bool { return p.Name == name && !p.Deleting })
	if at < 0 {
		return at, fmt.Errorf("snapshot %s: %w", name, machine.ErrNoSnapshot)
	}
	return at, nil
}

// Snapshots lists those that are complete, the oldest first.
func (s *snapshots) Snapshots(context.Context) ([]machine.Snapshot, error) {
	a, err := s.read()
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
func (s *snapshots) allHalted(ctx context.Context, what string) (map[string]string, error) {
	status, err := s.status(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range s.lab.Nodes {
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
	ids, err := s.dotfile.machineIDs()
	if err != nil {
		return nil, err
	}
	// Those that labs.yaml no longer has are not part of it.
	maps.DeleteFunc(ids, func(name, _ string) bool { _, ok := s.lab.Node(name); return !ok })
	return ids, nil
}

// SaveSnapshot keeps the disks of all nodes.
func (s *snapshots) SaveSnapshot(ctx context.Context, o machine.Observer, name string) error {
	if err := machine.CheckSnapshotName(name); err != nil {
		return err
	}
	a, err := s.read()
	if err != nil {
		return err
	}
	if _, err := a.find(name); err == nil {
		return fmt.Errorf("snapshot %s: %w", name, machine.ErrSnapshotExists)
	}
	if err := s.refuseUnfinished(a); err != nil {
		return err
	}
	ids, err := s.allHalted(ctx, "save snapshot "+name)
	if err != nil {
		return err
	}
	// What an interrupted save left behind is replaced.
	if err := s.vagrant.do(ctx, o, "snapshot", "save", "--force", snapshotID(name)); err != nil {
		return err
	}
	a.Snapshots = slices.DeleteFunc(a.Snapshots, func(p snapshotEntry) bool { return p.Name == name })
	a.Snapshots = append(a.Snapshots, snapshotEntry{
		Snapshot: machine.Snapshot{Name: name, Time: time.Now().UTC().Truncate(time.Second), Nodes: s.lab.NodeNames()}, IDs: ids,
	})
	return s.write(a)
}

// RestoreSnapshot brings all disks back.
func (s *snapshots) RestoreSnapshot(ctx context.Context, o machine.Observer, name string) error {
	a, err := s.read()
	if err != nil {
		return err
	}
	at, err := a.find(name)
	if err != nil {
		return err
	}
	p := a.Snapshots[at]
	if err := p.Fits(s.lab); err != nil {
		return err
	}
	ids, err := s.allHalted(ctx, "restore snapshot "+name)
	if err != nil {
		return err
	}
	for _, n := range s.lab.Nodes {
		if p.IDs[n.Name] != ids[n.Name] {
			return &trouble.Error{
				ID: "snapshot-of-other-machines", Where: n.Name, What: "refused to restore snapshot " + name,
				Why:  "the machine was recreated since, and its snapshots were removed with the old one",
				Next: []string{"forget the snapshot: dcalab snapshot delete " + name}, Exit: trouble.ExitRefused,
			}
		}
	}
	if err := s.haveAll(ctx, name); err != nil {
		return err
	}
	a.Restoring = name
	if err := s.write(a); err != nil {
		return err
	}
	if err := s.vagrant.do(ctx, o, "snapshot", "restore", "--no-start", "--no-provision", snapshotID(name)); err != nil {
		return err
	}
	a.Restoring = ""
	return s.write(a)
}

// OwnSnapshot names the nodes, in the order of the lab, of whose machines
// Vagrant has a snapshot of this name that dcalab did not take. It starts
// Vagrant, once, and changes nothing.
func (s *snapshots) OwnSnapshot(ctx context.Context, name string) ([]string, error) {
	if name == "" || strings.HasPrefix(name, snapshotID("")) {
		return nil, nil
	}
	found, err := s.holders(ctx, name)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(s.lab.NodeNames(), func(node string) bool { return !found[node] }), nil
}

// haveAll makes sure that Vagrant still has a snapshot of every machine,
// before the first is touched.
func (s *snapshots) haveAll(ctx context.Context, name string) error {
	found, err := s.holders(ctx, snapshotID(name))
	if err != nil {
		return err
	}
	for _, n := range s.lab.Nodes {
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
func (s *snapshots) holders(ctx context.Context, id string) (map[string]bool, error) {
	found := map[string]bool{}
	node := ""
	err := s.vagrant.ask(ctx, func(e event) {
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
	return found, err
}

// settled refuses while a restore is not finished.
func (s *snapshots) settled() error {
	a, err := s.read()
	if err != nil {
		return err
	}
	return s.refuseUnfinished(a)
}

// refuseUnfinished refuses where some disks are of one time, some of another.
func (s *snapshots) refuseUnfinished(a snapshotIndex) error {
	if a.Restoring == "" {
		return nil
	}
	return &trouble.Error{
		ID: "restore-unfinished", What: "lab " + s.lab.Name,
		Why:  "restoring snapshot " + a.Restoring + " was cut short, so that the nodes' disks are of different times",
		Next: []string{"finish it: dcalab snapshot restore " + a.Restoring, "or remove the lab: dcalab destroy"}, Exit: trouble.ExitRefused,
	}
}

// DeleteSnapshot forgets one.
func (s *snapshots) DeleteSnapshot(ctx context.Context, o machine.Observer, name string) error {
	a, err := s.read()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(a.Snapshots, func(p snapshotEntry) bool { return p.Name == name })
	if at < 0 {
		return fmt.Errorf("snapshot %s: %w", name, machine.ErrNoSnapshot)
	}
	if a.Restoring == name {
		return s.refuseUnfinished(a)
	}
	a.Snapshots[at].Deleting = true
	if err := s.write(a); err != nil {
		return err
	}
	ids, err := s.dotfile.machineIDs()
	if err != nil {
		return err
	}
	for _, node := range a.Snapshots[at].Nodes {
		if id, ok := ids[node]; !ok || id != a.Snapshots[at].IDs[node] {
			continue // removed with its machine
		}
		out, err := s.vagrant.run(ctx, s.vagrant.steps(o), "snapshot", "delete", node, snapshotID(name))
		gone := slices.ContainsFunc(out.Errors, func(e vagrantError) bool { return e.Class == "Vagrant::Errors::SnapshotNotFound" })
		if err := explained(out, err); err != nil && !gone {
			return err
		}
	}
	a.Snapshots = slices.Delete(a.Snapshots, at, at+1)
	return s.write(a)
}

// forgetSnapshots is for a lab of which nothing is left.
func (s *snapshots) forgetSnapshots() error {
	err := os.Remove(filepath.Join(s.state.Dir(), snapshotsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

package machine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// Snapshot is the disks of all nodes of a lab as they were at one moment,
// while none of them ran. (One node rolled back alone would break raft: its
// log would contradict what it had already promised to the others.)
type Snapshot struct {
	Name string `json:"name" yaml:"name"`
	// Time at which it was complete.
	Time time.Time `json:"time" yaml:"time"`
	// Nodes it holds, by short name, in the order of the lab.
	Nodes []string `json:"nodes" yaml:"nodes"`
}

// Snapshotter is a Driver that can keep the disks of a whole lab and bring
// them back. Like a Driver's methods, these can be interrupted anywhere: a
// snapshot that was not finished is never listed, and the same call again
// succeeds.
//
// SaveSnapshot and RestoreSnapshot leave all nodes halted. A node that runs is
// an error before anything is touched; for SaveSnapshot, so is one that is
// absent.
type Snapshotter interface {
	// SaveSnapshot keeps the disks of all nodes. A name that is taken is an
	// error that wraps ErrSnapshotExists.
	SaveSnapshot(ctx context.Context, o Observer, name string) error
	// RestoreSnapshot brings all disks back, with the host keys that are on
	// them; what was on the nodes since is lost. It is all nodes or none: where
	// it is interrupted, either no node has changed, or whichever command starts
	// the nodes next brings back the rest, or refuses and says that the restore
	// must be repeated. An unknown name is an error that wraps ErrNoSnapshot.
	// One of other nodes than the lab has now is refused (see Fits).
	RestoreSnapshot(ctx context.Context, o Observer, name string) error
	// DeleteSnapshot removes one; the nodes, which may run, stay as they are.
	// An unknown name is an error that wraps ErrNoSnapshot.
	DeleteSnapshot(ctx context.Context, o Observer, name string) error
	// Snapshots lists those that are complete, the oldest first. It changes
	// nothing and needs no more rights than Status.
	Snapshots(ctx context.Context) ([]Snapshot, error)
}

// SnapshotRoom is a Snapshotter that can tell in advance, while the nodes
// still run, whether there is room on this machine's disk. An error has the
// numbers in it.
type SnapshotRoom interface {
	RoomToSave(ctx context.Context) error
	RoomToRestore(ctx context.Context, name string) error
}

// Errors of a Snapshotter.
var (
	ErrNoSnapshot     = errors.New("no such snapshot")
	ErrSnapshotExists = errors.New("a snapshot of that name exists")
)

// The rule is that of a lab's name.
var snapshotName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// CheckSnapshotName refuses what cannot be the name of a snapshot: it becomes
// part of a path, and an argument of other programs.
func CheckSnapshotName(name string) error {
	if snapshotName.MatchString(name) {
		return nil
	}
	return &trouble.Error{
		ID: "snapshot-name", Why: fmt.Sprintf("%q cannot be the name of a snapshot", name),
		Next: []string{"take at most 32 letters a-z, digits and hyphens, with no hyphen at either end"},
		Exit: trouble.ExitUsage,
	}
}

// Fits refuses a snapshot of other nodes than a lab has now, and names those
// that differ.
func (s Snapshot) Fits(l *lab.Lab) error {
	without := func(all, others []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(others, n) })
	}
	var why []string
	if gone := without(s.Nodes, l.NodeNames()); len(gone) > 0 {
		why = append(why, "it has "+strings.Join(gone, ", ")+", which labs.yaml has not")
	}
	if added := without(l.NodeNames(), s.Nodes); len(added) > 0 {
		why = append(why, "it has no "+strings.Join(added, ", ")+", which labs.yaml has")
	}
	if len(why) == 0 {
		return nil
	}
	return &trouble.Error{
		ID: "snapshot-of-other-nodes", What: "refused to restore snapshot " + s.Name, Why: strings.Join(why, "; "),
		Next: []string{"give labs.yaml the nodes of the snapshot: " + strings.Join(s.Nodes, ", ")},
		Exit: trouble.ExitRefused,
	}
}

package machine

import (
	"context"
	"io"
)

// SnapshotExporter is a Snapshotter whose snapshots can be moved to a lab of the
// same nodes on another machine: as a tar archive of all disks, whose format is
// the driver's own.
type SnapshotExporter interface {
	Snapshotter
	// SnapshotOrigin tells what the snapshots of this machine are of.
	SnapshotOrigin(ctx context.Context) (SnapshotOrigin, error)
	// ExportSnapshot writes the disks of a snapshot, and tells what they take. An
	// unknown name is an error that wraps ErrNoSnapshot.
	ExportSnapshot(ctx context.Context, o Observer, name string, w io.Writer) (DiskSpace, error)
	// CheckImport reads the disks of all nodes of the lab from what ExportSnapshot
	// wrote, to its end, and tells what ImportSnapshot would refuse. It changes
	// nothing, needs no rights, and looks for room before it reads. Entries that
	// no disk may have are an *EntryError.
	CheckImport(ctx context.Context, o Observer, space DiskSpace, r io.Reader) error
	// ImportSnapshot makes a snapshot of the same, once all of it was read and
	// found to be right. A name that is taken is an error that wraps
	// ErrSnapshotExists.
	ImportSnapshot(ctx context.Context, o Observer, s Snapshot, space DiskSpace, r io.Reader) error
}

// SnapshotOrigin is what has to be the same where an exported snapshot is imported.
type SnapshotOrigin struct {
	// Driver is the one that makes the nodes, whose format the disks have: that of
	// the docker driver is the sandbox.
	Driver string `json:"driver"`
	// Platform is that of the nodes' programs: linux/amd64.
	Platform string `json:"platform"`
	// Engine is the version of the Docker Engine that new nodes get; empty where it
	// is not known. It may differ.
	Engine string `json:"engine"`
}

// DiskSpace is what the files of disks take.
type DiskSpace struct {
	Bytes int64 `json:"bytes"` // without holes
	Files int64 `json:"files"`
}

// EntryError is about one entry of the archive of a snapshot's disks.
type EntryError struct{ Path, Why string }

func (e *EntryError) Error() string { return e.Path + ": " + e.Why }

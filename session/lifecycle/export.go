package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

type export struct {
	Operator
	name, file string
}

// Export writes a snapshot to a new file, which only its owner can read.
func (s Snapshots) Export(name, file string) Operation { return export{s.of, name, file} }

// exporter is the driver, where its snapshots can be files.
func (s Snapshots) exporter(what string) (machine.SnapshotExporter, error) {
	if err := s.of.MustExist(); err != nil {
		return nil, err
	}
	if x, ok := s.of.Driver().(machine.SnapshotExporter); ok {
		return x, nil
	}
	return nil, &trouble.Error{
		ID: "snapshot-not-portable", What: what,
		Why: "the " + s.of.Driver().Name() + " driver keeps snapshots inside its machines, and none of them can be made a file",
		Next: []string{
			"hand out labs.yaml, and what is typed to get there: dcalab up --swarm --dry-run --explain",
			"or prepare the lab with the sandbox driver or the docker driver, whose snapshots can be exported: dcalab --driver docker up",
		},
		Exit: trouble.ExitRequirement,
	}
}

// look finds the snapshot, and refuses a file that exists.
func (e export) look(ctx context.Context, tell session.Reporter) (machine.SnapshotExporter, machine.Snapshot, error) {
	x, err := e.Snapshots().exporter("export a snapshot")
	if err != nil {
		return nil, machine.Snapshot{}, err
	}
	_, one, err := e.Snapshots().find(ctx, tell, e.name)
	if err == nil {
		err = one.Fits(e.Lab())
	}
	if err == nil {
		err = e.target().free()
	}
	return x, one, err
}

func (e export) target() newFile { return newFile{e.Owner(), e.file} }

func (e export) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	_, one, err := e.look(ctx, tell)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Runbook: e.typed(one), Warnings: []string{e.target().secret()}}
	for _, n := range one.Nodes {
		p.add("%s: write its disk of snapshot %s to %s", n, one.Name, e.file)
	}
	return p, nil
}

func (e export) typed(one machine.Snapshot) runbook.Runbook {
	return e.ExplainMachines(machine.Deed{Act: machine.ActExport, Nodes: one.Nodes, Snapshot: one.Name, File: e.file})
}

func (e export) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	began := time.Now()
	x, one, err := e.look(ctx, tell)
	if err != nil {
		return Outcome{}, err
	}
	size, err := e.write(ctx, tell, x, one)
	if err != nil {
		return Outcome{}, cut(ctx, err, "nothing was exported", "the same command begins anew: dcalab snapshot export "+e.name+" FILE")
	}
	tell.Warn(e.target().secret())
	note := fmt.Sprintf("exported snapshot %s of %s to %s: %s, in %s", one.Name, strings.Join(one.Nodes, ", "), e.file, node.Size(size), trouble.Duration(time.Since(began)))
	return Outcome{Notes: []string{note}, Runbook: e.typed(one)}, nil
}

// write gives the file its name when it is whole, and tells its size in bytes.
func (e export) write(ctx context.Context, tell session.Reporter, x machine.SnapshotExporter, one machine.Snapshot) (size int64, err error) {
	return e.target().write(func(f *os.File) error {
		origin, err := x.SnapshotOrigin(ctx)
		if err != nil {
			return err
		}
		m := newManifest(e.Lab(), origin, one)
		err = writeSnapshotFile(f, m, func(w io.Writer) (machine.DiskSpace, error) {
			return x.ExportSnapshot(ctx, machine.Observer{Step: tell.Step}, e.name, w)
		})
		var entry *machine.EntryError
		if errors.As(err, &entry) {
			return &trouble.Error{
				ID: "snapshot-not-portable", What: "export snapshot " + e.name, Why: entry.Error(), Exit: trouble.ExitRefused, Err: err,
				Next: []string{"remove it in the node, and take another snapshot: dcalab snapshot save NAME"},
			}
		}
		return err
	})
}

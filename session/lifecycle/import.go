package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

type importing struct {
	Operator
	file, name string
}

// Import makes a snapshot of the lab from a file that Export wrote. An empty name is the
// one that it had.
func (s Snapshots) Import(file, name string) Operation { return importing{s.of, file, name} }

// arrival is a file that is about to become a snapshot.
type arrival struct {
	exporter machine.SnapshotExporter
	file     *snapshotFile
	snapshot machine.Snapshot
	warnings []string
	close    func() error
}

// look reads all of the file but its disks, and refuses what cannot become a
// snapshot of the lab. Nothing is written.
func (i importing) look(ctx context.Context, tell session.Reporter) (a arrival, err error) {
	if a.exporter, err = i.Snapshots().exporter("import a snapshot"); err != nil {
		return a, err
	}
	f, info, err := lab.OpenInput(i.file, i.Owner())
	if err != nil {
		return a, i.unfit(err)
	}
	a.close = f.Close
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if a.file, err = readSnapshotFile(f, info.Size()); err != nil {
		return a, i.unfit(err)
	}
	m := a.file.manifest
	a.snapshot = machine.Snapshot{Name: cmp.Or(i.name, m.Snapshot.Name), Time: m.Snapshot.Time, Nodes: i.Lab().NodeNames()}
	here, err := a.exporter.SnapshotOrigin(ctx)
	if err != nil {
		return a, err
	}
	if err := i.fits(m, here); err != nil {
		return a, err
	}
	if !i.Snapshots().unseen(tell, a.snapshot.Name) {
		_, list, err := i.Snapshots().List(ctx)
		if err != nil {
			return a, err
		}
		if slices.ContainsFunc(list, func(one machine.Snapshot) bool { return one.Name == a.snapshot.Name }) {
			return a, &trouble.Error{
				ID: "snapshot-exists", What: "import snapshot " + a.snapshot.Name, Why: "the lab has one of this name",
				Next: []string{"give it another name: dcalab snapshot import " + runbook.Line(i.file) + " NAME"}, Exit: trouble.ExitRefused, Err: machine.ErrSnapshotExists,
			}
		}
	}
	if m.Engine != "" && here.Engine != "" && here.Engine != m.Engine {
		a.warnings = append(a.warnings, fmt.Sprintf("the snapshot was taken with Docker %s, and the nodes here have %s: an older engine may not read what a newer one wrote", m.Engine, here.Engine))
	}
	a.warnings = append(a.warnings, "restoring this snapshot runs what the author of "+i.file+" put on the nodes, "+
		"and root in a node is root on the machine that the lab runs on: import only what you would run as root there")
	return a, nil
}

// check reads the disks, and tells what Run would refuse.
func (i importing) check(ctx context.Context, tell session.Reporter, a arrival) error {
	disks, err := a.file.disks(ctx)
	if err == nil {
		err = a.exporter.CheckImport(ctx, machine.Observer{Step: tell.Step}, a.file.manifest.Disks.DiskSpace, disks)
	}
	var told *trouble.Error
	if err == nil || errors.As(err, &told) || ctx.Err() != nil {
		return err
	}
	var entry *machine.EntryError
	if errors.As(err, &entry) && !a.file.intact() { // a copy that is damaged, not one that was made so
		err = errors.New("the SHA-256 sum of its disks is not that of its manifest")
	}
	return i.unfit(err)
}

// unfit words why a file cannot be imported.
func (i importing) unfit(err error) error {
	t := &trouble.Error{
		ID: "snapshot-file-unfit", What: "import " + i.file, Why: err.Error(), Err: err,
		Next: []string{"compare its sum with that of the original: sha256sum " + runbook.Line(i.file)},
	}
	var damaged damagedError
	var entry *machine.EntryError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.Why, t.Next = "there is no such file", []string{"write one where the snapshot is: dcalab snapshot export NAME FILE"}
	case errors.Is(err, fs.ErrPermission):
		t.Why, t.Next = "you may not read it", nil
	case errors.Is(err, lab.ErrUnfit):
		t.Why, t.Next = "it is no plain file", nil
	case errors.As(err, &entry):
		t.Why = "it has something in it that no snapshot of dcalab's has: " + entry.Error()
		t.Next = []string{"ask whoever gave it to you: dcalab snapshot export writes no such file"}
	case !errors.As(err, &damaged):
		t.Why = "it is damaged: " + err.Error()
	}
	return t
}

// fits refuses a snapshot of another lab.
func (i importing) fits(m manifest, here machine.SnapshotOrigin) error {
	if err := i.SameSubnet(); err != nil {
		return err
	}
	why := m.Lab.differs(describeLab(i.Lab()))
	if m.Driver != here.Driver {
		why = append(why, "its format is that of the "+m.Driver+" driver, and the lab's that of "+here.Driver)
	}
	if m.Platform != here.Platform {
		why = append(why, "its programs are for "+m.Platform+", and the nodes here are "+here.Platform)
	}
	if len(why) == 0 {
		return nil
	}
	return &trouble.Error{
		ID: "snapshot-of-another-lab", What: "refused to import " + i.file, Why: strings.Join(why, "; "),
		Next: []string{"make a lab from the labs.yaml that the snapshot was taken with, and import it there"}, Exit: trouble.ExitRefused,
	}
}

func (i importing) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	a, err := i.look(ctx, tell)
	if err != nil {
		return Plan{}, err
	}
	defer func() { _ = a.close() }()
	if err := i.check(ctx, tell, a); err != nil {
		return Plan{}, err
	}
	m, name := a.file.manifest, a.snapshot.Name
	p := Plan{Runbook: i.typed(a), Warnings: a.warnings}
	for _, n := range a.snapshot.Nodes {
		p.add("%s: keep its disk in %s as snapshot %s; the node stays as it is", n, i.file, name)
	}
	p.Question = fmt.Sprintf("it was taken %s in lab %s, and exported with dcalab %s; import it as snapshot %s of lab %s?",
		m.Snapshot.Time.Local().Format(time.DateTime), m.Lab.Name, m.Dcalab, name, i.Lab().Name)
	return p, nil
}

func (i importing) typed(a arrival) runbook.Runbook {
	return i.ExplainMachines(machine.Deed{Act: machine.ActImport, Nodes: a.snapshot.Nodes, Snapshot: a.snapshot.Name, File: i.file})
}

func (i importing) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	a, err := i.look(ctx, tell)
	if err != nil {
		return Outcome{}, cut(ctx, err, "nothing was imported")
	}
	defer func() { _ = a.close() }()
	warn(tell, a.warnings...)
	disks, err := a.file.disks(ctx)
	if err == nil {
		err = a.exporter.ImportSnapshot(ctx, machine.Observer{Step: tell.Step}, a.snapshot, a.file.manifest.Disks.DiskSpace, disks)
	}
	if err != nil {
		if unfit := i.check(ctx, tell, a); unfit != nil { // the file is to blame, and not this machine
			err = unfit
		}
		return Outcome{}, cut(ctx, err, "nothing was imported", "the same command begins anew: dcalab snapshot import "+runbook.Line(i.file))
	}
	return Outcome{
		Notes:   []string{fmt.Sprintf("imported snapshot %s of %s; start from it: dcalab snapshot restore %s", a.snapshot.Name, strings.Join(a.snapshot.Nodes, ", "), a.snapshot.Name)},
		Runbook: i.typed(a),
	}, nil
}

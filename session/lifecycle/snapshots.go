package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// Snapshots makes the operations on the lab's snapshots.
type Snapshots struct{ of Operator }

// Snapshots gives the operations on the lab's snapshots.
func (o Operator) Snapshots() Snapshots { return Snapshots{o} }

// List lists them; a lab that was never made has none.
func (s Snapshots) List(ctx context.Context) (machine.Snapshotter, []machine.Snapshot, error) {
	if !s.of.Created() {
		return nil, []machine.Snapshot{}, nil
	}
	keeper, ok := s.of.Driver().(machine.Snapshotter)
	if !ok {
		return nil, nil, &trouble.Error{
			ID: "no-snapshots", What: "snapshots", Why: "the " + s.of.Driver().Name() + " driver keeps none", Exit: trouble.ExitRequirement,
		}
	}
	list, err := keeper.Snapshots(ctx)
	if errors.Is(err, fs.ErrPermission) && s.of.lacksRoot() {
		err = &trouble.Error{
			ID: "sandbox-needs-root", What: "look for snapshots", Why: "the disks of the sandbox driver are root's",
			Next: []string{"the same as root: sudo dcalab snapshot list"}, Exit: trouble.ExitRequirement, Err: err,
		}
	}
	return keeper, list, err
}

// andAll is how a question to destroy the whole lab names them: ", and its 2 snapshots (a,
// b)"; empty where there is none.
func (s Snapshots) andAll(ctx context.Context) string {
	_, list, err := s.List(ctx)
	if err != nil || len(list) == 0 {
		return ""
	}
	var have []string
	for _, one := range list {
		have = append(have, one.Name)
	}
	return fmt.Sprintf(", and its %s (%s)", trouble.Count(len(have), "snapshot"), strings.Join(have, ", "))
}

// find gives a snapshot of the lab; where a plan cannot look for it, one
// without a time, and a warning.
func (s Snapshots) find(ctx context.Context, tell session.Reporter, name string) (machine.Snapshotter, machine.Snapshot, error) {
	if err := s.of.MustExist(); err != nil {
		return nil, machine.Snapshot{}, err
	}
	if keeper, ok := s.of.Driver().(machine.Snapshotter); ok && s.unseen(tell, name) {
		return keeper, machine.Snapshot{Name: name, Nodes: s.of.Lab().NodeNames()}, nil
	}
	keeper, list, err := s.List(ctx)
	if err != nil {
		return nil, machine.Snapshot{}, err
	}
	var have []string
	for _, one := range list {
		if one.Name == name {
			return keeper, one, nil
		}
		have = append(have, one.Name)
	}
	e := &trouble.Error{
		ID: "unknown-snapshot", Why: fmt.Sprintf("lab %s has no snapshot %q", s.of.Lab().Name, name),
		Next: []string{"its snapshots are " + strings.Join(have, ", ")}, Exit: trouble.ExitUsage, Err: machine.ErrNoSnapshot,
	}
	if len(have) == 0 {
		e.Next = []string{"it has none; take one: dcalab snapshot save NAME"}
	} else if near := lab.Nearest(name, have); near != "" {
		e.Next = append([]string{"did you mean " + near + "?"}, e.Next...)
	}
	return nil, machine.Snapshot{}, e
}

// unseen tells, and warns, that a plan cannot look for a snapshot: with the
// sandbox driver that takes root.
func (s Snapshots) unseen(tell session.Reporter, name string) bool {
	if !s.of.lacksRoot() {
		return false
	}
	tell.Warn("cannot check snapshot " + name + " without root: the disks of the sandbox driver belong to root")
	return true
}

type deleteSnapshot struct {
	Operator
	name string
}

// Delete forgets a snapshot. The nodes stay as they are.
func (s Snapshots) Delete(name string) Operation { return deleteSnapshot{s.of, name} }

func (d deleteSnapshot) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	_, one, err := d.Snapshots().find(ctx, tell, d.name)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Runbook: d.typed(one)}
	p.add("forget snapshot %s of %s", one.Name, strings.Join(one.Nodes, ", "))
	return p, nil
}

func (d deleteSnapshot) typed(one machine.Snapshot) runbook.Runbook {
	return d.ExplainMachines(machine.Deed{Act: machine.ActDelete, Nodes: one.Nodes, Snapshot: one.Name})
}

func (d deleteSnapshot) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	keeper, one, err := d.Snapshots().find(ctx, tell, d.name)
	if err != nil {
		return Outcome{}, err
	}
	if err := keeper.DeleteSnapshot(ctx, machine.Observer{}, one.Name); err != nil {
		return Outcome{}, err
	}
	note := fmt.Sprintf("deleted snapshot %s of %s, taken %s", one.Name, strings.Join(one.Nodes, ", "), one.Time.Local().Format(time.DateTime))
	return Outcome{Notes: []string{note}, Runbook: d.typed(one)}, nil
}

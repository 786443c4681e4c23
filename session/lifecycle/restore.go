package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

type restore struct {
	starter
	name string
}

// Restore gives the lab back as it was when a snapshot was taken. What
// was done since is lost.
func (s Snapshots) Restore(name string) Operation { return restore{starter{s.of}, name} }

// look gives a snapshot that can be restored, and the nodes that run.
func (r restore) look(ctx context.Context, tell session.Reporter) (keeper machine.Snapshotter, one machine.Snapshot, running []string, err error) {
	keeper, one, err = r.Snapshots().find(ctx, tell, r.name)
	switch {
	case err == nil:
		err = errors.Join(one.Fits(r.Lab()), r.SameSubnet())
	case errors.Is(err, machine.ErrNoSnapshot):
		r.vagrantsOwn(ctx, err)
	}
	if room, ok := keeper.(machine.SnapshotRoom); ok && err == nil && !r.lacksRoot() {
		err = room.RoomToRestore(ctx, r.name)
	}
	if err != nil {
		return nil, one, nil, err
	}
	machines, err := r.Driver().Status(ctx)
	return keeper, one, runningOf(r.Lab().Nodes, machines), err
}

// vagrantsOwn adds to the answer that there is no such snapshot one that was
// taken with Vagrant itself. Where Vagrant cannot be asked, nothing is added.
func (r restore) vagrantsOwn(ctx context.Context, err error) {
	var t *trouble.Error
	d, ok := r.Driver().(interface {
		OwnSnapshot(ctx context.Context, name string) (nodes []string, err error)
	})
	if !ok || !errors.As(err, &t) || r.Owner() != (lab.Owner{}) { // under sudo, not as root
		return
	}
	nodes, err := d.OwnSnapshot(ctx, r.name)
	if err != nil || len(nodes) == 0 {
		return
	}
	words := []string{"dcalab", "vagrant", "--", "snapshot", "restore", r.name}
	switch len(nodes) {
	case len(r.Lab().Nodes): // without a node it is of all
	case 1:
		words = slices.Insert(words, 5, nodes[0])
	default:
		words = slices.Insert(words, 5, "NODE")
	}
	t.Why += "; Vagrant has one of " + strings.Join(nodes, ", ") + " that dcalab did not take"
	t.Next = append([]string{"that one, by Vagrant itself: " + runbook.Line(words...)}, t.Next...)
}

func (r restore) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	_, one, running, err := r.look(ctx, tell)
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	for _, name := range running {
		p.add("%s: stop its engine, and power it off", name)
	}
	taken, ago := "", ""
	if !one.Time.IsZero() {
		taken, ago = ", taken "+one.Time.Local().Format(time.DateTime), ", taken "+trouble.Duration(time.Since(one.Time))+" ago"
	}
	for _, n := range r.Lab().Nodes {
		p.add("%s: give it the disk of snapshot %s%s; what was done since is lost", n.Name, r.name, taken)
	}
	for _, n := range r.Lab().Nodes {
		p.add("%s: boot it", n.Name)
	}
	p.Question = fmt.Sprintf("restore lab %s to snapshot %s%s? what was done on %s since is lost", r.Lab().Name, r.name, ago, strings.Join(one.Nodes, ", "))
	p.types(r.typed(running, r.keyHolder(ctx, running)))
	return p, ctx.Err()
}

// keyHolder is a manager that shows the swarm's unlock key before the lab is
// halted; empty where none does, and where no runbook is asked for.
func (r restore) keyHolder(ctx context.Context, running []string) string {
	if !r.Explain || len(running) == 0 {
		return ""
	}
	v, engines, err := r.Observe(ctx)
	if err != nil {
		return ""
	}
	defer engines.Close()
	if v.NeedManager() != nil || v.Settings == nil || !v.Settings.Autolock {
		return ""
	}
	return v.Manager()
}

// typed is the runbook of a restore. holder is a manager that shows the
// unlock key before the halt, or empty.
func (r restore) typed(running []string, holder string) runbook.Runbook {
	deeds := whileHalted(running, r.Lab().NodeNames(), machine.Deed{Act: machine.ActRestore, Snapshot: r.name})
	l := r.ExplainMachines(deeds...)
	if holder != "" {
		l = slices.Insert(l, 0, runbook.Command{
			Node: holder, Text: runbook.Line("docker", "swarm", "unlock-key", "--quiet"),
			Why: "before the halt, and the snapshot's unless it was changed since", Gives: runbook.UnlockKey,
		})
	}
	if holder != "" || r.Lab().Swarm.Autolock {
		l = append(l, runbook.Local("# "+runbook.UnlockKey+" is what docker swarm unlock-key showed before snapshot "+r.name+" was taken: dcalab keeps it nowhere")...)
		l = append(l, unlocking(lab.Names(managersOf(r.Lab())), "where it is locked, with the key of the swarm in the snapshot")...)
	}
	return append(l, lookingAgain(r.Lab())...)
}

func (r restore) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	keeper, _, running, err := r.look(ctx, tell)
	if err != nil {
		return Outcome{}, err
	}
	again := "to continue, run the same command: dcalab snapshot restore " + r.name
	ran := preHaltState{ran: running}
	holder := r.keyHolder(ctx, running)
	if err := r.powerOff(ctx, tell); err != nil {
		if ctx.Err() != nil {
			return Outcome{}, cut(ctx, err, "nothing was restored; machines are halted", again)
		}
		return Outcome{}, errors.Join(err, r.resume(ctx, tell, ran))
	}
	if err := keeper.RestoreSnapshot(ctx, machine.Observer{Step: tell.Step}, r.name); err != nil {
		if ctx.Err() != nil {
			return Outcome{}, cut(ctx, err, "machines are halted, and start when the restore is finished, or was not begun", again)
		}
		return Outcome{}, errors.Join(err, r.resume(ctx, tell, ran))
	}
	if err := r.startAndWait(ctx, tell, r.Lab().NodeNames(), r.Lab().NodeNames(), ""); err != nil {
		return Outcome{}, cut(ctx, err, "all nodes are restored; machines may be halted", again)
	}
	return Outcome{Runbook: r.typed(running, holder)}, nil
}

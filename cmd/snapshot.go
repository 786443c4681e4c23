package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/cmd/hint"
	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) snapshot() *cobra.Command {
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Keep the whole lab as it is now, and bring it back later",
		Long: `A snapshot is the disks of all nodes, kept under a name while none of them ran:
the swarm with its services, secrets and images, as it stood. Take one before
you break something, or one of a fresh swarm for each new exercise.`,
	}
	c.AddCommand(a.snapshotSave(), a.snapshotRestore(), a.snapshotList(), a.snapshotDelete())
	return c
}

func (a *app) snapshotSave() *cobra.Command {
	return explained(&cobra.Command{
		Use:   "save NAME",
		Short: "Halt the lab, keep the disks of all nodes, and start it again",
		Long: `Keep the disks of all nodes under a name. The lab is halted for it, in order,
and what ran before is started again: one node's disk alone, or one that is
written to, would give a swarm that contradicts itself when it is brought back.

It ends when the swarm stands as before. Nodes that were halted stay so.`,
		Example: "  dcalab snapshot save fresh-swarm",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			if err := machine.CheckSnapshotName(args[0]); err != nil {
				return hint.SuggestName(err, args[0], machine.CheckSnapshotName)
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			if a.dryRun() {
				return s.rehearseSave(ctx, args[0])
			}
			if s.asRoot() {
				return s.sudo(ctx)
			}
			return s.save(ctx, args[0])
		},
	})
}

func (a *app) snapshotRestore() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "restore NAME",
		Short: "Bring the whole lab back to a snapshot; what was done since is lost",
		Long: `Halt the lab, give all its nodes the disks of a snapshot, and start them. It
ends when every node answers as the same machine as before, with the right
time, and the swarm of the snapshot stands: all Ready, with a leader.

It is all nodes or none. Cut short, it is finished by the same command. It
asks first, unless --yes is given.`,
		Example:           "  dcalab snapshot restore fresh-swarm",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSnapshots,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			s, err := a.existing()
			if err != nil {
				return err
			}
			if a.dryRun() {
				return s.rehearseRestore(ctx, args[0])
			}
			if s.asRoot() {
				return s.sudo(ctx)
			}
			return s.restore(ctx, args[0], yes)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return explained(c)
}

func (a *app) snapshotDelete() *cobra.Command {
	return explained(&cobra.Command{
		Use:   "delete NAME",
		Short: "Forget a snapshot; the nodes stay as they are",
		Long: `Remove a snapshot and free the room that its disks take. The nodes, and the
other snapshots, stay as they are. There is no way back.`,
		Example:           "  dcalab snapshot delete fresh-swarm",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSnapshots,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			s, err := a.existing()
			if err != nil {
				return err
			}
			if a.dryRun() {
				_, one, err := s.find(ctx, args[0])
				if err != nil {
					return err
				}
				return s.rehearse([]string{"forget snapshot " + one.Name + " of " + strings.Join(one.Nodes, ", ")}, s.forgetting(one))
			}
			if s.asRoot() {
				return s.sudo(ctx)
			}
			release, err := s.change(ctx)
			if err != nil {
				return err
			}
			defer release()
			keeper, one, err := s.find(ctx, args[0])
			if err != nil {
				return err
			}
			if err := keeper.DeleteSnapshot(ctx, machine.Observer{}, one.Name); err != nil {
				return err
			}
			s.note("deleted snapshot %s of %s, taken %s", one.Name, strings.Join(one.Nodes, ", "), one.Time.Local().Format(time.DateTime))
			return s.recount(s.forgetting(one))
		},
	})
}

// forgetting is the runbook of deleting a snapshot.
func (s *session) forgetting(one machine.Snapshot) runbook.Runbook {
	return s.ExplainMachines(machine.Deed{Act: machine.ActDelete, Nodes: one.Nodes, Snapshot: one.Name})
}

// snapshotsReport is what `dcalab snapshot list -o json` prints. Its keys are
// a promise.
type snapshotsReport struct {
	Lab       string             `json:"lab" yaml:"lab"`
	Snapshots []machine.Snapshot `json:"snapshots" yaml:"snapshots"`
}

func (a *app) snapshotList() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the lab's snapshots, the oldest first",
		Long: `Show the snapshots of the lab, when each was taken, and of which nodes it is.
One that was cut short while it was taken is no snapshot, and not listed.`,
		Example: "  dcalab snapshot list\n  dcalab snapshot list -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			if stop, err := s.announce(s.ExplainMachines(machine.Deed{Act: machine.ActList})); stop || err != nil {
				return err
			}
			_, list, err := s.operator().Snapshots(c.Context())
			if err != nil {
				return err
			}
			r := snapshotsReport{Lab: s.Lab().Name, Snapshots: list}
			if err := checkFormat(output); err != nil {
				return err
			}
			if output != "" {
				text, err := encode(output, r)
				if err != nil {
					return err
				}
				_, err = a.streams.Out.Write(text)
				return err
			}
			if len(list) == 0 {
				s.note("lab %s has no snapshots; take one: dcalab snapshot save NAME", s.Lab().Name)
				return nil
			}
			rows := make([][]string, len(list))
			for i, one := range list {
				rows[i] = []string{one.Name, one.Time.Local().Format(time.DateTime), ui.Duration(time.Since(one.Time)), strings.Join(one.Nodes, ", ")}
			}
			return ui.Table(a.streams.Out, []string{"NAME", "TAKEN", "AGE", "NODES"}, rows, a.streams.OutColor(a.settings.GetBool("no-color")))
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml (default: a table)")
	return explained(c)
}

func (a *app) completeSnapshots(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	if s, err := a.open(); err == nil && len(args) == 0 {
		_, list, _ := s.operator().Snapshots(c.Context())
		for _, one := range list {
			out = append(out, cobra.CompletionWithDesc(one.Name, "taken "+one.Time.Local().Format(time.DateTime)))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// unseen tells, and warns, that a dry run cannot look for a snapshot: with the
// sandbox driver that takes root.
func (s *session) unseen(name string) bool {
	if !s.app.dryRun() || !s.asRoot() {
		return false
	}
	s.warn("cannot check snapshot " + name + " without root: the disks of the sandbox driver belong to root")
	return true
}

// find gives a snapshot of the lab; where a dry run cannot look for it, one
// without a time.
func (s *session) find(ctx context.Context, name string) (machine.Snapshotter, machine.Snapshot, error) {
	if err := s.MustExist(); err != nil {
		return nil, machine.Snapshot{}, err
	}
	if s.unseen(name) {
		keeper, _ := s.Driver().(machine.Snapshotter)
		return keeper, machine.Snapshot{Name: name, Nodes: s.Lab().NodeNames()}, nil
	}
	keeper, list, err := s.operator().Snapshots(ctx)
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
		ID: "unknown-snapshot", Why: fmt.Sprintf("lab %s has no snapshot %q", s.Lab().Name, name),
		Next: []string{"its snapshots are " + strings.Join(have, ", ")}, Exit: trouble.ExitUsage, Err: machine.ErrNoSnapshot,
	}
	if len(have) == 0 {
		e.Next = []string{"it has none; take one: dcalab snapshot save NAME"}
	} else if near := lab.Nearest(name, have); near != "" {
		e.Next = append([]string{"did you mean " + near + "?"}, e.Next...)
	}
	return nil, machine.Snapshot{}, e
}

// fresh refuses to keep the lab under a name that is taken, or while it is not
// what labs.yaml says.
func (s *session) fresh(ctx context.Context, name string) (machine.Snapshotter, error) {
	if err := s.MustExist(); err != nil {
		return nil, err
	}
	if s.unseen(name) {
		keeper, _ := s.Driver().(machine.Snapshotter)
		return keeper, s.SameSubnet()
	}
	keeper, list, err := s.operator().Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(list, func(one machine.Snapshot) bool { return one.Name == name }) {
		return nil, &trouble.Error{
			ID: "snapshot-exists", What: "save snapshot " + name, Why: "there is one of this name",
			Next: []string{"take another name, or delete that one first: dcalab snapshot delete " + name}, Exit: trouble.ExitRefused, Err: machine.ErrSnapshotExists,
		}
	}
	return keeper, s.SameSubnet()
}

// rehearseSave is the dry run of snapshot save.
func (s *session) rehearseSave(ctx context.Context, name string) error {
	keeper, err := s.fresh(ctx, name)
	if err != nil {
		return err
	}
	p := s.progress(s.Lab().NodeNames())
	defer p.Close()
	stood, err := s.beforeSaving(ctx, p)
	if err != nil {
		return err
	}
	p.Close()
	if room, ok := keeper.(machine.SnapshotRoom); ok && !s.asRoot() {
		if err := room.RoomToSave(ctx); err != nil {
			return err
		}
	}
	var r rehearsal
	for _, node := range stood.ran {
		r.add("%s: stop its engine, and power it off", node)
	}
	for _, n := range s.Lab().Nodes {
		r.add("%s: keep its disk as snapshot %s", n.Name, name)
	}
	for _, node := range stood.ran {
		r.add("%s: boot it", node)
	}
	return s.rehearse(r.plan, s.saving(stood, name))
}

// saving is the runbook of a save.
func (s *session) saving(stood standing, name string) runbook.Runbook {
	l := s.ExplainMachines(around(stood.ran, stood.ran, machine.Deed{Act: machine.ActSave, Snapshot: name})...)
	if stood.key != "" && len(stood.managers) > 0 {
		l = slices.Insert(l, 0, runbook.Command{
			Node: stood.managers[0], Text: runbook.Line("docker", "swarm", "unlock-key", "--quiet"), Gives: runbook.UnlockKey,
		})
		l = append(l, unlocking(stood.managers, "")...)
	}
	if len(stood.ready) > 0 {
		l = append(l, s.lookingAgain()...)
	}
	return l
}

// unlocking is how a person unlocks managers after a start.
func unlocking(managers []string, why string) (l runbook.Runbook) {
	for _, name := range managers {
		l = append(l, runbook.Command{Node: name, Text: "docker swarm unlock", Why: why, Asks: runbook.UnlockKey})
	}
	return l
}

// lookingAgain is how a person sees that the swarm is back.
func (s *session) lookingAgain() runbook.Runbook {
	l := onEach(s.manager(), "docker node ls")
	for i := range l {
		l[i].Why = "on a manager: until all are Ready, with a Leader"
	}
	return l
}

// save keeps the lab under a name and leaves it as it was.
func (s *session) save(ctx context.Context, name string) error {
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	keeper, err := s.fresh(ctx, name)
	if err != nil {
		return err
	}
	began := time.Now()
	p := s.progress(s.Lab().NodeNames())
	defer p.Close()
	stood, err := s.beforeSaving(ctx, p)
	if err != nil {
		return err
	}
	if room, ok := keeper.(machine.SnapshotRoom); ok {
		if err := room.RoomToSave(ctx); err != nil {
			return err
		}
	}
	// From here on Ctrl-C leaves machines halted.
	cut := func(err error, why string, next ...string) error {
		if err == nil || ctx.Err() == nil {
			return err
		}
		return &trouble.Error{ID: "interrupted", What: "interrupted", Why: why, Next: next, Exit: trouble.ExitInterrupted, Err: ctx.Err()}
	}
	const start = "start the machines that it halted: dcalab start"
	saved := s.Driver().Halt(ctx, machine.Observer{Step: p.Step})
	if saved == nil {
		saved = keeper.SaveSnapshot(ctx, machine.Observer{Step: p.Step}, name)
	}
	if saved != nil && ctx.Err() != nil {
		return cut(saved, "no snapshot was taken", start, "then take it: dcalab snapshot save "+name)
	}
	for _, n := range s.Lab().Nodes {
		if !slices.Contains(stood.ran, n.Name) {
			p.Done(n.Name, "halted, as before")
		}
	}
	if saved == nil {
		p.Note(fmt.Sprintf("snapshot %s: %d nodes, in %s", name, len(s.Lab().Nodes), ui.Duration(time.Since(began))))
	}
	resumed := s.resume(ctx, p, stood)
	switch {
	case saved != nil:
		return errors.Join(saved, cut(resumed, "no snapshot was taken", start))
	case resumed != nil:
		return cut(resumed, "snapshot "+name+" is taken", start)
	}
	p.Close()
	return s.recount(s.saving(stood, name))
}

// standing is how a lab stood before it was halted.
type standing struct {
	// ran are the nodes whose machines ran, ready those of them that the swarm
	// did not miss.
	ran, ready []string
	// key unlocks managers, those of ready, after the start, where autolock is
	// on.
	key      engine.Secret
	managers []string
}

// answerPatience is how long a machine that runs may be silent: one that boots
// answers by then, and one that goes down is down. A dcalab that was killed
// leaves both.
const answerPatience = 20 * time.Second

// beforeSaving looks at a lab that is about to be halted and kept, and
// refuses one that would be kept in pieces.
func (s *session) beforeSaving(ctx context.Context, p *ui.Progress) (standing, error) {
	for deadline := time.Now().Add(answerPatience); ; {
		stood, err := s.lookBeforeSaving(ctx, p)
		var t *trouble.Error
		if !errors.As(err, &t) || t.ID != "snapshot-unreachable" || time.Now().After(deadline) {
			return stood, err
		}
		p.Step(t.Where, "waiting: it is booting or going down, or does not answer")
		select {
		case <-ctx.Done():
			return stood, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (s *session) lookBeforeSaving(ctx context.Context, p *ui.Progress) (standing, error) {
	var stood standing
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return stood, err
	}
	for _, n := range s.Lab().Nodes {
		switch machines[n.Name] {
		case machine.StatusRunning:
			stood.ran = append(stood.ran, n.Name)
		case machine.StatusHalted:
		default:
			err := labsession.NotRunning(n.Name, machines[n.Name])
			return stood, &trouble.Error{
				What: "refused to save a snapshot: it is of all nodes", Next: trouble.Advice(err), Exit: trouble.ExitRefused, Err: err,
			}
		}
	}
	if len(stood.ran) == 0 {
		return stood, nil
	}
	// In an election nobody tells who is Ready, nor the key of the managers.
	v, c, err := s.operator().Settled(ctx, p)
	var unsettled *lifecycle.UnsettledError
	if errors.As(err, &unsettled) {
		t := unsettled.Trouble
		t.Where, t.What = "", "refused to save a snapshot"
		t.Next = append(t.Next, "or keep it as it is: dcalab halt, then the same command")
	}
	if err != nil {
		return stood, err
	}
	defer c.Close()
	for _, n := range v.Nodes {
		if slices.Contains(stood.ran, n.Name) && n.State == swarm.StateUnreachable {
			return stood, &trouble.Error{
				ID: "snapshot-unreachable", Where: n.Name, What: "refused to save a snapshot",
				Why:  "its machine runs and does not answer, so that it could only be switched off hard",
				Next: []string{"look at it: dcalab status", "or switch it off all the same: dcalab halt --force " + n.Name}, Exit: trouble.ExitRefused, Err: n.Err,
			}
		}
		// A new leader calls nodes unknown that it has not heard of yet.
		if slices.Contains(stood.ran, n.Name) && n.State == swarm.StateMember && n.Listed && n.Status != engine.NodeDown {
			stood.ready = append(stood.ready, n.Name)
			if n.Role == lab.RoleManager {
				stood.managers = append(stood.managers, n.Name)
			}
		}
	}
	if err := c.Cluster(swarm.Options{}).AwaitDemoted(ctx, v, stood.ran, 30*time.Second, func(node string) {
		p.Step(node, "waiting for its certificate as a worker")
	}); err != nil {
		return stood, err
	}
	if v.Settings != nil && v.Settings.Autolock {
		if stood.key, err = c.Cluster(swarm.Options{}).UnlockKey(ctx); err != nil {
			return stood, err
		}
	}
	return stood, nil
}

// resume starts the nodes that ran, and waits until those that were in the
// swarm are back in it.
func (s *session) resume(ctx context.Context, p *ui.Progress, stood standing) error {
	if len(stood.ran) == 0 {
		return nil
	}
	return s.wake(ctx, p, stood.ran, stood.ready, stood.key)
}

// fitting gives a snapshot that can be restored.
func (s *session) fitting(ctx context.Context, name string) (machine.Snapshotter, machine.Snapshot, error) {
	keeper, one, err := s.find(ctx, name)
	switch {
	case err == nil:
		err = errors.Join(one.Fits(s.Lab()), s.SameSubnet())
	case errors.Is(err, machine.ErrNoSnapshot):
		s.vagrantsOwn(ctx, err, name)
	}
	if room, ok := keeper.(machine.SnapshotRoom); ok && err == nil && !s.asRoot() {
		err = room.RoomToRestore(ctx, name)
	}
	return keeper, one, err
}

// vagrantsOwn adds to the answer that there is no such snapshot one that was
// taken with Vagrant itself. Where Vagrant cannot be asked, nothing is added.
func (s *session) vagrantsOwn(ctx context.Context, err error, name string) {
	var t *trouble.Error
	d, ok := s.Driver().(interface {
		OwnSnapshot(ctx context.Context, name string) (nodes []string, err error)
	})
	if !ok || !errors.As(err, &t) || s.Owner() != (lab.Owner{}) { // under sudo, not as root
		return
	}
	nodes, err := d.OwnSnapshot(ctx, name)
	if err != nil || len(nodes) == 0 {
		return
	}
	words := []string{"dcalab", "vagrant", "--", "snapshot", "restore", name}
	switch len(nodes) {
	case len(s.Lab().Nodes): // without a node it is of all
	case 1:
		words = slices.Insert(words, 5, nodes[0])
	default:
		words = slices.Insert(words, 5, "NODE")
	}
	t.Why += "; Vagrant has one of " + strings.Join(nodes, ", ") + " that dcalab did not take"
	t.Next = append([]string{"that one, by Vagrant itself: " + runbook.Line(words...)}, t.Next...)
}

// rehearseRestore is the dry run of snapshot restore.
func (s *session) rehearseRestore(ctx context.Context, name string) error {
	_, one, err := s.fitting(ctx, name)
	if err != nil {
		return err
	}
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return err
	}
	var r rehearsal
	running := runningOf(s.Lab().Nodes, machines)
	for _, node := range running {
		r.add("%s: stop its engine, and power it off", node)
	}
	taken := ""
	if !one.Time.IsZero() {
		taken = ", taken " + one.Time.Local().Format(time.DateTime)
	}
	for _, n := range s.Lab().Nodes {
		r.add("%s: give it the disk of snapshot %s%s; what was done since is lost", n.Name, name, taken)
	}
	for _, n := range s.Lab().Nodes {
		r.add("%s: boot it", n.Name)
	}
	holder := s.keyHolder(ctx, running)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.rehearse(r.plan, s.restoring(running, name, holder))
}

// keyHolder is a manager that shows the swarm's unlock key before the lab is
// halted; empty where none does, and where no runbook is asked for.
func (s *session) keyHolder(ctx context.Context, running []string) string {
	if !s.app.explains() || len(running) == 0 {
		return ""
	}
	v, c, err := s.observe(ctx)
	if err != nil {
		return ""
	}
	defer c.Close()
	if v.NeedManager() != nil || v.Settings == nil || !v.Settings.Autolock {
		return ""
	}
	return v.Manager()
}

// restoring is the runbook of a restore. holder is a manager that shows the
// unlock key before the halt, or empty.
func (s *session) restoring(running []string, name, holder string) runbook.Runbook {
	deeds := around(running, s.Lab().NodeNames(), machine.Deed{Act: machine.ActRestore, Snapshot: name})
	l := s.ExplainMachines(deeds...)
	if holder != "" {
		l = slices.Insert(l, 0, runbook.Command{
			Node: holder, Text: runbook.Line("docker", "swarm", "unlock-key", "--quiet"),
			Why: "before the halt, and the snapshot's unless it was changed since", Gives: runbook.UnlockKey,
		})
	}
	if holder != "" || s.Lab().Swarm.Autolock {
		l = append(l, here("# "+runbook.UnlockKey+" is what docker swarm unlock-key showed before snapshot "+name+" was taken: dcalab keeps it nowhere")...)
		l = append(l, unlocking(names(s.managersOf()), "where it is locked, with the key of the swarm in the snapshot")...)
	}
	return append(l, s.lookingAgain()...)
}

// around is a deed on a lab that is halted for it: before, nodes that run are
// halted, and after it nodes are started.
func around(halt, start []string, d machine.Deed) []machine.Deed {
	deeds := []machine.Deed{d}
	if len(halt) > 0 {
		deeds = []machine.Deed{{Act: machine.ActHalt, Nodes: halt}, d}
	}
	if len(start) > 0 {
		deeds = append(deeds, machine.Deed{Act: machine.ActStart, Nodes: start})
	}
	return deeds
}

// restore gives the lab back as it was when a snapshot was taken.
func (s *session) restore(ctx context.Context, name string, yes bool) error {
	fits := func() (machine.Snapshotter, machine.Snapshot, error) { return s.fitting(ctx, name) }
	if !yes {
		_, one, err := fits()
		if err != nil {
			return err
		}
		if err := s.confirm(ctx, fmt.Sprintf("restore lab %s to snapshot %s, taken %s ago? what was done on %s since is lost",
			s.Lab().Name, name, ui.Duration(time.Since(one.Time)), strings.Join(one.Nodes, ", "))); err != nil {
			return err
		}
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	keeper, _, err := fits() // once more: another dcalab may have been faster
	if err != nil {
		return err
	}
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return err
	}
	p := s.progress(s.Lab().NodeNames())
	defer p.Close()
	cut := func(err error, why string) error {
		if ctx.Err() == nil {
			return err
		}
		return &trouble.Error{
			ID: "interrupted", What: "interrupted", Why: why, Exit: trouble.ExitInterrupted, Err: ctx.Err(),
			Next: []string{"the same command goes on from here: dcalab snapshot restore " + name},
		}
	}
	stood := standing{ran: runningOf(s.Lab().Nodes, machines)}
	holder := s.keyHolder(ctx, stood.ran)
	if err := s.Driver().Halt(ctx, machine.Observer{Step: p.Step}); err != nil {
		if ctx.Err() != nil {
			return cut(err, "nothing was restored; machines are halted")
		}
		return errors.Join(err, s.resume(ctx, p, stood))
	}
	if err := keeper.RestoreSnapshot(ctx, machine.Observer{Step: p.Step}, name); err != nil {
		if ctx.Err() != nil {
			return cut(err, "machines are halted, and start when the restore is finished, or was not begun")
		}
		return errors.Join(err, s.resume(ctx, p, stood))
	}
	if err := s.wake(ctx, p, s.Lab().NodeNames(), s.Lab().NodeNames(), ""); err != nil {
		return cut(err, "all nodes are restored; machines may be halted")
	}
	p.Close()
	return s.recount(s.restoring(stood.ran, name, holder))
}

// Patience and tolerance after a start of the whole lab.
const (
	// standPatience: engines that answer elect a leader in 10 to 20 s, and a
	// worker that was turned away comes again; on emulated machines all takes
	// three times as long.
	standPatience = 2 * time.Minute
	// clockTolerance is what the time of a node may differ: certificates and
	// raft do not care, and a clock is read to the second.
	clockTolerance = 5 * time.Second
)

// wake starts nodes, sees to their clocks, and waits until those that are to
// stand in the swarm do.
func (s *session) wake(ctx context.Context, p *ui.Progress, nodes, standing []string, key engine.Secret) error {
	picked, err := s.pick(nodes)
	if err != nil {
		return err
	}
	defer s.warnUnwritten()
	p.Step("", "starting the lab") // its time runs until the end
	have := s.connected()
	defer have.Close()
	if _, err := s.boot(ctx, p, picked, machine.ActStart, have, nil); err != nil {
		return err
	}
	for _, w := range setClocks(ctx, have.All()) {
		p.Note(w)
	}
	c, err := s.Engines(ctx, have.Pool, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if key != "" {
		cluster := c.Cluster(swarm.Options{})
		if _, err := cluster.Run(ctx, swarm.PlanUnlock(cluster.Observe(ctx), key)); err != nil {
			return err
		}
	}
	if len(standing) > 0 {
		p.Step("", "waiting for the swarm")
	}
	v, err := c.Cluster(swarm.Options{Waiting: func(missing []string) { p.Detail("", strings.Join(missing, "; ")) }}).AwaitHealthy(ctx, standPatience, standing...)
	switch {
	case err != nil:
		return err
	case len(standing) == 0:
		p.Done("", "started")
	case v.Cluster == "":
		p.Done("", "started, in no swarm")
	default:
		who := ", all"
		if len(standing) < len(s.Lab().Nodes) {
			who = "; " + strings.Join(standing, ", ")
		}
		p.Done("", fmt.Sprintf("swarm %s: %s, leader %s%s Ready", v.Cluster, plural(v.Quorum.Managers, "manager"), v.Leader, who))
	}
	return nil
}

func plural(n int, what string) string { return trouble.Count(n, what) }

// setClocks sets the clocks of nodes that are wrong by more than a few
// seconds, as after a virtual machine's sleep, and tells what it did.
func setClocks(ctx context.Context, nodes map[string]*node.Conn) (told []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, n := range nodes {
		wg.Go(func() {
			ahead, err := provision.Clock(ctx, n)
			say := ""
			switch {
			case err != nil:
				say = err.Error()
			case ahead.Abs() > clockTolerance:
				say = fmt.Sprintf("its clock was wrong by %s, and is set", ahead)
				if err := provision.SetClock(ctx, n); err != nil {
					say = fmt.Sprintf("its clock is wrong by %s: %v", ahead, err)
				}
			}
			if say != "" {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, name+": "+strings.TrimPrefix(say, name+": "))
			}
		})
	}
	wg.Wait()
	slices.Sort(told)
	return told
}

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// breakPatience is how long engines may take to tell what they are in the swarm, before
// something is broken: what is broken already must not keep more from it.
const breakPatience = 3 * time.Second

// undoTimeout is how long what was begun may take to be undone, once it has failed
// or was interrupted.
const undoTimeout = time.Minute

type breaking struct {
	starter
	request fault.Request
	// yes: the quorum may be lost. asked is the fault with which a plan asked for that.
	yes   bool
	asked string
}

// Break applies a fault to nodes, which heals by itself when its time is over. Without
// yes, it loses the quorum only where its plan has asked for that.
func (f Faults) Break(r fault.Request, yes bool) Operation {
	if r.Seed == 0 {
		r.Seed = 1 + rand.Uint64N(1_000_000) //nolint:gosec // a lot, short enough to be typed again
	}
	return &breaking{starter: starter{f.of}, request: r, yes: yes}
}

// NeedsRoot: what happens in a node, its own root does.
func (b *breaking) NeedsRoot() bool {
	return b.request.Kind == fault.Kill && b.Driver().Traits().NeedsRoot
}

// broken is what a fault would do now.
type broken struct {
	fault.Fault
	journal fault.Journal
	cost    fault.Cost
	// nodes run, and are broken; off do not, and are not.
	nodes, off []string
	engines    *session.Engines
}

// look finds out what the fault means now. The caller closes the engines.
func (b *breaking) look(ctx context.Context) (broken, error) {
	if err := b.MustExist(); err != nil {
		return broken{}, err
	}
	journal, err := fault.ReadJournal(b.State())
	if err != nil {
		return broken{}, err
	}
	engines, err := b.AllEngines(ctx, nil)
	if err != nil {
		return broken{}, err
	}
	v := glance(ctx, engines)
	if err := ctx.Err(); err != nil {
		engines.Close()
		return broken{}, err
	}
	b.Faults().reconcile(ctx, engines.Pool, engines.Machines, &journal)
	out := broken{journal: journal, engines: engines}
	v = session.Settled(v, engines.Machines)
	if out.Fault, err = fault.Resolve(b.request, b.Lab(), v); err != nil {
		engines.Close()
		return broken{}, b.meaning(err)
	}
	if out.OwnKernel() && !b.Driver().Traits().Boxes {
		engines.Close()
		return broken{}, b.notHere("its nodes have no clock of their own: this machine's would be set, for all that runs on it")
	}
	for _, name := range out.Affected(b.Lab()) {
		if engines.Machines[name] == machine.StatusRunning {
			out.nodes = append(out.nodes, name)
		} else {
			out.off = append(out.off, name)
		}
	}
	if at := slices.IndexFunc(journal.Faults, out.Same); at >= 0 && out.Power() {
		out.nodes, out.off = journal.Faults[at].On, nil // which are off already: their end is another one
	}
	if err := b.ownDisks(ctx, out); err != nil {
		engines.Close()
		return broken{}, err
	}
	if len(out.nodes) == 0 {
		engines.Close()
		return broken{}, session.NotRunning(out.off[0], engines.Machines[out.off[0]])
	}
	have := slices.DeleteFunc(slices.Clone(journal.Faults), out.Same)
	out.cost = fault.Quorum(b.Lab(), v, have, out.Fault)
	return out, nil
}

// notHere is why nodes that share this machine's kernel cannot have a fault.
func (b *breaking) notHere(why string, next ...string) error {
	return &trouble.Error{
		ID: "fault-not-here", What: b.request.Asked + " on the " + b.Driver().Name() + " driver", Why: why, Exit: trouble.ExitRefused,
		Next: append(next, "virtual machines have their own: dcalab --driver vagrant up"),
	}
}

// ownDisks refuses to fill a file system that is not the node's alone.
func (b *breaking) ownDisks(ctx context.Context, f broken) error {
	if f.Kind != fault.Disk || b.Driver().Traits().Boxes {
		return nil
	}
	var shared []string
	for _, name := range f.nodes {
		c, err := f.engines.Pool.ConnTo(ctx, name, f.engines.Machines[name])
		if err != nil {
			return err
		}
		own, err := fault.OwnDisk(ctx, c)
		if err != nil {
			return err
		}
		if !own {
			shared = append(shared, name)
		}
	}
	if len(shared) == 0 {
		return nil
	}
	return b.notHere(strings.Join(shared, ", ")+": no file system of its own: this machine's would be filled",
		"give it one: disk: 2048 in labs.yaml, then dcalab destroy "+strings.Join(shared, " ")+" and dcalab up --swarm")
}

// glance asks every engine once, and does not wait for one that hangs.
func glance(ctx context.Context, engines *session.Engines) swarm.View {
	ctx, cancel := context.WithCancel(ctx)
	var asked swarm.Watch
	v, _ := asked.Look(ctx, engines.Targets, breakPatience)
	cancel()
	asked.Wait()
	return v
}

// meaning is why a request means nothing here, as a person is told.
func (b *breaking) meaning(err error) error {
	var m *fault.MeaningError
	if !errors.As(err, &m) {
		return err
	}
	if m.Unknown != "" {
		err := b.NoSuchNode(m.Unknown)
		var t *trouble.Error
		if errors.As(err, &t) {
			t.Next = append(t.Next, "or one of the words "+strings.Join(fault.NodeWords(), ", "))
		}
		return err
	}
	return &trouble.Error{
		ID: "fault-meaningless", What: b.request.Asked, Why: m.Why, Exit: trouble.ExitRefused, Err: m,
		Next: []string{"which nodes there are, and what they are now: dcalab status"},
	}
}

func (b *breaking) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	f, err := b.look(ctx)
	if err != nil {
		return Plan{}, err
	}
	f.engines.Close()
	f.ID = f.journal.NextID(f.Fault)
	p := Plan{Runbook: b.typed(f)}
	for _, name := range f.nodes {
		for _, effect := range f.Effects(b.Lab(), name) {
			p.add("%s: %s", name, effect)
		}
	}
	p.Warnings = b.warnings(f)
	if words := f.cost.Words(); words != "" {
		p.Warnings = append(p.Warnings, words)
	}
	if b.asked = f.Words(); f.cost.Lost() {
		p.Question = "apply " + f.Words() + ", which costs the quorum?"
	}
	return p, nil
}

func (b *breaking) warnings(f broken) []string {
	var out []string
	if len(f.off) > 0 {
		out = append(out, "machines that do not run are left as they are: "+strings.Join(f.off, ", "))
	}
	if f.Power() && b.request.For > 0 && b.HealLater == nil {
		out = append(out, "it does not end by itself: labs.yaml came through a pipe, which no other process can read")
	}
	return out
}

func (b *breaking) typed(f broken) runbook.Runbook {
	if f.Power() {
		return b.ExplainMachines(machine.Deed{Act: machine.ActKill, Nodes: f.nodes})
	}
	l := f.Typed(b.Lab(), b.Driver().Traits().Systemd)
	return slices.DeleteFunc(l, func(c runbook.Command) bool { return !slices.Contains(f.nodes, c.Node) })
}

func (b *breaking) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	f, err := b.look(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer f.engines.Close()
	if f.cost.Lost() && !b.yes && b.asked != f.Words() { // it was another one that was asked for
		return Outcome{}, &trouble.Error{
			ID: "quorum-would-be-lost", What: "refused to apply " + f.Words(), Why: f.cost.Words(), Exit: trouble.ExitRefused,
			Next: []string{"look what has changed: dcalab status", "to apply it all the same: --yes"},
		}
	}
	if b.asked == "" { // a plan has said this
		warn(tell, b.warnings(f)...)
		if words := f.cost.Words(); words != "" {
			tell.Warn(words)
		}
	}
	f.On = f.nodes
	f.Begun = time.Now()
	if b.request.For > 0 && (!f.Power() || b.HealLater != nil) {
		ends := f.Begun.Add(b.request.For)
		f.Ends = &ends
	}
	begun, again := f.journal.Begin(f.Fault)
	f.Fault = begun
	if err := f.journal.Write(b.State()); err != nil {
		return Outcome{}, err
	}
	at, err := b.apply(ctx, tell, f)
	if err != nil {
		return Outcome{}, b.undo(ctx, tell, f, again, err)
	}
	f.journal.Applied(f.ID, at)
	if f.Power() {
		f.journal.Lost(f.nodes...)
	}
	if err := f.journal.Write(b.State()); err != nil {
		return Outcome{}, err
	}
	out := Outcome{Runbook: b.typed(f)}
	note := f.ID + ": " + f.Words()
	if again {
		note = f.ID + " was there already: " + f.Words()
	}
	if f.Ends == nil {
		note += ", until"
	} else {
		note += ", for " + trouble.Duration(b.request.For) + ", or until"
	}
	out.Notes = append(out.Notes, note+": dcalab heal "+f.ID)
	if f.Seed != 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("the same lot again: --seed %d", f.Seed))
	}
	return out, nil
}

// apply breaks the nodes, all at once, and gives the time at which the first was broken.
func (b *breaking) apply(ctx context.Context, tell session.Reporter, f broken) (first time.Time, err error) {
	if f.Power() {
		killer, ok := b.Driver().(machine.Killer)
		if !ok {
			return first, fmt.Errorf("the %s driver cannot cut the power of a machine: %w", b.Driver().Name(), errors.ErrUnsupported)
		}
		if f.Ends != nil {
			if err := b.HealLater(f.ID); err != nil {
				return first, err
			}
		}
		first = time.Now()
		if err := killer.Kill(ctx, machine.Observer{Step: tell.Step}, f.nodes...); err != nil {
			return first, err
		}
		for _, name := range f.nodes {
			tell.Done(name, "without power")
		}
		return first, nil
	}
	nodes, err := b.Nodes(f.nodes...)
	if err != nil {
		return first, err
	}
	var mu sync.Mutex
	failed := f.engines.Pool.Each(ctx, nodes, func(ctx context.Context, n lab.Node, c *node.Conn) error {
		tell.Step(n.Name, "breaking")
		means, err := f.Apply(ctx, b.Lab(), c, time.Now())
		if err != nil {
			return err
		}
		mu.Lock()
		if first.IsZero() {
			first = time.Now()
		}
		mu.Unlock()
		tell.Done(n.Name, strings.Join(f.Effects(b.Lab(), n.Name), "; ")+means.Words())
		return nil
	})
	return first, joined(nodes, failed)
}

// undo heals what a fault that failed has left, or says what is still there. One that was
// there before stays.
func (b *breaking) undo(ctx context.Context, tell session.Reporter, f broken, again bool, why error) error {
	undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if again {
		return why
	}
	if f.Power() {
		machines, err := b.Driver().Status(undoing)
		if err != nil {
			return errors.Join(why, err)
		}
		f.journal.On(runningOf(b.Lab().Nodes, machines)...)
		left := "no machine is without power"
		if now, _ := f.journal.Get(f.ID); now.ID != "" {
			left = "without power: " + strings.Join(now.On, ", ")
		}
		return errors.Join(cut(ctx, why, left, "start them: dcalab heal "+f.ID), f.journal.Write(b.State()))
	}
	if left := b.Faults().healNodes(undoing, tell, f.engines.Pool, f.nodes, f.ID); left != nil {
		return errors.Join(why, left)
	}
	f.journal.Healed(f.ID)
	return errors.Join(cut(ctx, why, "nothing is left of the fault"), f.journal.Write(b.State()))
}

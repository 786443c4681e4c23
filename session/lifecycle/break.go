package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
}

// Break applies a fault to nodes, which heals by itself when its time is over.
func (o Operator) Break(r fault.Request) Operation {
	if r.Seed == 0 {
		r.Seed = 1 + rand.Uint64N(1_000_000) //nolint:gosec // a lot, short enough to be typed again
	}
	return breaking{starter{o}, r}
}

// NeedsRoot: what happens in a node, its own root does.
func (b breaking) NeedsRoot() bool {
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
func (b breaking) look(ctx context.Context, now time.Time) (broken, error) {
	if err := b.MustExist(); err != nil {
		return broken{}, err
	}
	journal, err := fault.ReadJournal(b.State())
	if err != nil {
		return broken{}, err
	}
	journal.Faults = journal.Now(now)
	engines, err := b.AllEngines(ctx, nil)
	if err != nil {
		return broken{}, err
	}
	v := glance(ctx, engines)
	if err := ctx.Err(); err != nil {
		engines.Close()
		return broken{}, err
	}
	out := broken{journal: journal, engines: engines}
	v = session.Settled(v, engines.Machines)
	if out.Fault, err = fault.Resolve(b.request, b.Lab(), v); err != nil {
		engines.Close()
		return broken{}, b.meaning(err)
	}
	for _, name := range out.On(b.Lab()) {
		if engines.Machines[name] == machine.StatusRunning {
			out.nodes = append(out.nodes, name)
		} else {
			out.off = append(out.off, name)
		}
	}
	if len(out.nodes) == 0 {
		engines.Close()
		return broken{}, session.NotRunning(out.off[0], engines.Machines[out.off[0]])
	}
	have := slices.DeleteFunc(slices.Clone(journal.Faults), out.Same)
	out.cost = fault.Quorum(b.Lab(), v, have, out.Fault)
	return out, nil
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
func (b breaking) meaning(err error) error {
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

func (b breaking) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	f, err := b.look(ctx, time.Now())
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
	if f.cost.Lost() {
		p.Question = f.Words() + ": " + f.cost.Words() + ". Go on?"
	} else if words := f.cost.Words(); words != "" {
		p.Warnings = append(p.Warnings, words)
	}
	return p, nil
}

func (b breaking) warnings(f broken) []string {
	var out []string
	if len(f.off) > 0 {
		out = append(out, "machines that do not run are left as they are: "+strings.Join(f.off, ", "))
	}
	return out
}

func (b breaking) typed(f broken) runbook.Runbook {
	if f.Power() {
		return b.ExplainMachines(machine.Deed{Act: machine.ActKill, Nodes: f.nodes})
	}
	l := f.Typed(b.Lab(), b.Driver().Traits().Systemd)
	return slices.DeleteFunc(l, func(c runbook.Command) bool { return !slices.Contains(f.nodes, c.Node) })
}

func (b breaking) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	f, err := b.look(ctx, time.Now())
	if err != nil {
		return Outcome{}, err
	}
	defer f.engines.Close()
	warn(tell, b.warnings(f)...)
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
	if err := b.apply(ctx, tell, f); err != nil {
		return Outcome{}, b.undo(ctx, tell, f, err)
	}
	f.journal.Applied(f.ID)
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
	if words := f.cost.Words(); words != "" {
		out.Notes = append(out.Notes, words)
	}
	return out, nil
}

// apply breaks the nodes, all at once.
func (b breaking) apply(ctx context.Context, tell session.Reporter, f broken) error {
	if f.Power() {
		killer, ok := b.Driver().(machine.Killer)
		if !ok {
			return fmt.Errorf("the %s driver cannot cut the power of a machine: %w", b.Driver().Name(), errors.ErrUnsupported)
		}
		if f.Ends != nil {
			if err := b.HealLater(f.ID); err != nil {
				return err
			}
		}
		if err := killer.Kill(ctx, machine.Observer{Step: tell.Step}, f.nodes...); err != nil {
			return err
		}
		for _, name := range f.nodes {
			tell.Done(name, "without power")
		}
		return nil
	}
	nodes, err := b.Nodes(f.nodes...)
	if err != nil {
		return err
	}
	failed := f.engines.Pool.Each(ctx, nodes, func(ctx context.Context, n lab.Node, c *node.Conn) error {
		tell.Step(n.Name, "breaking")
		if err := f.Apply(ctx, b.Lab(), c, time.Now()); err != nil {
			return err
		}
		tell.Done(n.Name, strings.Join(f.Effects(b.Lab(), n.Name), "; "))
		return nil
	})
	return joined(nodes, failed)
}

// undo heals what a fault that failed has left, or says that it is still there.
func (b breaking) undo(ctx context.Context, tell session.Reporter, f broken, why error) error {
	healing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if !f.Power() {
		if left := b.healNodes(healing, tell, f.engines.Pool, f.nodes, f.ID); left != nil {
			return errors.Join(why, left)
		}
	}
	f.journal.Healed(f.ID)
	return errors.Join(cut(ctx, why, "nothing is left of the fault"), f.journal.Write(b.State()))
}

// healNodes heals faults on nodes that run, all at once; all that there are, where
// none is named.
func (o Operator) healNodes(ctx context.Context, tell session.Reporter, pool *session.Pool, names []string, ids ...string) error {
	if len(names) == 0 {
		return nil
	}
	nodes, err := o.Nodes(names...)
	if err != nil {
		return err
	}
	failed := pool.Each(ctx, nodes, func(ctx context.Context, n lab.Node, c *node.Conn) error {
		tell.Step(n.Name, "healing")
		if err := fault.Heal(ctx, c, ids...); err != nil {
			return err
		}
		tell.Done(n.Name, "healed")
		return nil
	})
	return joined(nodes, failed)
}

// joined makes one error of what went wrong on nodes, in their order.
func joined(nodes []lab.Node, failed map[string]error) error {
	var errs []error
	for _, n := range nodes {
		errs = append(errs, failed[n.Name])
	}
	return errors.Join(errs...)
}

type healing struct {
	starter
	ids []string // none: all
}

// Heal heals faults, or all that there are, and waits until the swarm is whole.
func (o Operator) Heal(ids ...string) Operation { return healing{starter{o}, ids} }

// NeedsRoot: machines whose power was cut are started.
func (h healing) NeedsRoot() bool {
	_, faults, err := h.picked()
	return err == nil && slices.ContainsFunc(faults, fault.Fault.Power) && h.Driver().Traits().NeedsRoot
}

// picked gives the faults that are to be healed. One that is no longer there is
// healed already.
func (h healing) picked() (fault.Journal, []fault.Fault, error) {
	if err := h.MustExist(); err != nil {
		return fault.Journal{}, nil, err
	}
	journal, err := fault.ReadJournal(h.State())
	if err != nil && len(h.ids) == 0 { // what is on the nodes can be healed all the same
		return fault.Journal{}, nil, nil
	}
	if err != nil || len(h.ids) == 0 {
		return journal, journal.Faults, err
	}
	var out []fault.Fault
	for _, id := range h.ids {
		f, known := journal.Get(id)
		if !known {
			return journal, nil, &trouble.Error{
				ID: "unknown-fault", What: "heal " + id, Why: "the lab has had no fault of this id", Exit: trouble.ExitUsage,
				Next: []string{"those that there are: dcalab break list", "all of them: dcalab heal --all"},
			}
		}
		if f.ID != "" && !slices.ContainsFunc(out, func(have fault.Fault) bool { return have.ID == id }) {
			out = append(out, f)
		}
	}
	return journal, out, nil
}

func (h healing) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	_, faults, err := h.picked()
	if err != nil {
		return Plan{}, err
	}
	machines, err := h.Driver().Status(ctx)
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	for _, f := range faults {
		for _, name := range f.On(h.Lab()) {
			switch running := machines[name] == machine.StatusRunning; {
			case f.Power() && !running:
				p.add("%s: boot it (%s %s)", name, f.ID, f.Words())
			case !f.Power() && running:
				p.add("%s: undo %s, %s", name, f.ID, f.Words())
			}
		}
	}
	p.Runbook = h.typed(faults, machines)
	return p, nil
}

func (h healing) typed(faults []fault.Fault, machines map[string]machine.Status) runbook.Runbook {
	var l runbook.Runbook
	for _, f := range faults {
		if f.Power() {
			off := slices.DeleteFunc(slices.Clone(f.Nodes), func(name string) bool { return machines[name] == machine.StatusRunning })
			if len(off) > 0 {
				l = append(l, h.ExplainMachines(machine.Deed{Act: machine.ActStart, Nodes: off})...)
			}
			continue
		}
		l = append(l, slices.DeleteFunc(f.TypedHeal(h.Lab(), h.Driver().Traits().Systemd), func(c runbook.Command) bool {
			return machines[c.Node] != machine.StatusRunning
		})...)
	}
	return l.ByNode()
}

func (h healing) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	journal, faults, err := h.picked()
	if err != nil {
		return Outcome{}, err
	}
	machines, err := h.Driver().Status(ctx)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Runbook: h.typed(faults, machines)}
	on, off, ids := map[string]bool{}, map[string]bool{}, []string{}
	for _, f := range faults {
		ids = append(ids, f.ID)
		for _, name := range f.On(h.Lab()) {
			running := machines[name] == machine.StatusRunning
			on[name] = on[name] || running
			off[name] = off[name] || f.Power() && !running && machines[name] != machine.StatusAbsent
		}
	}
	var nodes, dark []string
	for _, n := range h.Lab().Nodes {
		if on[n.Name] || len(h.ids) == 0 && machines[n.Name] == machine.StatusRunning {
			nodes = append(nodes, n.Name)
		}
		if off[n.Name] {
			dark = append(dark, n.Name)
		}
	}
	pool := h.NewPool()
	defer pool.Close()
	if len(h.ids) == 0 { // also what the journal does not know
		err = h.healNodes(ctx, tell, pool, nodes)
	} else if len(ids) > 0 {
		err = h.healNodes(ctx, tell, pool, nodes, ids...)
	}
	if err != nil {
		return out, cut(ctx, err, "some faults may still be there", "the same command, run again")
	}
	if len(dark) > 0 {
		picked, err := h.Nodes(dark...)
		if err != nil {
			return out, err
		}
		if _, err := h.boot(ctx, tell, picked, machine.ActStart, pool, nil); err != nil {
			return out, err
		}
		if journal, err = fault.ReadJournal(h.State()); err != nil {
			return out, err
		}
	}
	journal.Healed(ids...)
	journal.Faults = journal.Now(time.Now())
	if err := journal.Write(h.State()); err != nil {
		return out, err
	}
	if left := journal.Faults; len(left) > 0 {
		out.Notes = append(out.Notes, "still broken: "+strings.Join(fault.Explained(left), "; "))
		return out, nil
	}
	return out, h.whole(ctx, tell, pool)
}

// whole waits until all nodes that run and are in the swarm are healthy there.
func (h healing) whole(ctx context.Context, tell session.Reporter, pool *session.Pool) error {
	engines, err := h.Engines(ctx, pool)
	if err != nil {
		return err
	}
	defer engines.Release()
	cluster := engines.Cluster(swarm.Options{Waiting: session.Waiting(tell)})
	v := cluster.Observe(ctx)
	var members []string
	for _, n := range v.Nodes {
		if engines.Machines[n.Name] == machine.StatusRunning && !n.Orphan && (n.Listed || n.Cluster != "") {
			members = append(members, n.Name)
		}
	}
	if len(members) == 0 {
		return nil
	}
	tell.Step("", "waiting for the swarm")
	if v, err = cluster.AwaitHealthy(ctx, healthyTimeout, members...); err != nil {
		return err
	}
	tell.Done("", fmt.Sprintf("swarm %s: %s, leader %s", v.Cluster, v.Quorum, v.Leader))
	return nil
}

// thaw lets engines go on that are frozen: they could not end in order. Where that
// fails, the machine waits for them, and then ends them.
func (o Operator) thaw(ctx context.Context, tell session.Reporter, nodes []string) {
	j, err := fault.ReadJournal(o.State())
	if err != nil {
		return
	}
	var frozen, ids []string
	for _, f := range j.Now(time.Now()) {
		if f.Kind != fault.Freeze {
			continue
		}
		ids = append(ids, f.ID)
		for _, name := range f.Nodes {
			if slices.Contains(nodes, name) && !slices.Contains(frozen, name) {
				frozen = append(frozen, name)
			}
		}
	}
	if len(frozen) == 0 {
		return
	}
	pool := o.NewPool()
	defer pool.Close()
	if err := o.healNodes(ctx, tell, pool, frozen, ids...); err != nil {
		tell.Detail("", trouble.OneLine(err))
	}
}

// healAll heals whatever is broken on nodes, all of which run.
func (o Operator) healAll(ctx context.Context, tell session.Reporter) error {
	j, err := fault.ReadJournal(o.State())
	if err != nil || len(j.Now(time.Now())) == 0 {
		return err
	}
	pool := o.NewPool()
	defer pool.Close()
	if err := o.healNodes(ctx, tell, pool, o.Lab().NodeNames()); err != nil {
		return err
	}
	return o.journal(func(j *fault.Journal) { j.Faults = nil })
}

// faultsOff takes note that machines were powered off, or removed: what was on them
// is gone.
func (o Operator) faultsOff(nodes ...string) error {
	return o.journal(func(j *fault.Journal) { j.Off(o.Lab(), nodes...) })
}

// journal changes the lab's list of faults, where there is one to change.
func (o Operator) journal(change func(*fault.Journal)) error {
	j, err := fault.ReadJournal(o.State())
	if err != nil || len(j.Faults) == 0 {
		return err
	}
	change(&j)
	return j.Write(o.State())
}

// warnFaults tells of faults, because of which what comes may fail.
func (o Operator) warnFaults(tell session.Reporter) {
	j, err := fault.ReadJournal(o.State())
	if err != nil {
		return
	}
	left := slices.DeleteFunc(j.Now(time.Now()), fault.Fault.Power) // starting them heals it
	if len(left) > 0 {
		tell.Warn("faults are active, and may keep this from succeeding: " + strings.Join(fault.Explained(left), "; ") + "; heal them: dcalab heal --all")
	}
}

package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// Faults breaks what is in the lab, and heals it: what the lab's list has, and what is on
// the nodes.
type Faults struct{ of Operator }

// Faults gives the operations on what is broken in the lab.
func (o Operator) Faults() Faults { return Faults{o} }

// reconcile leaves in the list what is still on the nodes that run; what cannot be
// asked stays.
func (f Faults) reconcile(ctx context.Context, pool *session.Pool, machines map[string]machine.Status, j *fault.Journal) {
	var nodes []lab.Node
	for _, n := range f.of.Lab().Nodes {
		if machines[n.Name] == machine.StatusRunning && slices.ContainsFunc(j.Faults, func(f fault.Fault) bool { return !f.Power() && slices.Contains(f.On, n.Name) }) {
			nodes = append(nodes, n)
		}
	}
	found, failed := fault.FindOn(ctx, pool.Each, nodes)
	j.Keep(func(f fault.Fault, name string) bool {
		has := slices.ContainsFunc(found[name], func(have fault.Found) bool { return have.ID == f.ID })
		return has || failed[name] != nil || f.Power() && machines[name] != machine.StatusRunning
	})
}

// healNodes heals faults on nodes that run, all at once; all that there are, where
// none is named.
func (f Faults) healNodes(ctx context.Context, tell session.Reporter, pool *session.Pool, names []string, ids ...string) error {
	if len(names) == 0 {
		return nil
	}
	nodes, err := f.of.Nodes(names...)
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

// thaw lets engines go on that are frozen: they could not end gracefully. Where that
// fails, the machine waits for them, and then ends them.
func (f Faults) thaw(ctx context.Context, tell session.Reporter, nodes []string) {
	j, err := fault.ReadJournal(f.of.State())
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
	machines, err := f.of.Driver().Status(ctx)
	if err != nil {
		return
	}
	frozen = slices.DeleteFunc(frozen, func(name string) bool { return machines[name] != machine.StatusRunning })
	if len(frozen) == 0 {
		return
	}
	pool := f.of.NewPool()
	defer pool.Close()
	if err := f.healNodes(ctx, tell, pool, frozen, ids...); err != nil {
		tell.Detail("", trouble.OneLine(err))
	}
}

// healAll heals whatever is broken on nodes, all of which run.
func (f Faults) healAll(ctx context.Context, tell session.Reporter) error {
	j, err := fault.ReadJournal(f.of.State())
	if err != nil || len(j.Now(time.Now())) == 0 {
		return err
	}
	pool := f.of.NewPool()
	defer pool.Close()
	if err := f.healNodes(ctx, tell, pool, f.of.Lab().NodeNames()); err != nil {
		return err
	}
	return f.change(func(j *fault.Journal) { j.Faults = nil })
}

// off takes note that machines were powered off, or removed: what was on them
// is gone.
func (f Faults) off(tell session.Reporter, nodes ...string) {
	if err := f.change(func(j *fault.Journal) { j.Off(nodes...) }); err != nil {
		tell.Warn(trouble.OneLine(err))
	}
}

// change changes the lab's list of faults, where there is one to change.
func (f Faults) change(how func(*fault.Journal)) error {
	j, err := fault.ReadJournal(f.of.State())
	if err != nil || len(j.Faults) == 0 {
		return err
	}
	how(&j)
	return j.Write(f.of.State())
}

// warn tells of faults because of which what comes may fail.
func (f Faults) warn(tell session.Reporter) {
	j, err := fault.ReadJournal(f.of.State())
	if err != nil {
		return
	}
	left := slices.DeleteFunc(j.Now(time.Now()), fault.Fault.Power) // starting them heals it
	if len(left) > 0 {
		tell.Warn("faults are active, and may keep this from succeeding: " + strings.Join(fault.Explained(left), "; ") + "; heal them: dcalab heal --all")
	}
}

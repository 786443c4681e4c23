package swarm

import (
	"context"
	"errors"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// Remove takes the named nodes out of the swarm, one after the other and in
// order: a manager is demoted first, as by Demote, then the node leaves the
// swarm, then its entry is struck. Of a node that does not answer only the
// entry goes. Errors are those of Demote, and remove-unfinished.
func Remove(ctx context.Context, targets []Target, names []string, o ChangeOptions) (Change, error) {
	r, ch, err := beginChange(ctx, targets, names, o)
	if err != nil {
		return ch, err
	}
	var ids []string
	for _, m := range r.members {
		ids = append(ids, m.ID)
	}
	if err := r.view.GuardRemoval(ids...); err != nil {
		var t *trouble.Error
		if !o.Force || errors.As(err, &t) && t.ID == "last-manager" {
			return ch, err
		}
	}
	r.askOthersFirst(r.members)
	var errs []error
	for _, m := range r.members {
		err := r.remove(ctx, m)
		errs = append(errs, err)
		if err != nil {
			break
		}
	}
	return r.endChange(ctx, ch, errs)
}

func (r *changer) remove(ctx context.Context, m member) error {
	n, ours := r.view.Node(m.name)
	answers := ours && n.State.Answered()
	manager := m.IsManager() || m.Role == engine.RoleManager
	if manager && answers {
		if err := r.change(ctx, m, demoteStep{on(m.name), m.ID}, engine.RoleWorker); err != nil {
			return err
		}
		manager = false
	}
	var steps []Step
	if answers {
		steps = append(steps, leaveStep{on(m.name), r.view.Cluster, "it is removed"})
	}
	for _, s := range append(steps, dropStep{on(m.name), m.ID, manager}) {
		if err := r.step(ctx, s); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return &trouble.Error{
				ID: "remove-unfinished", Exit: trouble.ExitUnfinished, Where: m.name, What: s.String(), Why: cause(m.name, err),
				Next: []string{"see where it stands: dcalab status"}, Err: err,
			}
		}
	}
	return nil
}

// Members gives those of the named nodes of the lab that the swarm's list
// holds, by short name.
func (v View) Members(names ...string) []string {
	var out []string
	for _, name := range names {
		if n, ok := v.Node(name); ok && n.Listed && n.Want != lab.RoleNone {
			out = append(out, n.Name)
		}
	}
	return out
}

package swarm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

// AwaitHealthy waits until the named nodes, which have just been started, are
// Healthy. It never changes anything.
//
// The error is a *trouble.Error: "swarm-locked" where managers wait for their
// key, "swarm-not-standing" where a node has given up or the timeout is over,
// with what is missing; both with ExitUnfinished. The view is the last one.
func (c *Cluster) AwaitHealthy(ctx context.Context, timeout time.Duration, nodes ...string) (View, error) {
	v, err := c.Await(ctx, timeout, Healthy(nodes...))
	var unmet *UnmetError
	if errors.As(err, &unmet) {
		return v, unhealthyError(v, nodes, unmet)
	}
	return v, err
}

func unhealthyError(v View, nodes []string, unmet *UnmetError) error {
	var errs []error
	locked := false
	for _, n := range v.Nodes {
		if slices.Contains(nodes, n.Name) {
			errs = append(errs, n.Err)
			locked = locked || n.State == StateLocked
		}
	}
	e := &trouble.Error{
		ID: "swarm-not-standing", What: "nodes are running but the swarm is not healthy", Why: strings.Join(unmet.Missing, "; "),
		Next: []string{"check the state: dcalab status", "then fix it: dcalab swarm bootstrap"},
		Exit: trouble.ExitUnfinished, Err: errors.Join(errs...),
	}
	if !unmet.Hopeless {
		e.What += " after " + unmet.Timeout.String()
	}
	if locked {
		e.ID, e.Next = "swarm-locked", []string{"enter the unlock key: dcalab swarm unlock"}
	}
	return e
}

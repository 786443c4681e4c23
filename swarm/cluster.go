package swarm

import (
	"context"
	"errors"
	"time"

	"github.com/dcalab/dcalab/engine"
)

// Cluster is the way to the engines of a lab's nodes. What was observed of them
// is a View, which is plain data; whatever asks an engine is a method of this.
type Cluster struct {
	targets []Target
	o       Options
}

// Options of New.
type Options struct {
	// Timeout is how long the effect of a step is waited for; zero means a minute,
	// and more in a lab of more than ten nodes.
	Timeout time.Duration
	// Progress is called as steps begin and end, from several goroutines at
	// once. May be nil.
	Progress func(Event)
	// Waiting is told before each pause of Await what is missing. May be nil.
	Waiting func(missing []string)
	// Reconnect gives the nodes and the connections to their engines again before each
	// look of Await: machines may start and stop meanwhile. The next look comes a
	// second later then. May be nil: they stay what they are.
	Reconnect func(context.Context) ([]Target, error)
}

// New makes the cluster of these nodes. It asks nobody.
func New(targets []Target, o Options) *Cluster {
	if o.Timeout <= 0 {
		o.Timeout = changeTimeout + shareTimeout*time.Duration(max(0, len(targets)-10))
	}
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	if o.Waiting == nil {
		o.Waiting = func([]string) {}
	}
	return &Cluster{targets: targets, o: o}
}

func (c *Cluster) reconnect(ctx context.Context) error {
	if c.o.Reconnect == nil {
		return nil
	}
	targets, err := c.o.Reconnect(ctx)
	if err == nil {
		c.targets = targets
	}
	return err
}

// Observe asks every engine at once what it is, each manager for its list too,
// and puts the answers together. It takes as long as the slowest, a few
// seconds where a manager has no quorum or an engine hangs, and never fails:
// what could not be asked is in the view.
func (c *Cluster) Observe(ctx context.Context) View {
	return classify(labNodes(c.targets), probeAll(ctx, c.targets), nil)
}

// Tasks asks a manager of the lab's swarm for the tasks of all services. The
// error is ErrNoManager where none of them gave its list when v was observed.
func (c *Cluster) Tasks(ctx context.Context, v View) ([]engine.Task, error) {
	var errs []error
	for i, n := range v.Nodes {
		if v.facts[i].listed && n.Cluster == v.Cluster {
			e, err := c.engine(n.Name)
			var tasks []engine.Task
			if err == nil {
				tasks, err = e.Tasks(ctx)
			}
			if err == nil {
				return tasks, nil
			}
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil, ErrNoManager
	}
	return nil, errors.Join(errs...)
}

// ErrNoManager tells that no manager of the swarm answers with a leader behind it.
var ErrNoManager = errors.New("no manager answers for the swarm")

// Holdings gives what the lab's swarm keeps for its users. Errors are those of
// NeedManager: nobody can tell without a quorum.
func (c *Cluster) Holdings(ctx context.Context, v View) (engine.Holdings, error) {
	var out engine.Holdings
	if err := v.NeedManager(); err != nil {
		return out, err
	}
	err := c.begin(v).viaAnyManager(ctx, func(e Engine) error {
		var err error
		out, err = e.Holdings(ctx)
		return err
	})
	return out, err
}

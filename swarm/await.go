package swarm

import (
	"context"
	"slices"

	"github.com/dcalab/dcalab/engine"
)

// poll is poll with the timeout of the steps.
func (r *Run) poll(ctx context.Context, look func() error) error {
	return poll(ctx, r.o.Timeout, shortPauses(), look)
}

// nodes gives the swarm's list, through the first manager that has it.
func (r *Run) nodes(ctx context.Context) ([]engine.Node, error) {
	var list []engine.Node
	err := r.viaAnyManager(ctx, func(e Engine) error {
		var err error
		list, err = e.Nodes(ctx)
		return err
	})
	return list, err
}

// ask asks a node again in the background, after a step has changed what it
// is: its answer is there, or on its way, when an await wants it. Where there is
// none in the plan, nobody is asked.
func (r *Run) ask(ctx context.Context, node string) {
	at := slices.IndexFunc(r.targets, func(t Target) bool { return t.Name == node })
	if at < 0 || r.targets[at].Engine == nil {
		return
	}
	r.mu.Lock()
	awaits := r.awaits
	r.asked[at]++
	turn := r.asked[at]
	r.mu.Unlock()
	if !awaits {
		return
	}
	r.asking.Go(func() {
		info, err := r.targets[at].Engine.Info(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.asked[at] == turn { // else a later answer counts
			r.facts[at] = fact{info: info, err: err, reached: true}
		}
	})
}

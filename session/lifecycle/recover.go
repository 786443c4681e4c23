package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/trouble"
)

// RecoverOptions are how a swarm is recovered.
type RecoverOptions struct {
	// From is the manager to go on from; empty for the one whose raft log has most.
	From string
	// Yes: it may make a manager the only one. Without it, Run does only what Plan has
	// asked for.
	Yes bool
	// Unlock is the key where the swarm has autolock on; nil where none was given.
	Unlock *engine.Secret
}

type recovering struct {
	Operator
	RecoverOptions
	asked string // the manager with which a plan has asked
}

// Recover gets a swarm that lost its quorum for good going again from one manager.
func (s Swarm) Recover(options RecoverOptions) Operation {
	return &recovering{Operator: s.of, RecoverOptions: options}
}

func (*recovering) NeedsRoot() bool { return false }

// look finds out what is left of the swarm. The caller closes the engines.
func (r *recovering) look(ctx context.Context) (swarm.Recovery, *session.Engines, error) {
	var none swarm.Recovery
	if err := r.MustExist(); err != nil {
		return none, nil, err
	}
	if err := r.unbroken(); err != nil {
		return none, nil, err
	}
	v, engines, err := r.Observe(ctx)
	if err != nil {
		return none, nil, err
	}
	rec, err := r.plan(ctx, v, engines)
	if err != nil {
		engines.Close()
	}
	return rec, engines, err
}

func (r *recovering) plan(ctx context.Context, v swarm.View, engines *session.Engines) (swarm.Recovery, error) {
	logs := map[string]raft.State{}
	var unread []string
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, n := range v.Nodes { // orphans may be managers, too
		c := engines.Pool.Held(n.Name)
		if c == nil {
			continue
		}
		all.Go(func() {
			log, err := raft.Read(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			if logs[n.Name] = log; err != nil {
				delete(logs, n.Name)
				unread = append(unread, n.Name+": its raft log could not be read, and what only it has is lost: "+trouble.OneLine(err))
			}
		})
	}
	all.Wait()
	rec, err := swarm.PlanRecover(v, logs, r.From)
	if err != nil || rec.From == "" {
		return rec, err
	}
	slices.Sort(unread)
	rec.Warnings = append(rec.Warnings, unread...)
	data := provision.SwarmData{Conn: engines.Pool.Held(rec.From)}
	if locked, err := data.KeyLocked(ctx); err != nil || !locked {
		return rec, err
	}
	if r.Unlock == nil {
		return rec, needsUnlockKey(rec.From, "refused to recover the swarm", "swarm recover --unlock")
	}
	if !r.keyless() {
		err = unlocks(data.Unlocks(ctx, r.Unlock.Reveal()), rec.From, "recover the swarm")
	}
	rec.Unlock(*r.Unlock)
	return rec, err
}

// keyless: a dry run asks for no key.
func (o RecoverOptions) keyless() bool { return *o.Unlock == "" }

// needsUnlockKey is what is said where a manager's data is locked, and no key was given.
func needsUnlockKey(where, what, command string) *trouble.Error {
	return &trouble.Error{
		ID: "needs-unlock-key", Where: where, What: what, Exit: trouble.ExitRefused,
		Why:  "autolock is on: the swarm's data is encrypted with its unlock key, for which Docker Engine does not ask here (moby#36852)",
		Next: []string{"give the key: dcalab " + command, "without it the swarm is lost: a new one is made by dcalab swarm dissolve and dcalab swarm bootstrap"},
	}
}

// unlocks is the error where a key does not unlock a manager's data.
func unlocks(err error, where, what string) error {
	if !errors.Is(err, provision.ErrWrongKey) {
		return err
	}
	return &trouble.Error{
		ID: "wrong-key", Where: where, What: what, Why: "the unlock key is not the one of this data", Exit: trouble.ExitFailure, Err: err,
		Next: []string{"where the key was rotated while this manager was away, its data has the old one"},
	}
}

// unbroken: nothing is broken on purpose, for that ends by itself, and with it what
// there is to recover from.
func (r *recovering) unbroken() error {
	j, err := fault.ReadJournal(r.State())
	if err != nil {
		return err
	}
	if left := j.Now(time.Now()); len(left) > 0 {
		return &trouble.Error{
			ID: "faults-active", What: "refused to recover the swarm", Exit: trouble.ExitRefused,
			Why:  "something is broken on purpose: " + strings.Join(fault.Explained(left), "; "),
			Next: []string{"heal it, which may be all that is needed: dcalab heal --all"},
		}
	}
	return nil
}

func (r *recovering) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	rec, engines, err := r.look(ctx)
	if err != nil {
		return Plan{}, err
	}
	engines.Close()
	var p Plan
	if rec.Empty() {
		return p, nil
	}
	for _, s := range rec.Survivors {
		p.add("%s: its raft log has %d committed entries, term %d", s.Name, s.Committed, s.Term)
	}
	p.change(rec.Result())
	p.Lines = append(p.Lines, Lines(rec.Rejoin)...)
	if r.asked = rec.From; rec.From != "" {
		p.Question = "make " + rec.From + " the only manager, and let the others join again?"
	}
	return p, nil
}

func (r *recovering) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	rec, engines, err := r.look(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer engines.Close()
	if rec.Empty() {
		return Outcome{Notes: []string{"nothing to do: " + rec.View.Quorum.String()}}, nil
	}
	if rec.From != "" && !r.Yes && rec.From != r.asked {
		return Outcome{}, &trouble.Error{
			ID: "not-confirmed", What: "recover", Why: "the swarm has changed since it was looked at: now " + rec.From + " would be made the only manager", Exit: trouble.ExitRefused,
			Next: []string{"look again: dcalab swarm recover"},
		}
	}
	out := Outcome{Runbook: rec.View.Runbook(rec.Steps())}
	warn(tell, rec.Warnings...)
	cluster := engines.Cluster(swarm.Options{Timeout: swarm.RecoverTimeout, Progress: session.Events(tell)})
	if _, err := cluster.Run(ctx, rec.Plan); err != nil {
		return out, err
	}
	var running []string
	for _, n := range r.Lab().Nodes {
		if engines.Running(n.Name) && n.Role != lab.RoleNone {
			running = append(running, n.Name)
		}
	}
	result, err := cluster.Converge(ctx, r.Lab(), swarm.PlanOptions{Only: running})
	out.Warnings, out.Runbook = result.Warnings, slices.Concat(out.Runbook, result.Runbook)
	if err != nil {
		return out, err
	}
	tellMembers(tell, result.View, swarm.NodeView.Summary)
	out.Notes = append(out.Notes, fmt.Sprintf("swarm %s: %s", result.View.Cluster, result.View.Quorum))
	if len(rec.Gone) > 0 {
		out.Notes = append(out.Notes, "what is missing is created anew, and joins: dcalab up --swarm")
	}
	return out, nil
}

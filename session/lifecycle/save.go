package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

type save struct {
	starter
	name string
}

// Save keeps the disks of all nodes under a name, for which the lab is
// halted, and started again as far as it ran.
func (s Snapshots) Save(name string) Operation { return save{starter{s.of}, name} }

// answerTimeout is how long a machine that runs may be silent: one that boots
// answers by then, and one that goes down is down. A dcalab that was killed
// leaves both.
const answerTimeout = 20 * time.Second

// preHaltState is how a lab is before it is halted.
type preHaltState struct {
	// ran are the nodes whose machines ran, ready those of them that the swarm
	// did not miss.
	ran, ready []string
	// key unlocks managers, those of ready, after the start, where autolock is
	// on.
	key      engine.Secret
	managers []string
}

// look looks at the lab, and refuses a name that is taken, and a lab that would
// be kept in pieces, or for which there is no room.
func (s save) look(ctx context.Context, tell session.Reporter) (machine.Snapshotter, preHaltState, error) {
	keeper, err := s.checkName(ctx, tell)
	if err != nil {
		return nil, preHaltState{}, err
	}
	state, err := s.preHalt(ctx, tell)
	if room, ok := keeper.(machine.SnapshotRoom); ok && err == nil && !s.lacksRoot() {
		err = room.RoomToSave(ctx)
	}
	return keeper, state, err
}

func (s save) checkName(ctx context.Context, tell session.Reporter) (machine.Snapshotter, error) {
	if err := s.MustExist(); err != nil {
		return nil, err
	}
	if keeper, ok := s.Driver().(machine.Snapshotter); ok && s.Snapshots().unseen(tell, s.name) {
		return keeper, s.SameSubnet()
	}
	keeper, list, err := s.Snapshots().List(ctx)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(list, func(one machine.Snapshot) bool { return one.Name == s.name }) {
		return nil, &trouble.Error{
			ID: "snapshot-exists", What: "save snapshot " + s.name, Why: "there is one of this name",
			Next: []string{"take another name, or delete that one first: dcalab snapshot delete " + s.name}, Exit: trouble.ExitRefused, Err: machine.ErrSnapshotExists,
		}
	}
	return keeper, s.SameSubnet()
}

func (s save) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	_, state, err := s.look(ctx, tell)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Runbook: s.typed(state)}
	for _, name := range state.ran {
		p.add("%s: stop its engine, and power it off", name)
	}
	for _, n := range s.Lab().Nodes {
		p.add("%s: keep its disk as snapshot %s", n.Name, s.name)
	}
	for _, name := range state.ran {
		p.add("%s: boot it", name)
	}
	return p, nil
}

func (s save) typed(state preHaltState) runbook.Runbook {
	l := s.ExplainMachines(whileHalted(state.ran, state.ran, machine.Deed{Act: machine.ActSave, Snapshot: s.name})...)
	if state.key != "" && len(state.managers) > 0 {
		l = slices.Insert(l, 0, runbook.Command{
			Node: state.managers[0], Text: runbook.Line("docker", "swarm", "unlock-key", "--quiet"), Gives: runbook.UnlockKey,
		})
		l = append(l, unlocking(state.managers, "")...)
	}
	if len(state.ready) > 0 {
		l = append(l, lookingAgain(s.Lab())...)
	}
	return l
}

func (s save) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	s.Faults().warn(tell)
	began := time.Now()
	keeper, state, err := s.look(ctx, tell)
	if err != nil {
		return Outcome{}, err
	}
	// From here on Ctrl-C leaves machines halted.
	const start = "start the machines that it halted: dcalab start"
	saved := s.powerOff(ctx, tell)
	if saved == nil {
		saved = keeper.SaveSnapshot(ctx, machine.Observer{Step: tell.Step}, s.name)
	}
	if saved != nil && ctx.Err() != nil {
		return Outcome{}, cut(ctx, saved, "no snapshot was taken", start, "then take it: dcalab snapshot save "+s.name)
	}
	for _, n := range s.Lab().Nodes {
		if !slices.Contains(state.ran, n.Name) {
			tell.Done(n.Name, "halted, as before")
		}
	}
	if saved == nil {
		tell.Note(fmt.Sprintf("snapshot %s: %d nodes, in %s", s.name, len(s.Lab().Nodes), trouble.Duration(time.Since(began))))
	}
	resumed := s.resume(ctx, tell, state)
	switch {
	case saved != nil:
		return Outcome{}, errors.Join(saved, cut(ctx, resumed, "no snapshot was taken", start))
	case resumed != nil:
		return Outcome{}, cut(ctx, resumed, "snapshot "+s.name+" is taken", start)
	}
	return Outcome{Runbook: s.typed(state)}, nil
}

// preHalt looks at a lab that is about to be halted and kept, and refuses one
// that would be kept in pieces.
func (s save) preHalt(ctx context.Context, tell session.Reporter) (preHaltState, error) {
	var state preHaltState
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return state, err
	}
	for _, n := range s.Lab().Nodes {
		switch machines[n.Name] {
		case machine.StatusRunning:
			state.ran = append(state.ran, n.Name)
		case machine.StatusHalted:
		default:
			err := session.NotRunning(n.Name, machines[n.Name])
			return state, &trouble.Error{
				What: "refused to save a snapshot: it is of all nodes", Next: trouble.Advice(err), Exit: trouble.ExitRefused, Err: err,
			}
		}
	}
	if len(state.ran) == 0 {
		return state, nil
	}
	// During an election no manager tells who is Ready, nor the unlock key.
	v, engines, err := s.Settled(ctx, tell, swarm.MachinesAnswer(answerTimeout))
	var unsettled *UnsettledError
	if errors.As(err, &unsettled) {
		t := unsettled.Trouble
		t.Where, t.What = "", "refused to save a snapshot"
		t.Next = append(t.Next, "or keep it as it is: dcalab halt, then the same command")
	}
	if err != nil {
		return state, err
	}
	defer engines.Close()
	state.ran = runningOf(s.Lab().Nodes, engines.Machines)
	for _, n := range v.Nodes {
		if !slices.Contains(state.ran, n.Name) {
			continue
		}
		if n.State == swarm.StateUnreachable {
			return state, &trouble.Error{
				ID: "snapshot-unreachable", Where: n.Name, What: "refused to save a snapshot",
				Why:  "its machine runs and does not answer, so it cannot be shut down cleanly",
				Next: []string{"look at it: dcalab status", "or switch it off anyway: dcalab halt --force " + n.Name}, Exit: trouble.ExitRefused, Err: n.Err,
			}
		}
		// A new leader calls nodes unknown that it has not heard of yet.
		if n.State == swarm.StateMember && n.Listed && n.Status != engine.NodeDown {
			state.ready = append(state.ready, n.Name)
			if n.Role == lab.RoleManager {
				state.managers = append(state.managers, n.Name)
			}
		}
	}
	if err := awaitDemoted(ctx, tell, engines, v, state.ran); err != nil {
		return state, err
	}
	if v.Settings != nil && v.Settings.Autolock {
		if state.key, err = engines.Cluster(swarm.Options{}).UnlockKey(ctx); err != nil {
			return state, err
		}
	}
	return state, nil
}

// whileHalted is a deed on a lab that is halted for it: before, nodes that run
// are halted, and after it nodes are started.
func whileHalted(halt, start []string, d machine.Deed) []machine.Deed {
	deeds := []machine.Deed{d}
	if len(halt) > 0 {
		deeds = []machine.Deed{{Act: machine.ActHalt, Nodes: halt}, d}
	}
	if len(start) > 0 {
		deeds = append(deeds, machine.Deed{Act: machine.ActStart, Nodes: start})
	}
	return deeds
}

package swarm

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// stuck hangs until it is let go, as an engine does during an election; then it
// has run out of time.
type stuck struct {
	Engine
	go_ chan struct{}
}

func (s stuck) Info(context.Context) (engine.Info, error) {
	<-s.go_
	return engine.Info{}, errHangs
}

// errHangs is what a call says whose engine answers a ping only.
var errHangs = errors.Join(context.DeadlineExceeded, engine.ErrHangs)

func TestAWatchIsNotHeldUpByAnEngineThatHangs(t *testing.T) {
	w := newWorld(testLab("mmm"))
	formed(w)
	var watch Watch
	targets := w.targets()
	if v, old := watch.Look(t.Context(), targets, time.Minute); v.Quorum.Reachable != 3 || len(old) > 0 {
		t.Fatalf("%+v, old %v", v.Quorum, old)
	}
	// The next question to n2 hangs; n3 is halted meanwhile.
	s := stuck{go_: make(chan struct{})}
	watch.nodes["n2"].engine, targets[1].Engine = s, s
	targets[2].Engine, targets[2].Unreachable = nil, errors.New("halted")
	v, old := watch.Look(t.Context(), targets, time.Millisecond)
	n2, _ := v.Node("n2")
	n3, _ := v.Node("n3")
	if n2.State != StateMember || n3.State != StateUnreachable {
		t.Errorf("n2 is %s, n3 %s", n2.State, n3.State)
	}
	if _, ok := old["n2"]; !ok {
		t.Error("what n2 said is not called old")
	}
	// In the end it is known to wait for a leader, and whose swarm it is in.
	close(s.go_)
	watch.Wait()
	v, _ = watch.Look(t.Context(), targets, time.Minute)
	if n2, _ = v.Node("n2"); !n2.Electing() || n2.Cluster != "swarm01" {
		t.Errorf("n2 is %+v", n2)
	}
	watch.Wait()
}

func TestElection(t *testing.T) {
	w := newWorld(testLab("mmmw"))
	formed(w)
	w.halt(0)
	for name, c := range map[string]struct {
		second, third Engine
		election      bool
		id            string
	}{
		"two of three wait for a leader": {hangs{}, hangs{}, true, "election"},
		"one of three cannot elect":      {nil, hangs{}, false, "managers-lost"},
		// It does not even answer a ping.
		"a stopped engine elects nobody": {hanging{}, hangs{}, false, "managers-lost"},
	} {
		t.Run(name, func(t *testing.T) {
			targets := w.targets()
			targets[1].Engine, targets[2].Engine = c.second, c.third
			v := observe(t.Context(), targets)
			if v.Election() != c.election || v.Quorum.Managers != 3 {
				t.Errorf("election %v, voters %v of %+v", v.Election(), nodeNames(v.Voters()), v.Quorum)
			}
			if a := Diagnose(v, nil, agesNow); len(a) != 1 || a[0].ID != c.id {
				t.Errorf("got %+v", a)
			}
		})
	}
}

type hangs struct{ Engine }

func (hangs) Info(context.Context) (engine.Info, error) { return engine.Info{}, errHangs }

func TestWhoIsGoneLeadsNobody(t *testing.T) {
	v := View{Leader: "a", Quorum: QuorumOf(3, 2), Cluster: "c", Nodes: []NodeView{{Name: "a", Leader: true, Role: lab.RoleManager}}}
	got := v.WithoutLeader()
	if got.Leader != "" || got.Quorum.HasQuorum || got.Nodes[0].Leader || !v.Nodes[0].Leader {
		t.Errorf("got %+v of %+v", got, v)
	}
}

// Managers whose engines wait for a leader are not missing, however long one
// has waited for them.
func TestWhoElectsIsNotMissing(t *testing.T) {
	w := newWorld(testLab("mmm"))
	formed(w)
	w.halt(0)
	targets := w.targets()
	targets[1].Engine, targets[2].Engine = hangs{}, hangs{}
	err := needManager(observe(t.Context(), targets), false)
	if !errors.Is(err, errElection) {
		t.Errorf("got %v", err)
	}
	targets[1].Engine = hanging{} // it does not answer a ping either
	if err = needManager(observe(t.Context(), targets), false); errors.Is(err, errElection) || err == nil {
		t.Errorf("got %v", err)
	}
}

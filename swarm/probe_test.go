package swarm

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

func TestParseCertificate(t *testing.T) {
	good := makeCertificate("swarmid", "swarm-worker", "nodeid")
	for _, tt := range []struct {
		name string
		raw  []byte
		want identity
	}{
		{"worker", good, identity{"swarmid", "nodeid", lab.RoleWorker}},
		{"manager", makeCertificate("swarmid", "swarm-manager", "nodeid"), identity{"swarmid", "nodeid", lab.RoleManager}},
		{"the node's own comes first, its issuer's after", append(bytes.Clone(good), makeCertificate("", "", "swarm-ca")...), identity{"swarmid", "nodeid", lab.RoleWorker}},
		{"another use", makeCertificate("acme", "web", "www"), identity{}},
		{"empty", nil, identity{}},
		{"not PEM", []byte("permission denied"), identity{}},
	} {
		if got := parseCertificate(tt.raw); got != tt.want {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
}

func FuzzParseCertificate(f *testing.F) {
	f.Add(makeCertificate("swarmid", "swarm-worker", "nodeid"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if id := parseCertificate(raw); id.Role == "" && id != (identity{}) {
			t.Errorf("half an identity: %+v", id)
		}
	})
}

// counting counts what an engine is asked.
type counting struct {
	Engine
	calls *[]string
	name  string
}

func (c counting) Info(ctx context.Context) (engine.Info, error) {
	*c.calls = append(*c.calls, c.name+" info")
	return c.Engine.Info(ctx)
}

func (c counting) Nodes(ctx context.Context) ([]engine.Node, error) {
	*c.calls = append(*c.calls, c.name+" nodes")
	return c.Engine.Nodes(ctx)
}

func TestObserve(t *testing.T) {
	for _, tt := range []struct {
		name, roles string
		play        func(*world)
		want        map[string]State
		cluster     bool
	}{
		{"fresh", "mw", nil, map[string]State{"n1": StateInactive, "n2": StateInactive}, false},
		{"formed", "mw", formed, map[string]State{"n1": StateMember, "n2": StateMember}, true},
		{"halted, down", "mww", func(w *world) { formed(w); w.halt(1); w.stop(2) }, map[string]State{"n1": StateMember, "n2": StateUnreachable, "n3": StateEngineDown}, true},
		{"foreign", "mw", func(w *world) { w.init(0); w.init(1) }, map[string]State{"n1": StateMember, "n2": StateForeign}, true},
		{"a worker whose only manager is silent", "mw", func(w *world) { formed(w); w.halt(0) }, map[string]State{"n1": StateUnreachable, "n2": StateMember}, true},
		{"no quorum", "mmm", func(w *world) { formed(w); w.halt(1); w.halt(2) }, map[string]State{"n1": StateMember, "n2": StateUnreachable}, true},
		{"locked", "mm", func(w *world) { formed(w); w.autolock(0); w.restart(0) }, map[string]State{"n1": StateLocked, "n2": StateMember}, true},
		{"error", "mw", func(w *world) { formed(w); w.breakDown(1) }, map[string]State{"n1": StateMember, "n2": StateError}, true},
		{"struck", "mw", func(w *world) { formed(w); w.strike(1, 0) }, map[string]State{"n1": StateMember, "n2": StateRemoved}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(testLab(tt.roles))
			if tt.play != nil {
				tt.play(w)
			}
			v := observe(t.Context(), w.targets())
			for name, want := range tt.want {
				n, ok := v.Node(name)
				if !ok || n.State != want {
					t.Errorf("%s is %s, want %s%s", name, n.State, want, w.describe())
				}
				if (want == StateUnreachable || want == StateEngineDown) != (n.Err != nil) && want != StateError && v.Quorum.HasQuorum {
					t.Errorf("%s: error %v", name, n.Err)
				}
			}
			if (v.Cluster != "") != tt.cluster {
				t.Errorf("cluster %q", v.Cluster)
			}
		})
	}
}

func TestWithNothingToDoEachEngineIsAskedOnce(t *testing.T) {
	w := newWorld(testLab("mw"))
	formed(w)
	targets := w.targets()
	var calls []string
	targets[0].Engine = counting{targets[0].Engine, &calls, "n1"}
	targets[1].Disk = modelDisk{certificate: func(context.Context) ([]byte, error) {
		t.Error("the certificate was read, although the list tells")
		return nil, errors.New("no")
	}}
	res, err := bootstrap(t.Context(), w.lab, targets, how{})
	if err != nil || len(res.Steps) > 0 {
		t.Fatal(res.Steps, err)
	}
	if len(calls) != 2 {
		t.Errorf("the manager was asked %v", calls)
	}
}

// A manager whose quorum is lost while it is asked does not answer in time:
// its certificate still tells which swarm it is in.
func TestAManagerThatHangsIsKnownByItsCertificate(t *testing.T) {
	w := newWorld(testLab("mw"))
	formed(w)
	targets := w.targets()
	targets[0].Engine = hanging{targets[0].Engine}
	v := observe(t.Context(), targets)
	n, _ := v.Node("n1")
	if n.State != StateEngineDown || n.Cluster != "swarm01" || n.Role != lab.RoleManager || v.Cluster != "swarm01" || v.Quorum.HasQuorum {
		t.Errorf("got %+v in %q, %s", n, v.Cluster, v.Quorum)
	}
	p, err := PlanBootstrap(w.lab, v, PlanOptions{})
	if err != nil || p.String() != "n1: wait until it answers (an engine may be silent while its leader or its role changes)\n" {
		t.Errorf("plan %q, %v", p, err)
	}
	if n2, _ := v.Node("n2"); n2.State != StateMember {
		t.Errorf("the worker is %s", n2.State)
	}
}

// One that was asked a moment too early hangs, although there is a leader again.
func TestAManagerHangsBesideTheNewLeader(t *testing.T) {
	w := newWorld(testLab("mmm"))
	formed(w)
	targets := w.targets()
	if v := observe(t.Context(), targets); v.Hanging() {
		t.Errorf("somebody hangs: %+v", v.Nodes)
	}
	targets[2].Engine = hanging{targets[2].Engine}
	if v := observe(t.Context(), targets); !v.Quorum.HasQuorum || !v.Hanging() {
		t.Errorf("nobody hangs: %s, %+v", v.Quorum, v.Nodes)
	}
}

type hanging struct{ Engine }

func (hanging) Info(context.Context) (engine.Info, error) {
	return engine.Info{}, context.DeadlineExceeded
}

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// driver is one of which a test says what it does.
type driver struct {
	machine.Driver
	snapshots   []machine.Snapshot
	status      map[string]machine.Status
	orphans     map[string]machine.Status
	halt, start func(nodes []string) error
	destroy     func(nodes []string) error
}

func (driver) Name() string { return lab.DriverVagrant }

func (driver) Traits() machine.Traits {
	login := func(node string) string {
		if node == "" {
			return ""
		}
		return "cd lab && vagrant ssh " + node
	}
	return machine.Traits{PerUser: true, Systemd: true, Login: login}
}

func (d driver) Status(context.Context) (map[string]machine.Status, error) { return d.status, nil }

func (d driver) Orphans(context.Context) (map[string]machine.Status, error) { return d.orphans, nil }

func (driver) Endpoint(_ context.Context, name string) (node.Endpoint, error) {
	return node.Endpoint{}, fmt.Errorf("nobody lets in to %s", name)
}

func (d driver) Snapshots(context.Context) ([]machine.Snapshot, error) { return d.snapshots, nil }

func (driver) SaveSnapshot(context.Context, machine.Observer, string) error    { return nil }
func (driver) RestoreSnapshot(context.Context, machine.Observer, string) error { return nil }
func (driver) DeleteSnapshot(context.Context, machine.Observer, string) error  { return nil }

func (d driver) Halt(_ context.Context, _ machine.Observer, nodes ...string) error {
	return d.halt(nodes)
}

func (d driver) Start(_ context.Context, _ machine.Observer, nodes ...string) error {
	return d.start(nodes)
}

func (d driver) Destroy(_ context.Context, _ machine.Observer, nodes ...string) error {
	return d.destroy(nodes)
}

// story is a Reporter that writes down what it is told.
type story struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *story) add(kind, node, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.text, "%s %s: %s\n", kind, node, text)
}

func (s *story) Step(node, text string)      { s.add("step", node, text) }
func (s *story) Done(node, text string)      { s.add("done", node, text) }
func (s *story) Fail(node string, err error) { s.add("fail", node, err.Error()) }
func (s *story) Note(text string)            { s.add("note", "", text) }
func (s *story) Detail(node, text string)    { s.add("detail", node, text) }
func (s *story) Warn(text string)            { s.add("warning", "", text) }

// operator works on a lab of a manager and a worker, which was made.
func operator(t *testing.T, d driver) Operator {
	t.Helper()
	state, err := lab.OpenState(t.TempDir(), "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	record := lab.Record{Format: 1, ID: "0123456789ab", Lab: "dca", Driver: lab.DriverVagrant}
	l := &lab.Lab{Name: "dca", Nodes: []lab.Node{{Name: "master", Role: lab.RoleManager}, {Name: "node01", Role: lab.RoleWorker}}}
	record.Subnet = l.Subnet.String()
	if err := state.WriteRecord(record); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	set := session.Settings{Getenv: func(key string) string {
		if key == "XDG_STATE_HOME" {
			return home
		}
		return os.Getenv(key)
	}}
	return Operator{Session: session.Of(set, session.Parts{File: &lab.File{}, Lab: l, State: state, Record: record, Created: true, Driver: d}), Explain: true}
}

func machines(master, node01 machine.Status) map[string]machine.Status {
	return map[string]machine.Status{"master": master, "node01": node01}
}

func TestHaltTellsWhoRan(t *testing.T) {
	var halted []string
	o := operator(t, driver{
		status: machines(machine.StatusRunning, machine.StatusHalted),
		halt:   func(nodes []string) error { halted = nodes; return nil },
	})
	op := o.Halt(o.Lab().Nodes, true)
	plan, err := op.Plan(t.Context(), &story{})
	if err != nil || !slices.Equal(plan.Lines, []string{"master: stop its engine, and power it off"}) || plan.Question != "" {
		t.Errorf("%+v: %v", plan, err)
	}
	var s story
	if _, err := op.Run(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	if want := "done master: halted\ndone node01: was not running\n"; s.text.String() != want || !slices.Equal(halted, []string{"master", "node01"}) {
		t.Errorf("halted %q:\n%swant\n%s", halted, s.text.String(), want)
	}
}

// The plan and the question of what goes name the same machines as what is done.
func TestDestroyOfTheLabTakesOrphans(t *testing.T) {
	called := false
	o := operator(t, driver{
		status: machines(machine.StatusRunning, machine.StatusAbsent), orphans: map[string]machine.Status{"old": machine.StatusHalted},
		destroy: func(nodes []string) error { called = len(nodes) == 0; return nil },
	})
	op := o.Destroy(nil, false)
	plan, err := op.Plan(t.Context(), &story{})
	want := []string{
		"master: destroy its machine, with all that is on it", "old: destroy its machine, which labs.yaml no longer has",
		"remove the lab's keys, known hosts and ssh_config",
	}
	if err != nil || !slices.Equal(plan.Lines, want) || plan.Question != "destroy master, node01, old of lab dca, with all that is on them?" {
		t.Errorf("%+v: %v", plan, err)
	}
	var s story
	if _, err := op.Run(t.Context(), &s); err != nil || !called || !strings.Contains(s.text.String(), "done old: destroyed\n") {
		t.Errorf("%v, %v:\n%s", called, err, s.text.String())
	}
	if _, created, err := o.State().ReadRecord(); created || err != nil {
		t.Errorf("it is still on record: %v, %v", created, err)
	}
}

// Nobody answers who could tell whether the others are a quorum without it.
func TestDestroyOfAManagerInTheDarkIsRefused(t *testing.T) {
	o := operator(t, driver{status: machines(machine.StatusHalted, machine.StatusHalted)})
	op := o.Destroy(o.Lab().Nodes[:1], false)
	_, planned := op.Plan(t.Context(), &story{})
	_, done := op.Run(t.Context(), &story{})
	for _, err := range []error{planned, done} {
		var tr *trouble.Error
		if !errors.As(err, &tr) || tr.ID != "quorum-would-be-lost" {
			t.Errorf("%v", err)
		}
	}
}

func TestResetNeedsAllNodes(t *testing.T) {
	o := operator(t, driver{status: machines(machine.StatusRunning, machine.StatusHalted)})
	if _, err := o.Reset().Plan(t.Context(), &story{}); trouble.ExitStatus(err) != trouble.ExitRefused {
		t.Errorf("%v", err)
	}
}

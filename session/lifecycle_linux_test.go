package session_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/swarm"
)

// told is a Reporter that tells the test's log.
type told struct{ *testing.T }

func (t told) Step(node, text string)      { t.Logf("%s … %s", node, text) }
func (t told) Done(node, text string)      { t.Logf("%s: %s", node, text) }
func (t told) Fail(node string, err error) { t.Logf("%s failed: %v", node, err) }
func (t told) Note(text string)            { t.Log(text) }
func (t told) Detail(node, text string)    { t.Logf("%s: (%s)", node, text) }
func (t told) Warn(text string)            { t.Log("warning: " + text) }

// A real lab of a manager and a worker goes through every operation on its
// machines. What each does is what its plan has said: the runbook is the same.
func TestTheLifeOfALab(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if testing.Short() {
		t.Skip("make test-long runs it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	set := settings(t, lab.DriverSandbox)
	set.Builtin = []byte(strings.ReplaceAll(labs, "10.20.77.", "10.20.78."))
	s := open(t, set)
	o := lifecycle.Operator{Session: s, Explain: true}
	if err := o.MayUp(); err != nil {
		t.Fatal(err)
	}
	if err := o.Preflight(ctx); err != nil {
		t.Skip(err) // no runc, for example
	}
	t.Cleanup(func() { _ = s.Driver().Destroy(context.Background(), machine.Observer{}) })
	do := func(what string, op lifecycle.Operation) {
		t.Helper()
		began := time.Now()
		unlock := lock(t, s)
		defer unlock()
		plan, err := op.Plan(ctx, told{t})
		if err != nil {
			t.Fatalf("%s: plan: %v", what, err)
		}
		out, err := op.Run(ctx, told{t})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if what != "up again" && !slices.Equal(plan.Runbook, out.Runbook) { // its plan has what bootstrap does, too
			t.Errorf("%s: what was done is not what was planned:\n%+v\nplanned\n%+v", what, out.Runbook, plan.Runbook)
		}
		t.Logf("== %s: %s, %q", what, time.Since(began).Round(time.Second), out.Notes)
	}
	members := func(want int) {
		t.Helper()
		v, engines, err := s.Observe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer engines.Close()
		got := slices.DeleteFunc(v.Nodes, func(n swarm.NodeView) bool { return n.State != swarm.StateMember || !n.Listed })
		if len(got) != want {
			t.Errorf("%d members, want %d: %+v", len(got), want, v.Nodes)
		}
	}
	nodes := s.Lab().Nodes
	up := o.Up(nodes, false, false)
	defer up.Close()
	do("up", up)
	if next, err := up.Next(ctx); err != nil || next != "next: dcalab swarm bootstrap" {
		t.Errorf("%q: %v", next, err)
	}
	do("bootstrap", o.Swarm().Bootstrap())
	members(2)
	do("halt", o.Halt(nodes[1:], false))
	do("start", o.Start(nodes, false))
	do("save", o.Snapshots().Save("one"))
	members(2)
	file := filepath.Join(t.TempDir(), "one.tar")
	do("export", o.Snapshots().Export("one", file))
	do("delete what was exported", o.Snapshots().Delete("one"))
	do("import", o.Snapshots().Import(file, ""))
	do("dissolve", o.Swarm().Dissolve())
	members(0)
	do("restore", o.Snapshots().Restore("one"))
	members(2)
	do("delete", o.Snapshots().Delete("one"))
	do("destroy", o.Destroy(nodes[1:], false))
	members(1)
	again := o.Up(nodes, false, true)
	defer again.Close()
	do("up again", again)
	do("bootstrap again", again.Bootstrap())
	members(2)
	do("reset", o.Reset())
	members(0)
	do("destroy all", o.Destroy(nil, false))
	if _, created, err := s.State().ReadRecord(); created || err != nil {
		t.Errorf("it is still on record: %v, %v", created, err)
	}
}

var _ session.Reporter = told{}

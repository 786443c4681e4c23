package session_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

const labs = `version: 1
labs:
  small:
    domain: small.example
    subnet: 10.20.77.0/24
    nodes:
      - {name: m1, role: manager, ip: 10.20.77.11}
      - {name: w1, role: worker, ip: 10.20.77.12}
`

// settings are those of somebody who has no labs.yaml, in a folder and with an
// index of labs of the test's own.
func settings(t *testing.T, driver string) session.Settings {
	t.Helper()
	state := t.TempDir()
	return session.Settings{
		Dir: t.TempDir(), Builtin: []byte(labs), Driver: session.Choice{Value: driver, Origin: "the test"}, Command: "test --token SWMTKN-1-secret",
		Getenv: func(key string) string {
			if key == "XDG_STATE_HOME" {
				return state
			}
			return os.Getenv(key)
		},
	}
}

func open(t *testing.T, set session.Settings) *session.Session {
	t.Helper()
	s, err := session.Open(set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func wantTrouble(t *testing.T, err error, id string) {
	t.Helper()
	var tr *trouble.Error
	if !errors.As(err, &tr) || tr.ID != id {
		t.Errorf("got %v, want trouble %q", err, id)
	}
}

func lock(t *testing.T, s *session.Session) (unlock func()) {
	t.Helper()
	release, err := s.Lock(t.Context(), func(h lab.Holder) { t.Errorf("%v holds it", h) })
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpeningReadsTheDiskOnly(t *testing.T) {
	set := settings(t, lab.DriverVagrant)
	s := open(t, set)
	if s.Created() || s.Lab().Name != "small" || s.Driver().Name() != lab.DriverVagrant || s.Record().ID == "" {
		t.Errorf("%+v", s.Parts())
	}
	wantTrouble(t, s.MustExist(), "lab-absent")
	if origin, ok := s.Overridden("driver"); !ok || origin != "the test" {
		t.Errorf("the driver is from %q", origin)
	}
	if left, _ := os.ReadDir(set.Dir); len(left) > 0 {
		t.Errorf("it made %v", left)
	}
}

// Two that came at once: the one that waited goes on with what the other made.
func TestLockReadsTheRecordAgain(t *testing.T) {
	set := settings(t, lab.DriverVagrant)
	first, second := open(t, set), open(t, set)
	unlock := lock(t, first)
	if err := first.Enter(); err != nil {
		t.Fatal(err)
	}
	var told sync.Once
	waited := false
	release, err := second.Lock(t.Context(), func(h lab.Holder) {
		told.Do(func() {
			waited = h.PID == os.Getpid() && strings.Contains(h.Command, "dcalab test") && !strings.Contains(h.Command, "secret")
			unlock()
		})
	})
	if err != nil || !waited {
		t.Fatalf("waited for the right one: %v; %v", waited, err)
	}
	if !second.Created() || second.Record().ID != first.Record().ID || second.MustExist() != nil {
		t.Errorf("one has %+v, the other %+v", first.Record(), second.Record())
	}
	if _, err := second.Write([]byte("one line, with SWMTKN-1-secret\n")); err != nil {
		t.Error(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(second.State().Log())
	if err != nil || !strings.Contains(string(text), "one line") || strings.Contains(string(text), "secret") {
		t.Errorf("the log is %q (%v)", text, err)
	}

	// Another driver than made it is refused, and so is a labs.yaml that moved it.
	set.Driver.Value = lab.DriverSandbox
	_, err = session.Open(set)
	wantTrouble(t, err, "driver-differs")
	set.Driver = session.Choice{}
	set.Builtin = []byte(strings.ReplaceAll(labs, "10.20.77", "10.20.78"))
	wantTrouble(t, open(t, set).SameSubnet(), "subnet-changed")
}

// A state folder that came from elsewhere is not gone by.
func TestALabThatWasNotMadeHereIsRefused(t *testing.T) {
	set := settings(t, lab.DriverVagrant)
	s := open(t, set)
	defer lock(t, s)()
	if err := s.Enter(); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(); err != nil {
		t.Fatal(err)
	}
	elsewhere := settings(t, lab.DriverVagrant) // another index
	elsewhere.Dir = set.Dir
	_, err := session.Open(elsewhere)
	var tr *trouble.Error
	if !errors.As(err, &tr) {
		t.Errorf("it is opened: %v", err)
	}
}

func TestAReadOnlySessionNeverLocks(t *testing.T) {
	set := settings(t, lab.DriverVagrant)
	set.ReadOnly = true
	s := open(t, set)
	if _, err := s.Lock(t.Context(), nil); !errors.Is(err, session.ErrReadOnly) {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(set.Dir, lab.StateFolder)); !os.IsNotExist(err) {
		t.Errorf("it made the state folder (%v)", err)
	}
}

func TestASettingThatDoesNotExist(t *testing.T) {
	_, err := session.Open(settings(t, "kvm"))
	var c *session.ChoiceError
	if !errors.As(err, &c) || c.Setting != "driver" || c.Value != "kvm" || !slices.Equal(c.Known, []string{"auto", "docker", "sandbox", "vagrant"}) {
		t.Errorf("%#v", err)
	}
}

func TestSelectingByName(t *testing.T) {
	s := open(t, settings(t, lab.DriverVagrant))
	for name, c := range map[string]struct {
		by   session.Selector
		want []string
		id   string
	}{
		"all":           {session.Selector{All: true}, []string{"m1", "w1"}, ""},
		"by name":       {session.Selector{Names: []string{"w1", "m1", "w1"}}, []string{"m1", "w1"}, ""},
		"nobody":        {session.Selector{}, nil, "no-such-nodes"},
		"an unknown":    {session.Selector{Names: []string{"m1", "w9"}}, nil, "unknown-node"},
		"all and a few": {session.Selector{All: true, Managers: true, Names: []string{"w1"}}, []string{"m1", "w1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			nodes, err := s.Select(t.Context(), c.by)
			if c.id != "" {
				wantTrouble(t, err, c.id)
				return
			}
			var got []string
			for _, n := range nodes {
				got = append(got, n.Name)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v: %v", got, err)
			}
		})
	}
}

// fake is a driver of one node that runs, an sshd of this machine's, and one
// that is halted. It counts how often it is asked what runs.
type fake struct {
	machine.Driver
	at    node.Endpoint
	asked *atomic.Int32
}

func (f fake) Status(context.Context) (map[string]machine.Status, error) {
	f.asked.Add(1)
	return map[string]machine.Status{"m1": machine.StatusRunning, "w1": machine.StatusHalted}, nil
}

func (f fake) Endpoint(context.Context, string) (node.Endpoint, error) { return f.at, nil }

package doctor_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/doctor"
	"github.com/dcalab/dcalab/trouble"
)

const labs = `version: 1
default: small
labs:
  small:
    domain: small.example
    subnet: 10.20.77.0/24
    nodes:
      - {name: m1, role: manager, ip: 10.20.77.11}
  other:
    domain: other.example
    subnet: 10.20.77.0/24
    nodes:
      - {name: m1, role: manager, ip: 10.20.77.11}
`

// settings are those of somebody who wants Vagrant, and does not have it.
func settings(t *testing.T) session.Settings {
	t.Helper()
	t.Setenv("PATH", t.TempDir())
	state := t.TempDir()
	return session.Settings{
		Dir: t.TempDir(), Builtin: []byte(labs), Driver: session.Choice{Value: lab.DriverVagrant, Origin: "the test"},
		Getenv: func(key string) string {
			if key == "XDG_STATE_HOME" {
				return state
			}
			return os.Getenv(key)
		},
	}
}

func examine(t *testing.T, set session.Settings) (d *doctor.Diagnosis, check func(id string) machine.Check) {
	t.Helper()
	d, err := doctor.Examine(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	return d, func(id string) machine.Check {
		t.Helper()
		i := slices.IndexFunc(d.Checks, func(c machine.Check) bool { return c.ID == id })
		if i < 0 {
			t.Fatalf("there is no check %s of %+v", id, d.Checks)
		}
		return d.Checks[i]
	}
}

// made puts a lab on record, as if it had been brought up.
func made(t *testing.T, set session.Settings) *session.Session {
	t.Helper()
	s, err := session.Open(set)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := s.Lock(t.Context(), func(lab.Holder) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Enter(); err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatADriverLacksIsAFailure(t *testing.T) {
	set := settings(t)
	d, check := examine(t, set)
	if d.Lab != "small" || d.Driver != lab.DriverVagrant || d.Exit() != trouble.ExitRequirement {
		t.Errorf("%+v", d)
	}
	if c := check("vagrant"); c.Verdict != machine.VerdictFailure || c.Why != "vagrant is not on PATH" {
		t.Errorf("%+v", c)
	}
	if c := check("driver"); c.Why != "vagrant: the test" {
		t.Errorf("%+v", c)
	}
	for _, id := range []string{"labs-yaml", "state-folder", "other-labs", "orphaned-labs"} {
		if c := check(id); c.Verdict != machine.VerdictOK {
			t.Errorf("%+v", c)
		}
	}
	if left, _ := os.ReadDir(set.Dir); len(left) > 0 {
		t.Errorf("it made %v", left)
	}
}

func TestWhoAskedForAProviderIsTold(t *testing.T) {
	set := settings(t)
	set.Provider = session.Choice{Value: "parallels", Origin: "flag --provider"}
	d, check := examine(t, set)
	if c := check("provider"); d.Provider != "parallels" || !strings.HasSuffix(c.Why, "; chosen by flag --provider") {
		t.Errorf("%s: %+v", d.Provider, c)
	}
	set.Provider.Value = "docker"
	if _, err := doctor.Examine(t.Context(), set); err == nil {
		t.Error("there is no such provider")
	}
}

func TestALabThatTheOtherDriverMade(t *testing.T) {
	set := settings(t)
	made(t, set)
	set.Driver = session.Choice{Value: lab.DriverSandbox, Origin: "flag --driver"}
	d, check := examine(t, set)
	if c := check("driver"); d.Driver != lab.DriverSandbox || c.Verdict != machine.VerdictWarning || c.Why != "sandbox (flag --driver), though the lab was made by the vagrant driver" {
		t.Errorf("%+v", c)
	}
}

func TestLabsInOneSubnet(t *testing.T) {
	set := settings(t)
	made(t, set)
	set.Lab = "other"
	_, check := examine(t, set)
	if c := check("other-labs"); c.Verdict != machine.VerdictWarning || len(c.Fixes) != 2 || c.Fixes[0].Text != "dcalab --lab small halt" {
		t.Errorf("%+v", c)
	}
}

func TestAStateFolderThatOthersCanWriteTo(t *testing.T) {
	set := settings(t)
	folder := filepath.Join(set.Dir, lab.StateFolder)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o777); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	d, check := examine(t, set)
	c := check("state-folder")
	if c.Verdict != machine.VerdictFailure || len(c.Fixes) == 0 || !slices.Equal(c.Fixes[0].Run, []string{"chmod", "go-w", folder}) {
		t.Fatalf("%+v", c)
	}
	d, err := doctor.ApplyFixes(d, func(_ machine.Check, run []string) error {
		return os.Chmod(run[2], 0o755) //nolint:gosec // what the command does
	}, func() (*doctor.Diagnosis, error) { return doctor.Examine(context.Background(), set) })
	if err != nil || len(d.Fixed) != 1 || d.Checks[1].Verdict != machine.VerdictOK {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestABrokenLabsYAMLIsACheck(t *testing.T) {
	set := settings(t)
	set.Config = filepath.Join(set.Dir, "labs.yaml")
	if err := os.WriteFile(set.Config, []byte("version: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, _ := examine(t, set); d.Exit() != trouble.ExitConfig || len(d.Checks) != 1 {
		t.Errorf("%+v", d)
	}
}

package doctor

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

func sick() *Diagnosis {
	c := func(id string) machine.Check { return machine.Check{ID: id, What: strings.ReplaceAll(id, "-", " ")} }
	return &Diagnosis{Lab: "dca", Driver: "vagrant", Checks: []machine.Check{
		c("vagrant").OK("2.3.4"),
		c("host-only-range").Failure("10.20.20.0/24 is outside\n192.168.56.0/21",
			machine.Command("sudo", "sh", "-c", "echo >>/etc/vbox/networks.conf"), machine.Advise("or take another subnet")),
		c("memory").Warning("little", machine.Advise("close other programs")),
		c("box").Unknown("it is downloaded at the first up"),
		c("kvm").Warning("held"),
	}}
}

func TestADiagnosisEndsWithAStatus(t *testing.T) {
	labs := machine.Check{ID: labsCheck}
	for name, c := range map[string]struct {
		checks []machine.Check
		want   int
	}{
		"nothing wrong":     {sick().Checks[:1], trouble.ExitOK},
		"warnings":          {sick().Checks[2:], trouble.ExitOK},
		"a failure":         {sick().Checks, trouble.ExitRequirement},
		"a bad labs.yaml":   {[]machine.Check{labs.Failure("no")}, trouble.ExitConfig},
		"a fair labs.yaml":  {[]machine.Check{labs.Warning("hm")}, trouble.ExitOK},
		"failures, labs ok": {append(sick().Checks, labs.OK("")), trouble.ExitRequirement},
	} {
		if got := (&Diagnosis{Checks: c.checks}).Exit(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// Only what is marked is run, once, and never what needs a person.
func TestOnlySafeFixesAreRun(t *testing.T) {
	checks := sick().Checks
	var ran []string
	run := func(c machine.Check, command []string) error {
		ran = append(ran, c.ID+": "+strings.Join(command, " "))
		return errors.New("not tonight")
	}
	looked := 0
	d, err := ApplyFixes(sick(), run, func() (*Diagnosis, error) {
		looked++
		return sick(), nil
	})
	if err != nil || looked != 1 || len(d.Fixed) != 1 || d.Fixed[0].Error != "not tonight" {
		t.Errorf("%+v, %v, looked again %d times", d, err, looked)
	}
	want := "host-only-range: sh -c echo >>/etc/vbox/networks.conf"
	if os.Geteuid() != 0 {
		want = "host-only-range: sudo sh -c echo >>/etc/vbox/networks.conf"
	}
	if !slices.Equal(ran, []string{want}) {
		t.Errorf("%q", ran)
	}
	checks[1] = checks[1].OK("fixed")
	checks[1].Fixes = sick().Checks[1].Fixes
	if _, run := nextFix(checks, nil); run != nil {
		t.Errorf("nothing to fix, and %q would be run", run)
	}
}

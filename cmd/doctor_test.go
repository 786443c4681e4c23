package cmd

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

func sick() *diagnosis {
	c := func(id string) machine.Check { return machine.Check{ID: id, What: strings.ReplaceAll(id, "-", " ")} }
	return &diagnosis{Lab: "dca", Driver: "vagrant", Checks: []machine.Check{
		c("vagrant").OK("2.3.4"),
		c("host-only-range").Failure("10.20.20.0/24 is outside\n192.168.56.0/21",
			machine.Command("sudo", "sh", "-c", "echo >>/etc/vbox/networks.conf"), machine.Advise("or take another subnet")),
		c("memory").Warning("little", machine.Advise("close other programs")),
		c("box").Unknown("it is downloaded at the first up"),
		c("kvm").Warning("held"),
	}}
}

func TestADiagnosisReadsWell(t *testing.T) {
	text, err := sick().table(false)
	if err != nil {
		t.Fatal(err)
	}
	want := `ok        vagrant           2.3.4
failure   host only range   10.20.20.0/24 is outside 192.168.56.0/21
          → sudo sh -c 'echo >>/etc/vbox/networks.conf'   (--fix)
          → or take another subnet
warning   memory            little
          → close other programs
unknown   box               it is downloaded at the first up
warning   kvm               held

5 checks: 1 failure, 2 warnings, 1 unknown; dcalab doctor --fix runs what is marked
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	d := &diagnosis{Checks: sick().Checks[:1]}
	if text, _ := d.table(false); !strings.HasSuffix(string(text), "\n1 check; nothing stops dcalab up\n") {
		t.Errorf("%s", text)
	}
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
		err := (&diagnosis{Checks: c.checks}).status()
		var got remoteError
		if err != nil {
			got = err.(remoteError) //nolint:errorlint // it is nothing else
		}
		if int(got) != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// Only what is marked is run, once, and never what needs a person.
func TestOnlySafeFixesAreRun(t *testing.T) {
	checks := sick().Checks
	var done []fixed
	var ran []string
	for range 10 {
		c, run := nextFix(checks, done)
		if run == nil {
			break
		}
		ran = append(ran, c.ID+": "+strings.Join(run, " "))
		done = append(done, fixed{Check: c.ID, Run: run})
	}
	want := "host-only-range: sh -c echo >>/etc/vbox/networks.conf"
	if os.Geteuid() != 0 {
		want = "host-only-range: sudo sh -c echo >>/etc/vbox/networks.conf"
	}
	if !slices.Equal(ran, []string{want}) {
		t.Errorf("%q", ran)
	}
	checks[1] = checks[1].OK("mended")
	checks[1].Fixes = sick().Checks[1].Fixes
	if _, run := nextFix(checks, nil); run != nil {
		t.Errorf("nothing to mend, and %q would be run", run)
	}
}

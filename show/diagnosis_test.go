package show

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session/doctor"
)

func sick() *doctor.Diagnosis {
	c := func(id string) machine.Check { return machine.Check{ID: id, What: strings.ReplaceAll(id, "-", " ")} }
	return &doctor.Diagnosis{Lab: "dca", Driver: "vagrant", Checks: []machine.Check{
		c("vagrant").OK("2.3.4"),
		c("host-only-range").Failure("10.20.20.0/24 is outside\n192.168.56.0/21",
			machine.Command("sudo", "sh", "-c", "echo >>/etc/vbox/networks.conf"), machine.Advise("or take another subnet")),
		c("memory").Warning("little", machine.Advise("close other programs")),
		c("box").Unknown("it is downloaded at the first up"),
		c("kvm").Warning("held"),
	}}
}

func diagnosis(t *testing.T, d *doctor.Diagnosis) string {
	t.Helper()
	var text strings.Builder
	if err := Diagnosis(&text, d, Style{Hint: func(s string) string { return s }}); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestADiagnosisReadsWell(t *testing.T) {
	text := diagnosis(t, sick())
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
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
	d := &doctor.Diagnosis{Checks: sick().Checks[:1]}
	if text := diagnosis(t, d); !strings.HasSuffix(text, "\n1 check; nothing stops dcalab up\n") {
		t.Errorf("%s", text)
	}
}

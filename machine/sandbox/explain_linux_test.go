package sandbox

import (
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// No plain command does what this driver does: every line is a comment, and
// says what Vagrant would be told.
func TestExplain(t *testing.T) {
	d := New(Config{Lab: &lab.Lab{Name: "dca", Nodes: []lab.Node{{Name: "master"}, {Name: "node01"}}}})
	for act, want := range map[machine.Act]string{
		machine.ActUp:      "#   vagrant up node01",
		machine.ActStart:   "#   vagrant up node01",
		machine.ActHalt:    "#   vagrant halt node01",
		machine.ActDestroy: "#   vagrant destroy --force node01",
		machine.ActStatus:  "#   vagrant status",
		machine.ActSave:    "#   vagrant snapshot save fresh",
		machine.ActRestore: "#   vagrant snapshot restore --no-start --no-provision fresh",
		machine.ActDelete:  "#   vagrant snapshot delete node01 fresh",
		machine.ActList:    "#   vagrant snapshot list",
		machine.ActExport:  "--create --gzip --file disks.tar.gz --directory .snapshots/fresh node01",
		machine.ActImport:  "#   tar --extract --file 'my file' disks.tar.gz",
	} {
		var text []string
		deed := machine.Deed{Act: act, Nodes: []string{"node01"}, Snapshot: "fresh"}
		if act == machine.ActExport || act == machine.ActImport {
			deed.File = "my file"
		}
		for _, c := range d.Explain(deed) {
			if c.Node != "" || !strings.HasPrefix(c.Text, "# ") {
				t.Errorf("%s: %+v is no comment on this machine", act, c)
			}
			text = append(text, c.Text)
		}
		if all := strings.Join(text, "\n"); !strings.Contains(all, want) {
			t.Errorf("%s lacks %q:\n%s", act, want, all)
		}
	}
}

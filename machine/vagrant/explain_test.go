package vagrant

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
)

// What a person types for each deed; telling of it makes nothing.
func TestExplain(t *testing.T) {
	for _, key := range []string{"VAGRANT_CWD", "VAGRANT_VAGRANTFILE", "VAGRANT_DOTFILE_PATH"} {
		t.Setenv(key, "")
	}
	l := &lab.Lab{Name: "dca", Domain: "docker-dca.example", Subnet: netip.MustParsePrefix("10.20.20.0/24"), Nodes: []lab.Node{
		{Name: "master", IP: netip.MustParseAddr("10.20.20.100")},
		{Name: "node01", IP: netip.MustParseAddr("10.20.20.110")},
	}}
	root := t.TempDir()
	state, err := lab.OpenState(root, "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is started for it: a program that is not there is not missed.
	d := New(Config{Lab: l, ID: "0123456789ab", Provider: "libvirt", State: state, Index: indexBelow(t, root), Program: filepath.Join(root, "no-vagrant")})

	check := func(name string, got runbook.Runbook) {
		t.Helper()
		var b bytes.Buffer
		if err := got.Write(&b, func(string) string { return "" }); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(b.String(), root, "/home/ana")
		text = regexp.MustCompile(" +# ").ReplaceAllString(text, "  # ") // aligned, by the length of the folder
		file := filepath.Join("testdata", "runbooks", name+".golden")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), text); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	check("up-first", d.Explain(machine.Deed{Act: machine.ActUp, New: []string{"master", "node01"}}))
	check("up-first-flags", d.Explain(machine.Deed{Act: machine.ActUp, Flags: []string{"--config", "/home/ana/my labs.yaml"}, Nodes: []string{"master"}}))
	if _, err := os.Lstat(state.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("telling of it made the lab's folder (%v)", err)
	}
	if err := state.Create(); err != nil {
		t.Fatal(err)
	}
	if err := state.WriteFile("Vagrantfile", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, deed := range map[string]machine.Deed{
		"up-one-new":    {Act: machine.ActUp, Nodes: []string{"master", "node01"}, New: []string{"node01"}},
		"start":         {Act: machine.ActStart, Nodes: []string{"node01"}},
		"halt":          {Act: machine.ActHalt},
		"destroy-one":   {Act: machine.ActDestroy, Nodes: []string{"node01"}},
		"destroy":       {Act: machine.ActDestroy},
		"status":        {Act: machine.ActStatus},
		"save":          {Act: machine.ActSave, Snapshot: "fresh"},
		"restore":       {Act: machine.ActRestore, Snapshot: "fresh"},
		"delete":        {Act: machine.ActDelete, Snapshot: "fresh"},
		"snapshot-list": {Act: machine.ActList},
	} {
		check(name, d.Explain(deed))
	}
	check("own-arguments", d.ExplainCommand("ssh", "master", "-c", "docker node ls"))
	t.Setenv("VAGRANT_CWD", "/elsewhere")
	check("environment", d.Explain(machine.Deed{Act: machine.ActStatus}))
}

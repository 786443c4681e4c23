package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// madeByVagrant makes, in a folder that it changes to, the traces of the
// built-in lab with these machines.
func madeByVagrant(t *testing.T, machines ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	index, err := lab.OpenIndex(os.Getenv, lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	state, err := lab.OpenState(".", "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	record := lab.Record{Format: 1, ID: "0123456789ab", Lab: "dca", Driver: lab.DriverVagrant, Provider: "virtualbox", Subnet: "10.20.20.0/24"}
	if err := state.WriteRecord(record); err != nil {
		t.Fatal(err)
	}
	remembered(t, ".", "dca", record.ID)
	for _, name := range machines {
		dir := filepath.Join(index.VagrantDir(record.ID), "machines", name, "virtualbox")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "id"), []byte("id-of-"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Machines that labs.yaml no longer has go with the lab: whoever is asked is
// told of them.
func TestDestroyAsksForEveryMachineThatGoes(t *testing.T) {
	madeByVagrant(t, "master", "node09")
	status, _, story := runHere(t, "destroy")
	if status != trouble.ExitRefused || !strings.Contains(story, "node09") {
		t.Errorf("exit status %d, and no word of node09:\n%s", status, story)
	}
	if _, _, story := runHere(t, "destroy", "master"); strings.Contains(story, "node09") {
		t.Errorf("it stays when master goes alone:\n%s", story)
	}
}

// Programs go through the list without asking whether there is one.
func TestALabOfVagrantsWithoutSnapshotsHasAnEmptyList(t *testing.T) {
	madeByVagrant(t, "master")
	if status, out, story := runHere(t, "snapshot", "list", "-o", "json"); status != 0 || !strings.Contains(out, `"snapshots": []`) {
		t.Errorf("exit status %d: %s%s", status, out, story)
	}
}

// Root's machines are out of the user's reach, and of their VirtualBox's window.
func TestUpOfVagrantsIsRefusedUnderSudo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("sudo is for root to imitate")
	}
	t.Setenv("SUDO_UID", "65534")
	t.Setenv("SUDO_GID", "65534")
	status, _, story := run(t, "--driver", "vagrant", "up")
	if status != trouble.ExitRefused || !strings.Contains(story, "without sudo") {
		t.Errorf("exit status %d:\n%s", status, story)
	}
	if _, err := os.Stat(".dcalab"); !os.IsNotExist(err) {
		t.Errorf("it wrote .dcalab (%v)", err)
	}
}

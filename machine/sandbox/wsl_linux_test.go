package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// The releases are those that people report of their machines.
func TestWSLOf(t *testing.T) {
	for osrelease, want := range map[string]wsl{
		"4.4.0-19041-Microsoft\n":              1,
		"4.19.84-microsoft-standard\n":         2,
		"5.15.153.1-microsoft-standard-WSL2\n": 2,
		"6.6.36.3-microsoft-standard-WSL2+\n":  2,
		"6.17.3-locietta-WSL2-xanmod1\n":       2,
		"6.1.0-13-amd64\n":                     0,
		"6.10.14-linuxkit\n":                   0,
		"":                                     0,
	} {
		if got := wslOf(osrelease); got != want {
			t.Errorf("%q: %d, want %d", osrelease, got, want)
		}
	}
}

func TestWSLCheck(t *testing.T) {
	const release = "5.15.153.1-microsoft-standard-WSL2\n"
	for _, test := range []struct {
		name    string
		check   machine.Check
		verdict machine.Verdict
		why     string
	}{
		{"systemd", wsl(2).check(release, true), machine.VerdictOK, "WSL2, kernel 5.15.153.1-microsoft-standard-WSL2, with systemd"},
		{"no systemd", wsl(2).check(release, false), machine.VerdictOK, "WSL2, kernel 5.15.153.1-microsoft-standard-WSL2, without systemd, which nodes do not need"},
		{"WSL1", wsl(1).check("4.4.0-19041-Microsoft\n", false), machine.VerdictFailure, "this is WSL1, which has no Linux kernel: no namespaces, cgroups or overlays"},
	} {
		if c := test.check; c.ID != "wsl" || c.Verdict != test.verdict || c.Why != test.why {
			t.Errorf("%s: %+v", test.name, c)
		}
	}
	if c := wsl(1).check("", false); len(c.Fixes) != 1 || !strings.Contains(c.Fixes[0].Text, "wsl --set-version DISTRO 2") {
		t.Errorf("WSL1: fixes %+v", c.Fixes)
	}
}

// checksOf are those of a host with these answers of its kernel.
func checksOf(t *testing.T, osrelease, meminfo string) *checks {
	t.Helper()
	k := &checks{
		id: "0123456789ab", lab: &lab.Lab{Nodes: []lab.Node{{Name: "master"}}},
		release: filepath.Join(t.TempDir(), "osrelease"), meminfo: filepath.Join(t.TempDir(), "meminfo"),
	}
	for name, text := range map[string]string{k.release: osrelease, k.meminfo: meminfo} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// In WSL1 nothing else is examined: there would be as many failures as checks.
func TestWSL1(t *testing.T) {
	k := checksOf(t, "4.4.0-19041-Microsoft\n", "")
	var ids []string
	for _, c := range k.Examine(t.Context()) {
		ids = append(ids, c.ID)
	}
	if want := []string{"root", "wsl"}; !slices.Equal(ids, want) {
		t.Errorf("checks %q, want %q", ids, want)
	}
	if err := machine.Preflight(k.needs(true)); err == nil || !strings.Contains(err.Error(), "WSL1") {
		t.Errorf("up is not stopped: %v", err)
	}
}

// What is fixed otherwise in WSL2 than elsewhere.
func TestFixesInWSL2(t *testing.T) {
	const full = "MemAvailable: 51200 kB\nSwapFree: 0 kB\n"
	k := checksOf(t, "5.15.153.1-microsoft-standard-WSL2\n", full)
	if c := k.checkMemory(k.lab.Nodes); c.Verdict != machine.VerdictFailure || !strings.Contains(c.Fixes[0].Text, ".wslconfig") || len(c.Fixes) != 2 {
		t.Errorf("%+v", c)
	}
	modprobe := machine.Command("sudo", "modprobe", "overlay")
	if fixes := k.wsl().modules(modprobe); len(fixes) != 1 || fixes[0].Run != nil || !strings.Contains(fixes[0].Text, "wsl --update") {
		t.Errorf("%+v", fixes)
	}
	k = checksOf(t, "6.1.0-13-amd64\n", full)
	if c := k.checkMemory(k.lab.Nodes); c.Verdict != machine.VerdictFailure || len(c.Fixes) != 1 {
		t.Errorf("elsewhere: %+v", c)
	}
	if fixes := k.wsl().modules(modprobe); len(fixes) != 1 || fixes[0].Text != modprobe.Text {
		t.Errorf("elsewhere: %+v", fixes)
	}
	for _, c := range k.needs(false) {
		if c.ID == "wsl" {
			t.Errorf("elsewhere: %+v", c)
		}
	}
}

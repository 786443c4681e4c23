package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

func TestExamine(t *testing.T) {
	f := newFixture(t, "master", "node01")
	checks := f.driver().Examine(t.Context())
	var ids []string
	for _, c := range checks {
		ids = append(ids, c.ID)
		if c.Verdict == machine.VerdictFailure || c.What == "" || c.Why == "" {
			t.Errorf("%+v", c)
		}
	}
	want := []string{"root", "programs", "root-file-system", "cgroups", "links", "disks", "ip-vs", "memory", "subnet"}
	if !slices.Equal(ids, want) {
		t.Errorf("checks %q, want %q", ids, want)
	}
	if err := f.driver().Preflight(t.Context()); err != nil {
		t.Errorf("the same checks do not stop Examine: %v", err)
	}
	// What Limits tells after up that nodes cannot do, Examine tells before.
	for _, limit := range f.driver().lacks() {
		if !slices.ContainsFunc(checks, func(c machine.Check) bool {
			return c.Verdict == machine.VerdictWarning && c.Why == limit
		}) {
			t.Errorf("no warning %q", limit)
		}
	}
}

func TestChecksOfAHostThatLacksSomething(t *testing.T) {
	d := newFixture(t, "master").driver()
	for _, test := range []struct {
		name     string
		check    machine.Check
		verdict  machine.Verdict
		why, fix string
	}{
		{"no programs", checkPrograms(t.TempDir()), machine.VerdictFailure, "sshd is not installed", "openssh-server"},
		{"another file system", checkRootFileSystem("/proc"), machine.VerdictFailure, "/proc is a file system of its own", "--driver vagrant"},
		{"not root", checkRoot(1000), machine.VerdictOK, "sudo", ""},
		{"links, not root", d.checkLinks(false), machine.VerdictUnknown, "only root", "sudo dcalab doctor"},
		{"disks, not root", d.checkDisks(false), machine.VerdictUnknown, "only root", "sudo dcalab doctor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := test.check
			if c.Verdict != test.verdict || !strings.Contains(c.Why, test.why) {
				t.Errorf("%+v", c)
			}
			if test.fix != "" && (len(c.Fixes) == 0 || !strings.Contains(c.Fixes[0].Text, test.fix)) {
				t.Errorf("fixes %+v, want %q", c.Fixes, test.fix)
			}
		})
	}
	t.Run("no sudo", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if c := checkRoot(1000); c.Verdict != machine.VerdictFailure {
			t.Errorf("%+v", c)
		}
	})
	t.Run("a folder without overlays", func(t *testing.T) {
		d.checks.disks.dir = "/proc/self" // nothing can be put there
		c := d.checkDisks(true)
		if c.Verdict == machine.VerdictOK {
			t.Errorf("%+v", c)
		}
	})
	t.Run("a folder that nothing can be written to", func(t *testing.T) {
		d.checks.disks.dir = t.TempDir()
		// A mount of this thread's alone, which ends with the test.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", d.checks.disks.dir, "tmpfs", unix.MS_RDONLY, "mode=755"); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(d.checks.disks.dir, unix.MNT_DETACH)
		c := d.checkDisks(true)
		if c.Verdict != machine.VerdictFailure || !strings.Contains(c.Why, "read-only") || len(c.Fixes) != 1 || strings.Contains(c.Fixes[0].Text, "modprobe") {
			t.Errorf("%+v", c)
		}
	})
	t.Run("the subnet is taken", func(t *testing.T) {
		addAddr(t, addLink(t, "lan0"), "10.20.20.7/30")
		if c := d.checkSubnet(); c.Verdict != machine.VerdictFailure || !strings.Contains(c.Why, "lan0") || len(c.Fixes) == 0 {
			t.Errorf("%+v", c)
		}
	})
}

// More nodes than there is memory for are refused before anything is made;
// those that run already need nothing more.
func TestMoreNodesThanMemory(t *testing.T) {
	f := newFixture(t, "master", "node01")
	if err := f.driver().Up(t.Context(), machine.Observer{}, "master"); err != nil {
		t.Fatal(err)
	}
	left := func(mib int) *Driver {
		t.Helper()
		d := f.driver()
		d.meminfo = f.path("meminfo")
		text := fmt.Sprintf("MemTotal: 99999999 kB\nMemAvailable: %d kB\nSwapFree: 1024 kB\n", (mib-1)<<10)
		if err := os.WriteFile(d.meminfo, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := left(idleNode - 1)
	err := d.Up(t.Context(), machine.Observer{}, "master", "node01")
	var told *trouble.Error
	if !errors.As(err, &told) || told.ID != "memory" {
		t.Fatalf("got %v", err)
	}
	if d.disks.disk("node01").exists() {
		t.Error("node01 was made")
	}
	if err := d.Up(t.Context(), machine.Observer{}, "master"); err != nil {
		t.Errorf("of one that runs: %v", err)
	}
	if err := left(idleNode).Up(t.Context(), machine.Observer{}, "node01"); err != nil {
		t.Errorf("just enough: %v", err)
	}
}

// A disk that is full is called so, and where to make room is said.
func TestDiskFull(t *testing.T) {
	f := newFixture(t, "master")
	image, mount := f.path("disk"), f.path("mount")
	out, err := exec.Command("sh", "-c", fmt.Sprintf(`truncate -s 2M %[1]s && mkfs.ext4 -q -O ^has_journal %[1]s && mkdir %[2]s && mount -o loop %[1]s %[2]s`, image, mount)).CombinedOutput()
	if err != nil {
		t.Fatalf("a small disk: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	f.Nodes = filepath.Join(mount, "nodes")
	for range 2 { // the second time there is not room for the first byte
		err := f.driver().Up(t.Context(), machine.Observer{})
		var told *trouble.Error
		if !errors.As(err, &told) || told.ID != "disk-full" && told.ID != "disks" {
			t.Fatalf("got %v", err)
		}
		if !slices.Contains(told.Next, "make room there: df -h "+mount) {
			t.Errorf("what now is %q", told.Next)
		}
	}
	if err := f.driver().Destroy(t.Context(), machine.Observer{}); err != nil {
		t.Error(err)
	}
}

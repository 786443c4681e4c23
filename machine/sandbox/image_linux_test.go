package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// loops are the files below dir that loop devices have open.
func loops(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, file := range found {
		if at := strings.TrimSpace(readText(file)); strings.HasPrefix(at, dir) {
			out = append(out, at)
		}
	}
	return out
}

// A node with a disk of its own keeps it over a power cut and a halt, and nothing is
// left of it that is mounted.
func TestADiskOfItsOwn(t *testing.T) {
	f := newFixture(t, "master", "node01")
	f.Lab.Nodes[0].Disk = 512
	d := f.up(t)
	image := d.disks.disk("master").image()
	if fi, err := os.Stat(image); err != nil || fi.Size() != 512<<20 || fi.Sys().(*syscall.Stat_t).Blocks*512 > 256<<20 {
		t.Errorf("the image: %v, %v; want a sparse file of 512 MiB", fi, err)
	}
	kib := f.sh(t, "master", "df -P -k /var/lib/docker | awk 'NR == 2 {print ($2 < 512 * 1024), $6}'")
	if strings.TrimSpace(kib) != "1 /var/lib/docker" {
		t.Errorf("the node sees another file system: %q", kib)
	}
	if f.sh(t, "node01", "awk '$5 == \"/var/lib/docker\" && $4 == \"/\"' /proc/self/mountinfo") != "" {
		t.Error("a node without a disk of its own has one")
	}
	// Two files: one that stays, and one that the next boot removes.
	f.sh(t, "master", `sudo sh -c 'echo kept >/var/lib/docker/word; sync; echo x >/var/lib/docker/DCALAB-f1
		mkdir -p /etc/tmpfiles.d; echo "r! /var/lib/docker/DCALAB-f1" >/etc/tmpfiles.d/dcalab-f1.conf'`)
	for name, off := range map[string]func() error{
		"killed": func() error { return d.Kill(t.Context(), machine.Observer{}, "master") },
		"halted": func() error { return d.Halt(t.Context(), machine.Observer{}, "master") },
	} {
		if err := off(); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+": the loop device is let go", func() bool { return len(loops(t, f.Root)) == 0 })
		if err := d.Start(t.Context(), machine.Observer{}, "master"); err != nil {
			t.Fatal(err)
		}
		if got := f.sh(t, "master", "sudo sh -c 'cat /var/lib/docker/word; ls /var/lib/docker | grep -c DCALAB || true'"); strings.TrimSpace(got) != "kept\n0" {
			t.Errorf("%s: the disk has %q", name, got)
		}
	}
	f.destroy(t)
	eventually(t, "the loop device is let go", func() bool { return len(loops(t, f.Root)) == 0 })
}

// A snapshot is the same with and without: what labs.yaml says when it is restored counts.
func TestSnapshotsOfADiskOfItsOwn(t *testing.T) {
	f := newFixture(t, "master")
	f.Lab.Nodes[0].Disk = 512
	f.makeDisks(t)
	master := func() disk { return f.driver().disks.disk("master") }
	word := func() string { return filepath.Join(master().docker(), "word") }
	write := func(text string) {
		t.Helper()
		if err := withImages(t.Context(), disk{}, master(), func() error { return os.WriteFile(word(), []byte(text), 0o600) }); err != nil {
			t.Fatal(err)
		}
	}
	read := func() (text string) {
		t.Helper()
		if err := withImages(t.Context(), master(), disk{}, func() error { text = readText(word()); return nil }); err != nil {
			t.Fatal(err)
		}
		return text
	}
	write("first")
	f.save1(t, "one")
	if got := readText(f.driver().snapshotPath("one", "master", "docker", "word")); got != "first" {
		t.Errorf("the snapshot has %q", got)
	}
	for _, mib := range []int{512, 0, 600} {
		write("other")
		f.Lab.Nodes[0].Disk = mib
		if err := f.driver().RestoreSnapshot(t.Context(), machine.Observer{}, "one"); err != nil {
			t.Fatal(err)
		}
		if got := read(); got != "first" {
			t.Errorf("restored with %d MiB: %q", mib, got)
		}
		fi, err := os.Stat(master().image())
		if mib == 0 != os.IsNotExist(err) || mib > 0 && fi.Size() != int64(mib)<<20 {
			t.Errorf("restored with %d MiB: the image is %v, %v", mib, fi, err)
		}
	}
	if at := loops(t, f.Root); len(at) > 0 {
		t.Errorf("loop devices are left: %v", at)
	}

	// What does not fit is refused before anything is touched.
	big := f.driver().snapshotPath("one", "master", "docker", "big")
	file, err := os.Create(big)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Fallocate(int(file.Fd()), 0, 0, 500<<20); err != nil {
		t.Fatal(err)
	}
	f.Lab.Nodes[0].Disk = 512
	err = f.driver().RestoreSnapshot(t.Context(), machine.Observer{}, "one")
	if err == nil || !strings.Contains(err.Error(), "gives it a disk of 512 MiB") || read() != "first" {
		t.Errorf("a snapshot that does not fit: %v", err)
	}
}

func TestADiskThatHasNoRoomIsRefusedFirst(t *testing.T) {
	f := newFixture(t, "master", "node01")
	f.Lab.Nodes[1].Disk = 1 << 30 // a PiB
	err := f.driver().Up(t.Context(), observerThatFails(t))
	if err == nil || !strings.Contains(err.Error(), "may grow to") || trouble.ExitStatus(err) != trouble.ExitRequirement || len(trouble.Advice(err)) == 0 {
		t.Errorf("%v", err)
	}
	f.wantNothing(t)
	checks := f.driver().checkImages(false, f.Lab.Nodes)
	if len(checks) != 1 || checks[0].Verdict != machine.VerdictUnknown {
		t.Errorf("not root: %+v", checks)
	}
	if checks := f.driver().checkImages(true, f.Lab.Nodes[:1]); checks != nil {
		t.Errorf("no node has a disk of its own: %+v", checks)
	}
}

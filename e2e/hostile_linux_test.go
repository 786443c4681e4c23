package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine/sandbox"
)

// Two ordinary users of the test's own, who may use sudo. They exist in its
// mount namespace alone.
const (
	anaID = 64001
	bobID = 64002
)

const hostileLab = `version: 1
driver: sandbox
labs:
  dca:
    subnet: 10.20.20.0/24
    nodes:
      - {name: m1, ip: 10.20.20.11, role: manager}
`

// playground is a folder that both users may look into, and what they run.
type playground struct {
	dir, dcalab string
}

func newPlayground(t *testing.T) *playground {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: make scenarios")
	}
	if _, err := exec.LookPath("sudo"); err != nil {
		t.Skip("needs sudo")
	}
	// It is started some three hundred times: the one without the race detector
	// takes a fraction of the time.
	quick := os.Getenv("DCALAB_DEMO_BINARY")
	if quick == "" {
		quick = binary(t)
	}
	program, err := os.ReadFile(quick)
	if err != nil {
		t.Fatal(err)
	}
	release, err := isolate()
	if release != nil {
		t.Cleanup(release)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "dcalab-hostile-*") //nolint:usetesting // others are to look into it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &playground{dir: dir, dcalab: filepath.Join(dir, "dcalab")}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	// By a program: what another test starts just now would have a file that this process
	// writes open, too, and nobody could run it ("text file busy").
	install := exec.Command("install", "--mode=755", "/dev/stdin", p.dcalab)
	install.Stdin = bytes.NewReader(program)
	must(install.Run())
	// The files that sudo goes by, in place of this machine's.
	for name, c := range map[string]struct {
		add  string
		mode os.FileMode
	}{
		"/etc/passwd":  {fmt.Sprintf("ana:x:%d:%d::%s/ana:/bin/sh\nbob:x:%d:%d::%s/bob:/bin/sh\n", anaID, anaID, dir, bobID, bobID, dir), 0o644},
		"/etc/group":   {fmt.Sprintf("ana:x:%d:\nbob:x:%d:\n", anaID, bobID), 0o644},
		"/etc/shadow":  {"ana:*:19000:0:99999:7:::\nbob:*:19000:0:99999:7:::\n", 0o600},
		"/etc/sudoers": {"", 0o440},
	} {
		text, err := os.ReadFile(name)
		must(err)
		if name == "/etc/sudoers" {
			text = []byte("Defaults env_reset\nDefaults secure_path=\"" + os.Getenv("PATH") + "\"\nroot ALL=(ALL:ALL) ALL\nana ALL=(ALL:ALL) NOPASSWD:SETENV: ALL\nbob ALL=(ALL:ALL) NOPASSWD:SETENV: ALL\n")
		}
		copied := filepath.Join(dir, "etc-"+filepath.Base(name))
		must(os.WriteFile(copied, append(text, c.add...), c.mode))
		must(os.Chmod(copied, c.mode))
		must(unix.Mount(copied, name, "", unix.MS_BIND, ""))
	}
	for name, id := range map[string]int{"ana": anaID, "bob": bobID} {
		must(os.Mkdir(filepath.Join(dir, name), 0o755))
		must(os.Chown(filepath.Join(dir, name), id, id))
	}
	return p
}

// run runs dcalab in a folder as a user, who has sudo, or as root (0), and
// gives what it says and its exit status.
func (p *playground) run(t *testing.T, id int, dir string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.dcalab, args...)
	cmd.Dir = dir
	home := filepath.Join(p.dir, map[int]string{0: "", anaID: "ana", bobID: "bob"}[id])
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TERM=dumb", "DCALAB_DRIVER=sandbox", quickExit}
	if id != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("dcalab %v as %d: no answer\n%s", args, id, out.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// lab makes a folder of a user's with a labs.yaml.
func (p *playground) lab(t *testing.T, id int, name string) string {
	t.Helper()
	dir := filepath.Join(p.dir, map[int]string{0: "", anaID: "ana", bobID: "bob"}[id], name)
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "labs.yaml"), []byte(hostileLab), 0o644)); err != nil {
		t.Fatal(err)
	}
	own(t, dir, id)
	return dir
}

// own gives a tree to a user, without following links.
func own(t *testing.T, dir string, id int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id, id)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// canaries are files that nobody may touch: what they are, to the inode.
func canaries(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		text, _ := os.ReadFile(path)
		out[path] = fmt.Sprintf("%d %o %d:%d %d %d.%d %q", st.Ino, st.Mode, st.Uid, st.Gid, st.Nlink, st.Mtim.Sec, st.Mtim.Nsec, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func record(id string, format int, driver string) string {
	return fmt.Sprintf(`{"format":%d,"id":"%s","lab":"dca","driver":"%s","subnet":"10.20.20.0/24","created":"2026-01-02T03:04:05Z"}`, format, id, driver)
}

// A state folder that was not made here, or that was tampered with: nothing
// outside of it is read, written, mounted, run or removed, whoever types what.
func TestHostileFolders(t *testing.T) {
	t.Parallel()
	p := newPlayground(t)

	// A lab of ana's, which others will claim to be.
	home := p.lab(t, anaID, "home")
	if said, exit := p.run(t, anaID, home, "up"); exit != 0 {
		t.Fatalf("up as an ordinary user: exit %d\n%s", exit, said)
	}
	id := readID(filepath.Join(home, ".dcalab", "dca"))
	t.Cleanup(func() {
		if said, exit := p.run(t, anaID, home, "destroy", "--force"); exit != 0 {
			t.Errorf("destroy at the end: %s", said)
		}
		if found := findTraces(id); len(found) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(found, "\n"))
		}
	})
	wantsNoRoot(t, p, home)

	victim := filepath.Join(p.dir, "victim")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(victim, "m1", "upper"), 0o755), os.MkdirAll(filepath.Join(victim, "dca"), 0o755),
		os.WriteFile(filepath.Join(victim, "canary"), []byte("keep"), 0o600), os.WriteFile(filepath.Join(victim, "m1", "upper", "canary"), []byte("keep"), 0o644),
		os.WriteFile(filepath.Join(victim, "lab.json"), []byte(record(id, 1, "sandbox")), 0o644), os.WriteFile(filepath.Join(victim, "dca", "lab.json"), []byte(record(id, 1, "sandbox")), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(p.dir, "ran")

	put := func(dir, name, text string, mode os.FileMode) error {
		path := filepath.Join(dir, ".dcalab", "dca", name)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode))
	}
	link := func(dir, name, to string) error {
		path := filepath.Join(dir, ".dcalab", "dca", name)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink(to, path))
	}
	const foreign = "0123456789ab"
	shipped := func(dir string) error { return put(dir, "lab.json", record(foreign, 1, "sandbox"), 0o600) }
	copied := func(dir string) error { return put(dir, "lab.json", record(id, 1, "sandbox"), 0o600) }
	engine := "#!/bin/sh\ntouch " + marker + "\n"
	shapes := []struct {
		name string
		make func(dir string) error
	}{
		{"a record from elsewhere", shipped},
		{"a record from elsewhere, of virtual machines", func(dir string) error { return put(dir, "lab.json", record(foreign, 1, "vagrant"), 0o600) }},
		{"a record of a format to come", func(dir string) error { return put(dir, "lab.json", record(foreign, 99, "sandbox"), 0o600) }},
		{"a record of no format", func(dir string) error { return put(dir, "lab.json", record(foreign, 0, "sandbox"), 0o600) }},
		{"a record with a path for an id", func(dir string) error { return put(dir, "lab.json", record("../../../etc", 1, "sandbox"), 0o600) }},
		{"a record of another lab's id", copied},
		{"a record that is broken", func(dir string) error { return put(dir, "lab.json", "{", 0o600) }},
		{"a record that is a link", func(dir string) error { return link(dir, "lab.json", filepath.Join(victim, "lab.json")) }},
		{"a record that is a link to another lab's", func(dir string) error { return link(dir, "lab.json", filepath.Join(home, ".dcalab/dca/lab.json")) }},
		{"a record that is a pipe", func(dir string) error {
			return errors.Join(shipped(dir), os.Remove(dir+"/.dcalab/dca/lab.json"), unix.Mkfifo(dir+"/.dcalab/dca/lab.json", 0o600))
		}},
		{"a record that is a device", func(dir string) error {
			return errors.Join(shipped(dir), os.Remove(dir+"/.dcalab/dca/lab.json"), unix.Mknod(dir+"/.dcalab/dca/lab.json", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
		}},
		{"a record that is a folder", func(dir string) error { return os.MkdirAll(dir+"/.dcalab/dca/lab.json", 0o700) }},
		{"a record that is huge", func(dir string) error {
			return errors.Join(shipped(dir), os.Truncate(dir+"/.dcalab/dca/lab.json", 64<<30))
		}},
		{".dcalab is a link", func(dir string) error { return os.Symlink(victim, filepath.Join(dir, ".dcalab")) }},
		{".dcalab is a link to another lab's", func(dir string) error { return os.Symlink(home+"/.dcalab", filepath.Join(dir, ".dcalab")) }},
		{".dcalab is a file", func(dir string) error { return os.WriteFile(filepath.Join(dir, ".dcalab"), nil, 0o600) }},
		{"the lab's folder is a link", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/.dcalab", 0o700), os.Symlink(victim, dir+"/.dcalab/dca"))
		}},
		{"the lab's folder is open to all", func(dir string) error { return errors.Join(shipped(dir), os.Chmod(dir+"/.dcalab/dca", 0o777)) }},
		{"nodes is a link", func(dir string) error { return errors.Join(shipped(dir), link(dir, "nodes", victim)) }},
		{"nodes is a link, and nothing else", func(dir string) error { return link(dir, "nodes", victim) }},
		{"a node is a link", func(dir string) error { return errors.Join(shipped(dir), link(dir, "nodes/m1", victim+"/m1")) }},
		{"a node's engine came along", func(dir string) error { return put(dir, "nodes/m1/upper/usr/bin/dockerd", engine, 0o755) }},
		{"a node's engine and a record came along", func(dir string) error {
			return errors.Join(shipped(dir), put(dir, "nodes/m1/upper/usr/bin/dockerd", engine, 0o755))
		}},
		{"a PID 1 came along", func(dir string) error { return errors.Join(copied(dir), put(dir, "nodes/.init", engine, 0o755)) }},
		{"a key that others may read", func(dir string) error { return errors.Join(copied(dir), put(dir, "identity", "x", 0o644)) }},
		{"a key that is a link", func(dir string) error { return link(dir, "identity", filepath.Join(victim, "canary")) }},
		{"host keys that are a link", func(dir string) error { return link(dir, "known_hosts", filepath.Join(victim, "canary")) }},
		{"a log that is a link", func(dir string) error { return link(dir, "dcalab.log", filepath.Join(victim, "canary")) }},
		{"a lock that is a link", func(dir string) error { return link(dir, "lock", filepath.Join(victim, "canary")) }},
	}
	before := canaries(t, victim)
	pid := readRunning(id)
	for i, shape := range shapes { // in no subtest: that would be a thread outside of the namespaces
		complain := func(format string, args ...any) {
			t.Helper()
			t.Errorf(shape.name+": "+format, args...)
		}
		for _, who := range []int{anaID, bobID, 0} {
			dir := p.lab(t, who, fmt.Sprintf("shape%02d-%d", i, who))
			if err := shape.make(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(filepath.Join(dir, ".dcalab")); err == nil {
				own(t, dir, who)
			}
			commands := [][]string{{"up"}, {"destroy", "--force"}}
			switch who {
			case anaID:
				commands = append(commands, []string{"status"}, []string{"halt", "--force"})
			case bobID:
				commands = commands[1:]
			}
			if testing.Short() { // each shape by each user, each command by one
				commands = commands[:1]
			}
			for _, c := range commands {
				if said, exit := p.run(t, who, dir, c...); exit == 0 {
					complain("dcalab %v as %d is not refused:\n%s", c, who, said)
				}
			}
			if who != anaID {
				continue
			}
			if said, exit := p.run(t, who, dir, "list"); exit != 0 {
				complain("list: exit %d\n%s", exit, said)
			}
		}
		for path, now := range canaries(t, victim) {
			if was := before[path]; now != was {
				complain("%s is %s\nand was %s", path, now, was)
			}
		}
		if _, err := os.Lstat(marker); err == nil {
			complain("a program that came along was run")
		}
		if entries, err := os.ReadDir(sandbox.Ground); err != nil || len(entries) != 1 {
			complain("root made %v (%v)", entries, err)
		}
		if now := readRunning(id); now != pid || pid == "" {
			complain("the nodes of the lab that was meant are %q, were %q", now, pid)
		}
	}
	if len(before) != len(canaries(t, victim)) {
		t.Error("something was removed")
	}
}

// wantsNoRoot looks at a lab as the ordinary user whose it is: what is halted
// is called so, and what runs is reached.
func wantsNoRoot(t *testing.T, p *playground, home string) {
	t.Helper()
	want := func(exit int, text string, args ...string) {
		t.Helper()
		said, got := p.run(t, anaID, home, args...)
		if got != exit || !strings.Contains(said, text) {
			t.Errorf("dcalab %v: exit %d, want %d and %q\n%s", args, got, exit, text, said)
		}
	}
	want(0, "running", "status")
	want(0, "vagrant", "ssh", "m1", "--", "id", "-un")
	for _, args := range [][]string{{"swarm", "bootstrap"}, {"promote", "m1"}, {"drain", "m1"}, {"activate", "m1"}, {"label", "set", "m1", "zone=east"}, {"logs", "m1", "-n", "1"}, {"exec", "--all", "--", "true"}} {
		if said, exit := p.run(t, anaID, home, args...); exit != 0 || strings.Contains(said, "sudo") {
			t.Errorf("dcalab %v on a lab that runs: exit %d\n%s", args, exit, said)
		}
	}
	want(0, "in no swarm", "swarm", "dissolve", "--yes")
	want(0, "sandbox   up", "list")
	want(0, "m1", "halt", "--force")
	want(0, "halted", "status")
	want(0, "halted", "list")
	want(255, "halted", "ssh", "m1", "--", "true")
	want(0, "destroy its machine", "destroy", "--dry-run", "--force")
	want(0, "m1", "start")
}

// readRunning names the processes of a lab's nodes that are PID 1 of them.
func readRunning(id string) string {
	var pids []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		cmdline, _ := os.ReadFile(proc + "/cmdline")
		if strings.Contains(string(cmdline), "sandbox-init\x00"+id) {
			pids = append(pids, filepath.Base(proc))
		}
	}
	return strings.Join(pids, " ")
}

// A folder that was moved goes on working, a copy of it does not; and what has
// no folder any more is found, and removed.
func TestFoldersThatMoveOrGo(t *testing.T) {
	t.Parallel()
	p := newPlayground(t)
	home := p.lab(t, anaID, "home")
	sh := func(dir, line string) {
		t.Helper()
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	want := func(who int, dir string, exit int, text string, args ...string) {
		t.Helper()
		said, got := p.run(t, who, dir, args...)
		if got != exit || !strings.Contains(said, text) {
			t.Errorf("dcalab %v in %s: exit %d, want %d and %q\n%s", args, dir, got, exit, text, said)
		}
	}
	want(anaID, home, 0, "ready", "up")
	id := readID(filepath.Join(home, ".dcalab", "dca"))
	t.Cleanup(func() {
		_, _ = p.run(t, anaID, p.dir, "prune", "--yes")
		if found := findTraces(id); len(found) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(found, "\n"))
		}
	})
	sh(p.dir+"/ana", "cp -a home copy")
	want(anaID, p.dir+"/ana/copy", 5, "it is a copy of the lab in "+home, "destroy", "--yes")
	want(anaID, p.dir+"/ana/copy", 5, "it is a copy of the lab in "+home, "status")
	sh(p.dir+"/ana", "rm -r copy && mv home moved")
	moved := p.dir + "/ana/moved"
	want(anaID, moved, 0, "running", "status")
	want(anaID, moved, 0, moved, "list")
	// The index is lost: root's record knows the lab, once it was met.
	want(anaID, moved, 0, "halted", "halt", "--force")
	sh(p.dir+"/ana", "rm -r .local")
	want(anaID, moved, 0, "halted", "status")
	want(anaID, p.dir+"/ana", 0, moved, "list")
	want(anaID, moved, 0, "nothing to prune", "prune", "--yes")
	want(anaID, moved, 0, "ready", "start")
	// What root in a node made immutable is removed all the same.
	want(anaID, moved, 0, "", "ssh", "m1", "--", "sudo mkdir -p /var/lib/docker/volumes/v && echo x | sudo tee /var/lib/docker/volumes/v/f")
	stuck := filepath.Join(sandbox.Ground, id, "m1/docker/volumes/v")
	if out, err := exec.Command("chattr", "+i", stuck, stuck+"/f").CombinedOutput(); err != nil {
		t.Logf("without immutable files: %v: %s", err, out)
	}
	sh(moved, "rm -r .dcalab")
	want(anaID, moved, 5, "dcalab prune", "up")
	want(anaID, moved, 0, "dcalab prune", "destroy", "--yes")
	want(anaID, moved, 0, "orphaned", "list")
	want(bobID, p.dir+"/bob", 0, "nothing to prune", "prune", "--yes")
	want(anaID, moved, 0, "m1", "prune", "--dry-run")
	said, exit := p.run(t, anaID, moved, "doctor", "-o", "json")
	var d struct {
		Checks []struct{ ID, Verdict string }
	}
	if err := json.Unmarshal([]byte(said), &d); err != nil {
		t.Errorf("doctor: exit %d, %v\n%s", exit, err, said)
	}
	found := false
	for _, c := range d.Checks {
		found = found || c.ID == "orphaned-labs" && c.Verdict == "warning"
	}
	if !found {
		t.Errorf("doctor does not tell of it:\n%s", said)
	}
	want(anaID, moved, 0, "removed", "prune", "--yes")
	if left := findTraces(id); len(left) > 0 {
		t.Errorf("prune left:\n%s", strings.Join(left, "\n"))
	}
	want(anaID, moved, 0, "nothing to prune", "prune", "--yes")
}

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
)

// canaryCommand makes this program bring a lab up on a host of its own, which
// has files that no node is to see.
const canaryCommand = "test-canaries"

// canaries are those files, and their modes; those of canariesLater come when
// the nodes run.
func canaries() map[string]os.FileMode {
	return map[string]os.FileMode{
		"/swapfile": 0o600, "/data/db": 0o644, "/opt/tool/secret": 0o644, "/srv/www/secret": 0o644, "/root/secret": 0o644,
		"/etc/wireguard/wg0.conf": 0o644, "/etc/letsencrypt/live/privkey.pem": 0o644, "/etc/apt/auth.conf": 0o644,
		"/etc/NetworkManager/system-connections/home": 0o600, "/etc/ssl/certs/own-key.pem": 0o600,
		"/etc/ssl/secret.key": 0o644, "/etc/profile.d/token.sh": 0o640, "/etc/systemd/system/app.service": 0o644,
		"/etc/default/app": 0o644, "/var/lib/mysql/ibdata1": 0o644, "/var/lib/app/state": 0o644, "/var/spool/mail/me": 0o644,
		"/var/cache/debconf/passwords.dat": 0o600, "/var/lib/apt/secret": 0o600,
		"/usr/local/etc/app.conf": 0o644, "/usr/local/bin/with-password": 0o600, "/usr/local/lib/app/key": 0o640,
		"/usr/local/app/secret": 0o644, "/usr/src/secret": 0o644, "/usr/secret": 0o644,
	}
}

func canariesLater() map[string]os.FileMode {
	return map[string]os.FileMode{"/later/db": 0o644, "/etc/later": 0o644, "/var/lib/later/db": 0o644, "/opt/later": 0o644}
}

// onOtherHost goes to a host whose root is an overlay over this one's, made in
// dir, and plants files there.
func onOtherHost(dir string) error {
	root := filepath.Join(dir, "root")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		return err
	}
	for _, sub := range []string{"root", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := mountOverlay(root, "/", filepath.Join(dir, "upper"), filepath.Join(dir, "work")); err != nil {
		return err
	}
	for _, same := range []string{"/dev", "/proc", "/sys", "/run", "/tmp"} {
		if err := unix.Mount(same, root+same, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("%s: %w", same, err)
		}
	}
	// pivot_root(2): the old root ends up over the new one, and is unmounted.
	if err := os.Chdir(root); err != nil {
		return err
	}
	return errors.Join(unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), os.Chdir("/"))
}

func plantCanaries(files map[string]os.FileMode) error {
	for path, mode := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := errors.Join(os.WriteFile(path, []byte("not for nodes\n"), mode), os.Chmod(path, mode)); err != nil {
			return err
		}
	}
	return nil
}

// upWithCanaries is canaryCommand.
func upWithCanaries(root string) error {
	f := &fixture{Root: root}
	data, err := os.ReadFile(f.path("fixture.json"))
	if err == nil {
		err = json.Unmarshal(data, f)
	}
	if err == nil {
		err = onOtherHost(f.path("host"))
	}
	if err == nil {
		err = plantCanaries(canaries())
	}
	if err == nil {
		err = f.driver().Up(context.Background(), machine.Observer{})
	}
	if err == nil {
		err = plantCanaries(canariesLater())
	}
	return err
}

// TestWhatIsTheHostsIsNotSeen holds that a node shows what is listed, and
// nothing else, whatever the host has and gets.
func TestWhatIsTheHostsIsNotSeen(t *testing.T) {
	f := newFixture(t, "master")
	f.save(t)
	if err := os.Mkdir(f.path("host"), 0o755); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, canaryCommand, f.Root)
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var script strings.Builder
	for _, files := range []map[string]os.FileMode{canaries(), canariesLater()} {
		for path := range files {
			fmt.Fprintf(&script, "test ! -e %s || echo %s\n", path, path)
		}
	}
	if got := f.sh(t, "master", "sudo -n sh -c '"+script.String()+"'"); got != "" {
		t.Errorf("the node sees\n%s", got)
	}
	// And what it needs is there.
	f.sh(t, "master", "set -e; ls /etc/alternatives /etc/ssl/certs /usr/local/sbin/service /etc/nsswitch.conf >/dev/null; getent passwd root; "+
		"dpkg -s runc >/dev/null || rpm -q runc")
}

// TestRootInsideIsLessThanOutside holds what is taken from a node's root, and
// that what an engine needs is left.
func TestRootInsideIsLessThanOutside(t *testing.T) {
	f := newFixture(t, "master", "node01")
	f.up(t)
	for _, set := range []string{"CapBnd", "CapEff", "CapPrm"} {
		text := f.sh(t, "node01", "sudo -n awk '/^"+set+":/ {print $2}' /proc/1/status /proc/self/status")
		for _, line := range strings.Fields(text) {
			mask, err := strconv.ParseUint(line, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range withheld() {
				if mask&(1<<uint(c)) != 0 {
					t.Errorf("%s of a node has %s", set, c)
				}
			}
			if mask&(1<<uint(capability.CAP_SYS_ADMIN)) == 0 {
				t.Errorf("%s of a node lacks what engines need: %s", set, line)
			}
		}
	}
	for _, write := range []string{"/proc/sys/kernel/panic", "/proc/sys/vm/overcommit_memory", "/proc/sys/fs/file-max"} {
		if out, err := f.try(t, "node01", "sudo -n sh -c 'v=$(cat "+write+") && echo $v >"+write+"' 2>&1"); err == nil {
			t.Errorf("root in a node writes %s: %s", write, out)
		}
	}
	if got := f.sh(t, "node01", "sudo -n cat /proc/sysrq-trigger /proc/kcore 2>/dev/null | head -c 1 | wc -c; sudo -n ls -A /sys/firmware /sys/power 2>/dev/null | grep -v : | xargs"); got != "0" {
		t.Errorf("a node sees %q of /proc/kcore, /sys/firmware and /sys/power", got)
	}
	f.sh(t, "node01", "sudo -n sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'")
	if _, err := f.try(t, "node01", "sudo -n date -s 2001-01-01"); err == nil {
		t.Error("root in a node sets the clock")
	}
	// An engine's user namespaces get a proc and a sysfs of their own.
	f.sh(t, "node01", "sudo -n unshare --user --map-root-user --mount --pid --fork --net sh -c 'mount -t proc proc /mnt && mount -t sysfs sysfs /mnt'")

	if !hasPidsController() {
		t.Skip("this host's cgroups do not limit processes")
	}
	roots, err := hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	limited := false
	for _, root := range roots {
		dir := filepath.Join(root, f.driver().nodes.cgroup("node01"))
		most := strings.TrimSpace(readText(filepath.Join(dir, "pids.max")))
		if most == "" {
			continue // another controller's
		}
		limited = true
		if want := fmt.Sprint(pidsLimit(f.Lab.Nodes[1])); most != want {
			t.Errorf("a node may have %s processes, want %s", most, want)
		}
		// A small limit makes a small bomb do. dash ends at the first failure; what
		// it has started must not hold the session open.
		now, err := strconv.Atoi(strings.TrimSpace(readText(filepath.Join(dir, "pids.current"))))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pids.max"), []byte(fmt.Sprint(now+40)), 0); err != nil {
			t.Fatal(err)
		}
		out, err := f.try(t, "node01", "sh -c 'i=0; while [ $i -lt 100 ]; do sleep 300 >/dev/null 2>&1 & i=$((i+1)); done' 2>&1")
		if err == nil || !strings.Contains(out, "fork") {
			t.Errorf("the bomb went off: %q, %v", out, err)
		}
	}
	if !limited {
		t.Error("no cgroup limits a node's processes")
	}
	f.sh(t, "master", "true")
	f.destroy(t)
}

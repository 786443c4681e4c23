//go:build linux

package nodetest

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/runbook"
)

// Box is a machine of its own, for what a test may not do to this one: its own
// /etc, /run, /home, package lists, host name and (dead) network, with a real
// sshd, sudo, usermod and service. Its engine is a stand-in that knows its
// version.
type Box struct {
	*SSHD
	// PID is of a process in it.
	PID string
	t   *testing.T
}

// setUp is run in the box by root. The engine's start script is what Debian's
// would be, as far as service(8) can tell.
const setUp = `set -eu
mount -t tmpfs none /mnt
cp -a /etc /mnt/etc
mount --bind /mnt/etc /etc
mount -t tmpfs none /run
mkdir /run/sshd
[ -L /var/run ] || mount --bind /run /var/run
mount -t tmpfs none /home
mount -t tmpfs none /var/log
mount -t tmpfs none /usr/local/sbin
if [ -d /var/lib/apt/lists ]; then mount -t tmpfs none /var/lib/apt/lists; mount -t tmpfs none /var/cache/apt; fi
mkdir -p /var/lib/docker
mount -t tmpfs none /var/lib/docker
rm -rf /etc/docker
getent group docker >/dev/null || groupadd --system docker
hostname box
echo '127.0.0.1 localhost box' >/etc/hosts
userdel -f vagrant 2>/dev/null || :
useradd -m -s /bin/sh -p '*' vagrant
echo 'vagrant ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/vagrant
printf '#!/bin/sh\n' >/usr/local/sbin/dockerd
chmod +x /usr/local/sbin/dockerd
cat >/etc/init.d/docker <<'END'
#!/bin/sh
stop() { [ ! -e /run/engine.pid ] || kill "$(cat /run/engine.pid)"; rm -f /run/engine.pid /run/docker.sock; }
start() {
	if grep -q broken /etc/docker/daemon.json 2>/dev/null; then echo "unable to configure: broken label"; exit 1; fi
	"$SELF" fake-engine /var/run/docker.sock "$(getent group docker | cut -d: -f3)" </dev/null >/dev/null 2>&1 &
	echo $! >/run/engine.pid
	echo started >>/run/engine.starts
}
case $1 in start) start ;; stop) stop ;; restart) stop; start ;; esac
END
sed -i "s|\$SELF|$SELF|" /etc/init.d/docker
chmod +x /etc/init.d/docker
echo ready
exec sleep infinity
`

// NewBox starts one; config are more lines of its sshd_config.
func NewBox(t *testing.T, config string) *Box {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this test needs root, for namespaces of its own")
	}
	for _, program := range []string{"unshare", "nsenter", "useradd", "sudo", "service", "/usr/sbin/sshd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s here", program)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.Command("unshare", "-m", "-u", "-n", "sh", "-c", setUp)
	holder.Env = append(os.Environ(), "SELF="+self)
	holder.Stderr = os.Stderr
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Skipf("no namespaces here: %v", err)
	}
	b := &Box{t: t, PID: strconv.Itoa(holder.Process.Pid)}
	t.Cleanup(func() {
		_, _ = b.Root("service docker stop")
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		t.Log(lines.Text())
	}
	if lines.Err() != nil || lines.Text() != "ready" {
		t.Fatal("the box did not get ready")
	}
	b.SSHD = StartSSHD(t, "unix", config, "nsenter", "-t", b.PID, "-m", "-u", "-n", "--")
	b.User = "vagrant"
	return b
}

// Root runs a command in the box, past sshd.
func (b *Box) Root(cmd string) (string, error) {
	out, err := exec.Command("nsenter", "-t", b.PID, "-m", "-u", "-n", "--", "sh", "-c", cmd).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// MustRoot is Root for what has to succeed.
func (b *Box) MustRoot(cmd string) string {
	b.t.Helper()
	out, err := b.Root(cmd)
	if err != nil {
		b.t.Fatalf("%s: %v: %s", cmd, err, out)
	}
	return out
}

// DockerCommand puts a docker command into the box that knows dial-stdio.
func (b *Box) DockerCommand() {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	b.MustRoot("install -m 755 " + runbook.Line(self) + ` /usr/local/sbin/stand-in
cat >/usr/local/sbin/docker <<'END'
#!/bin/sh
[ "$*" = "system dial-stdio" ] && exec /usr/local/sbin/stand-in ssh-proxy /var/run/docker.sock
END
chmod 755 /usr/local/sbin/docker
mount --bind /usr/local/sbin /usr/local/bin`)
}

// StartEngine starts the stand-in and waits until it listens.
func (b *Box) StartEngine() {
	b.t.Helper()
	b.MustRoot("service docker start")
	Eventually(b.t, "the engine's socket", func() bool {
		out, _ := b.Root("stat -c %G /run/docker.sock")
		return out == "docker"
	})
}

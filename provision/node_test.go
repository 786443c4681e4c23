//go:build linux

package provision

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/lab"
)

// box is a machine of its own, for what a test may not do to this one: its own
// /etc, /run, /home, package lists, host name and (dead) network, with a real
// sshd, sudo, usermod and service. Its engine is a stand-in that knows its
// version.
type box struct {
	*realSSHD
	t   *testing.T
	pid string
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

func newBox(t *testing.T, config string) *box {
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
	b := &box{t: t, pid: strconv.Itoa(holder.Process.Pid)}
	t.Cleanup(func() {
		_, _ = b.root("service docker stop")
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
	b.realSSHD = startSSHD(t, "unix", config, "nsenter", "-t", b.pid, "-m", "-u", "-n", "--")
	b.ep.User = "vagrant"
	return b
}

// root runs a command in the box, past sshd.
func (b *box) root(cmd string) (string, error) {
	out, err := exec.Command("nsenter", "-t", b.pid, "-m", "-u", "-n", "--", "sh", "-c", cmd).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (b *box) mustRoot(cmd string) string {
	b.t.Helper()
	out, err := b.root(cmd)
	if err != nil {
		b.t.Fatalf("%s: %v: %s", cmd, err, out)
	}
	return out
}

// dockerCommand puts a docker command into the box that knows dial-stdio.
func (b *box) dockerCommand() {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	b.mustRoot("install -m 755 " + Quote(self) + ` /usr/local/sbin/stand-in
cat >/usr/local/sbin/docker <<'END'
#!/bin/sh
[ "$*" = "system dial-stdio" ] && exec /usr/local/sbin/stand-in ssh-proxy /var/run/docker.sock
END
chmod 755 /usr/local/sbin/docker
mount --bind /usr/local/sbin /usr/local/bin`)
}

// startEngine starts the stand-in and waits until it listens.
func (b *box) startEngine() {
	b.t.Helper()
	b.mustRoot("service docker start")
	eventually(b.t, "the engine's socket", func() bool {
		out, _ := b.root("stat -c %G /run/docker.sock")
		return out == "docker"
	})
}

func (b *box) prepare(want Want) (*Node, EngineFacts, []string, error) {
	b.t.Helper()
	var steps []string
	n, facts, err := Prepare(b.t.Context(), b.ep, b.opts, want, func(s string) { steps = append(steps, s) })
	if err == nil {
		b.t.Cleanup(func() { _ = n.Close() })
	}
	return n, facts, steps, err
}

func TestPrepareAFreshNodeAddsTheGroupAndReconnects(t *testing.T) {
	b := newBox(t, "")
	b.startEngine()
	n, facts, steps, err := b.prepare(Want{Hostname: "box"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"connecting", "adding vagrant to the docker group", "reconnecting"}, steps); d != "" {
		t.Error(d)
	}
	if !facts.GroupAdded || !facts.Reconnected || facts.StartedNow || facts.Restarted || facts.HostnameSet || facts.Version != "28.2.2" {
		t.Errorf("facts: %+v", facts)
	}
	if c := b.connections(); c != 2 {
		t.Errorf("%d connections", c)
	}
	r, err := n.Run(t.Context(), "id -nG", nil)
	if err != nil || !strings.Contains(string(r.Stdout), "docker") {
		t.Errorf("groups of the connection: %s, %v", r.Stdout, err)
	}
	_ = n.Close()

	// And now it needs nothing: one connection more.
	_, facts, steps, err = b.prepare(Want{Hostname: "box"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"connecting"}, steps); d != "" {
		t.Error(d)
	}
	if facts.GroupAdded || facts.Reconnected || facts.Version != "28.2.2" || b.connections() != 3 {
		t.Errorf("%d connections, facts: %+v", b.connections(), facts)
	}
}

func TestPrepareStartsNamesAndLabels(t *testing.T) {
	b := newBox(t, "")
	b.mustRoot(`ip link add enp0s8 type veth peer name other && ip addr add 10.20.20.100/24 dev enp0s8`)
	b.mustRoot(`mkdir -p /etc/docker && echo '{"mtu": 1450}' >/etc/docker/daemon.json`)
	want := Want{Hostname: "master.docker-dca.example", EngineLabels: map[string]string{"Zone": "it's a"}, Address: netip.MustParseAddr("10.20.20.100")}
	_, facts, _, err := b.prepare(want)
	if err != nil {
		t.Fatal(err)
	}
	if !facts.StartedNow || facts.Restarted || !facts.HostnameSet || !facts.GroupAdded || facts.Interface != "enp0s8" || facts.OS == "" {
		t.Errorf("facts: %+v", facts)
	}
	for _, cmd := range []string{"hostname", "cat /etc/hostname", "getent hosts master | awk '{ print $2 }'"} {
		if got := b.mustRoot(cmd); got != want.Hostname {
			t.Errorf("%s: %q", cmd, got)
		}
	}
	var config map[string]any
	if err := json.Unmarshal([]byte(b.mustRoot("cat /etc/docker/daemon.json")), &config); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{"mtu": 1450.0, "labels": []any{"Zone=it's a"}}, config); d != "" {
		t.Error(d)
	}
	if mode := b.mustRoot("stat -c %a:%U /etc/docker/daemon.json; ls -A /etc/docker"); mode != "644:root\ndaemon.json\ndaemon.json.before-dcalab" {
		t.Errorf("files: %s", mode)
	}

	// Another label restarts the engine, once; nothing else happens.
	want.EngineLabels["Disk"] = "ssd"
	_, facts, steps, err := b.prepare(want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"connecting", "configuring the engine", "starting the engine"}, steps); d != "" {
		t.Error(d)
	}
	if !facts.Restarted || facts.StartedNow || b.mustRoot("grep -c started /run/engine.starts") != "2" {
		t.Errorf("facts: %+v", facts)
	}

	// A configuration that the engine refuses is taken back.
	before := b.mustRoot("cat /etc/docker/daemon.json")
	want.EngineLabels["Disk"] = "broken"
	_, _, _, err = b.prepare(want)
	if e := wantTrouble(t, err, "engine-start-failed"); !strings.Contains(e.Why, "broken label") {
		t.Errorf("why: %s", e.Why)
	}
	if after := b.mustRoot("cat /etc/docker/daemon.json"); after != before {
		t.Errorf("daemon.json was left as %s", after)
	}
}

func TestPrepareSetsAndTakesBackRegistries(t *testing.T) {
	b := newBox(t, "")
	b.mustRoot(`mkdir -p /etc/docker && echo '{"insecure-registries": ["theirs:5000"]}' >/etc/docker/daemon.json`)
	config := func() string { return b.mustRoot("tr -d ' \n' </etc/docker/daemon.json") }
	prepare := func(restarted bool, want Want) {
		t.Helper()
		_, facts, _, err := b.prepare(want)
		if err != nil {
			t.Fatal(err)
		}
		if facts.Restarted != restarted {
			t.Errorf("restarted: %v, want %v", facts.Restarted, restarted)
		}
	}
	with := Want{Engine: lab.Engine{RegistryMirrors: []string{"http://hub"}, InsecureRegistries: []string{"ours:5000"}}}
	prepare(false, with) // it starts with them
	const both = `{"insecure-registries":["ours:5000","theirs:5000"],"registry-mirrors":["http://hub"]}`
	if got := config(); got != both {
		t.Errorf("daemon.json: %s", got)
	}
	prepare(false, with)

	// An engine that refuses them gets both files back.
	ours := b.mustRoot("cat /etc/docker/daemon.json.dcalab")
	worse := Want{Engine: lab.Engine{RegistryMirrors: []string{"http://broken"}}, EngineLabels: map[string]string{"a": "broken"}}
	_, _, _, err := b.prepare(worse)
	wantTrouble(t, err, "engine-start-failed")
	if got := config(); got != both || b.mustRoot("cat /etc/docker/daemon.json.dcalab") != ours {
		t.Errorf("daemon.json was left as %s", got)
	}

	prepare(true, Want{})
	if got := config(); got != `{"insecure-registries":["theirs:5000"]}` {
		t.Errorf("daemon.json: %s", got)
	}
	prepare(false, Want{})
}

func TestPrepareMakesTheGroup(t *testing.T) {
	b := newBox(t, "")
	b.mustRoot("service docker start")
	eventually(t, "the engine's socket", func() bool { _, err := b.root("test -S /run/docker.sock"); return err == nil })
	b.mustRoot("groupdel docker; chgrp root /run/docker.sock")
	_, facts, _, err := b.prepare(Want{})
	if err != nil {
		t.Fatal(err)
	}
	if !facts.GroupAdded || !facts.Restarted || !facts.Reconnected {
		t.Errorf("facts: %+v", facts)
	}
}

func TestPrepareSaysWhenSudoRefuses(t *testing.T) {
	b := newBox(t, "")
	b.startEngine()
	b.mustRoot("rm /etc/sudoers.d/vagrant")
	_, _, _, err := b.prepare(Want{})
	wantTrouble(t, err, "sudo-refused")
}

// apt's real words, in a box without a network.
func TestInstallWithoutANetwork(t *testing.T) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("no apt-get here")
	}
	b := newBox(t, "")
	n := b.dial(t)
	for _, source := range []string{sourceDistribution, sourceDocker} {
		t.Run(source, func(t *testing.T) {
			r, err := chooseRecipe(distribution{ID: "debian", Codename: "bookworm"}, lab.Engine{Source: source})
			if err != nil {
				t.Fatal(err)
			}
			_, err = rooted{n: n, sudo: true}.install(t.Context(), r, func(string) {})
			wantTrouble(t, err, "no-network-in-node")
		})
	}
}

// fakeApt writes down what it is asked to install.
const fakeApt = `cat >/usr/local/sbin/apt-get <<'END'
#!/bin/sh
for a in "$@"; do [ "$a" != install ] || echo "$*" >>/run/installed; done
END
cat >/usr/local/sbin/apt-cache <<'END'
#!/bin/sh
[ "$1" = madison ] || exit 1
echo " $2 | 28.2.2-1 | http://deb.example bookworm/main amd64 Packages"
echo " $2 | 20.10.24+dfsg1-1 | http://deb.example bookworm/main amd64 Packages"
END
chmod +x /usr/local/sbin/apt-*`

func TestInstallPinsTheVersion(t *testing.T) {
	b := newBox(t, "")
	b.mustRoot(fakeApt)
	n := b.dial(t)
	root := rooted{n: n, sudo: true}
	r := recipe{Manager: "apt", Source: sourceDistribution, Repository: "debian", Release: "bookworm", Package: "docker.io", Version: "20.10"}
	if _, err := root.install(t.Context(), r, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if got := b.mustRoot("cat /run/installed"); !strings.Contains(got, " docker.io=20.10.24+dfsg1-1") {
		t.Errorf("installed %q", got)
	}
	r.Version = "99"
	_, err := root.install(t.Context(), r, func(string) {})
	e := wantTrouble(t, err, "engine-version-unavailable")
	if !strings.Contains(e.Why, "28.2.2-1, 20.10.24+dfsg1-1") {
		t.Errorf("why: %s", e.Why)
	}
}

func TestCertificateNeverBringsTheKey(t *testing.T) {
	b := newBox(t, "")
	n := b.dial(t)
	if _, err := n.Certificate(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no swarm: %v", err)
	}
	const cert = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n"
	const key = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n"
	write := func(text string) {
		b.mustRoot("d=/var/lib/docker/swarm/certificates; mkdir -p $d; chmod 700 $d; printf %s " + Quote(text) + " >$d/swarm-node.crt")
	}
	for name, c := range map[string]struct{ file, want string }{
		"certificate and chain":      {cert + cert, cert + cert},
		"a key before":               {key + cert, cert},
		"a key after":                {cert + key, cert},
		"a key inside a block":       {"-----BEGIN CERTIFICATE-----\n" + key + "-----END CERTIFICATE-----\n" + cert, cert},
		"a key inside a broken file": {"-----BEGIN CERTIFICATE-----\nTUlJ\n" + key + cert, cert},
	} {
		t.Run(name, func(t *testing.T) {
			write(c.file)
			// What leaves the node, not what Certificate lets through.
			r, err := n.Run(t.Context(), "sudo -n "+script("certificate.sh"), nil)
			if err != nil || string(r.Stdout) != c.want {
				t.Errorf("left the node: %q, %v", r.Stdout, err)
			}
			if got, err := n.Certificate(t.Context()); err != nil || string(got) != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	write(key)
	if got, err := n.Certificate(t.Context()); err == nil {
		t.Errorf("of a key it made %q", got)
	}
}

func TestDialEngine(t *testing.T) {
	t.Run("over the socket, with a half-close", func(t *testing.T) {
		b := newBox(t, "")
		b.mustRoot("usermod -aG docker vagrant")
		b.startEngine()
		n := b.dial(t)
		askVersion(t, n)
		if n.useStdio.Load() {
			t.Error("went by dial-stdio")
		}
	})
	t.Run("where sshd forbids forwarding", func(t *testing.T) {
		b := newBox(t, "AllowStreamLocalForwarding no")
		b.mustRoot("usermod -aG docker vagrant")
		b.startEngine()
		b.dockerCommand()
		n := b.dial(t)
		askVersion(t, n)
		if !n.useStdio.Load() {
			t.Error("did not go by dial-stdio")
		}
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() { askVersion(t, n) })
		}
		all.Wait()
		conn, err := n.DialEngine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a deadline that passed")
		}
		_ = conn.Close()
	})
	t.Run("without the group", func(t *testing.T) {
		b := newBox(t, "")
		b.startEngine()
		_, err := b.dial(t).DialEngine(t.Context())
		wantTrouble(t, err, "docker-group-missing")
	})
	t.Run("without an engine", func(t *testing.T) {
		b := newBox(t, "")
		_, err := b.dial(t).DialEngine(t.Context())
		wantTrouble(t, err, "engine-down")
	})
	t.Run("an engine that died and left its socket", func(t *testing.T) {
		b := newBox(t, "")
		b.mustRoot("usermod -aG docker vagrant")
		b.startEngine()
		n := b.dial(t)
		b.mustRoot("kill -9 $(cat /run/engine.pid)")
		eventually(t, "it is dead", func() bool {
			out, _ := b.root(script("socket.sh", engineSocket))
			return out == "silent"
		})
		_, err := n.DialEngine(t.Context())
		wantTrouble(t, err, "engine-down")
	})
}

// askVersion speaks HTTP by hand.
func askVersion(t *testing.T, n *Node) {
	t.Helper()
	conn, err := n.DialEngine(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /version HTTP/1.0\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || string(text) != `{"Version":"28.2.2"}` {
		t.Errorf("got %q, %v", text, err)
	}
	if _, ok := conn.(interface{ CloseWrite() error }); !ok {
		t.Error("no half-close")
	}
}

func TestRunEndsWithContext(t *testing.T) {
	b := newBox(t, "")
	n := b.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan struct{})
	go func() {
		defer close(running)
		eventually(t, "the command runs", func() bool { _, err := b.root("test -s /home/vagrant/pid"); return err == nil })
		cancel()
	}()
	start := time.Now()
	_, err := n.Run(ctx, "echo $$ >pid; exec sleep 1000", nil)
	<-running
	if !errors.Is(err, context.Canceled) || time.Since(start) > 30*time.Second {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
	pid := b.mustRoot("cat /home/vagrant/pid")
	eventually(t, "the command on the node ends too", func() bool {
		_, err := os.Stat(filepath.Join("/proc", pid))
		return err != nil
	})
	if _, err := n.Run(t.Context(), "true", nil); err != nil {
		t.Errorf("the connection does not outlive it: %v", err)
	}
}

//go:build linux

package provision

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/node/nodetest"
)

func (b *box) prepare(want Want) (*node.Conn, EngineFacts, []string, error) {
	b.t.Helper()
	var steps []string
	n, facts, err := Prepare(b.t.Context(), b.ep, b.opts, want, func(s string) { steps = append(steps, s) })
	if err == nil {
		b.t.Cleanup(func() { _ = n.Close() })
	}
	return n, facts, steps, err
}

func TestPrepareAFreshNodeAddsTheGroupAndReconnects(t *testing.T) {
	b := newBox(t)
	b.StartEngine()
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
	if c := b.Connections(); c != 2 {
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
	if facts.GroupAdded || facts.Reconnected || facts.Version != "28.2.2" || b.Connections() != 3 {
		t.Errorf("%d connections, facts: %+v", b.Connections(), facts)
	}
}

func TestPrepareStartsNamesAndLabels(t *testing.T) {
	b := newBox(t)
	b.MustRoot(`ip link add enp0s8 type veth peer name other && ip addr add 10.20.20.100/24 dev enp0s8`)
	b.MustRoot(`mkdir -p /etc/docker && echo '{"mtu": 1450}' >/etc/docker/daemon.json`)
	want := Want{Hostname: "master.docker-dca.example", EngineLabels: map[string]string{"Zone": "it's a"}, Address: netip.MustParseAddr("10.20.20.100")}
	_, facts, _, err := b.prepare(want)
	if err != nil {
		t.Fatal(err)
	}
	if !facts.StartedNow || facts.Restarted || !facts.HostnameSet || !facts.GroupAdded || facts.Interface != "enp0s8" || facts.OS == "" {
		t.Errorf("facts: %+v", facts)
	}
	for _, cmd := range []string{"hostname", "cat /etc/hostname", "getent hosts master | awk '{ print $2 }'"} {
		if got := b.MustRoot(cmd); got != want.Hostname {
			t.Errorf("%s: %q", cmd, got)
		}
	}
	var config map[string]any
	if err := json.Unmarshal([]byte(b.MustRoot("cat /etc/docker/daemon.json")), &config); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{"mtu": 1450.0, "labels": []any{"Zone=it's a"}}, config); d != "" {
		t.Error(d)
	}
	if mode := b.MustRoot("stat -c %a:%U /etc/docker/daemon.json; ls -A /etc/docker"); mode != "644:root\ndaemon.json\ndaemon.json.before-dcalab" {
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
	if !facts.Restarted || facts.StartedNow || b.MustRoot("grep -c started /run/engine.starts") != "2" {
		t.Errorf("facts: %+v", facts)
	}

	// A configuration that the engine refuses is taken back.
	before := b.MustRoot("cat /etc/docker/daemon.json")
	want.EngineLabels["Disk"] = "broken"
	_, _, _, err = b.prepare(want)
	if e := nodetest.WantTrouble(t, err, "engine-start-failed"); !strings.Contains(e.Why, "broken label") {
		t.Errorf("why: %s", e.Why)
	}
	if after := b.MustRoot("cat /etc/docker/daemon.json"); after != before {
		t.Errorf("daemon.json was left as %s", after)
	}
}

func TestPrepareSetsAndTakesBackRegistries(t *testing.T) {
	b := newBox(t)
	b.MustRoot(`mkdir -p /etc/docker && echo '{"insecure-registries": ["theirs:5000"]}' >/etc/docker/daemon.json`)
	config := func() string { return b.MustRoot("tr -d ' \n' </etc/docker/daemon.json") }
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
	ours := b.MustRoot("cat /etc/docker/daemon.json.dcalab")
	worse := Want{Engine: lab.Engine{RegistryMirrors: []string{"http://broken"}}, EngineLabels: map[string]string{"a": "broken"}}
	_, _, _, err := b.prepare(worse)
	nodetest.WantTrouble(t, err, "engine-start-failed")
	if got := config(); got != both || b.MustRoot("cat /etc/docker/daemon.json.dcalab") != ours {
		t.Errorf("daemon.json was left as %s", got)
	}

	prepare(true, Want{})
	if got := config(); got != `{"insecure-registries":["theirs:5000"]}` {
		t.Errorf("daemon.json: %s", got)
	}
	prepare(false, Want{})
}

func TestPrepareMakesTheGroup(t *testing.T) {
	b := newBox(t)
	b.MustRoot("service docker start")
	nodetest.Eventually(t, "the engine's socket", func() bool { _, err := b.Root("test -S /run/docker.sock"); return err == nil })
	b.MustRoot("groupdel docker; chgrp root /run/docker.sock")
	_, facts, _, err := b.prepare(Want{})
	if err != nil {
		t.Fatal(err)
	}
	if !facts.GroupAdded || !facts.Restarted || !facts.Reconnected {
		t.Errorf("facts: %+v", facts)
	}
}

func TestPrepareSaysWhenSudoRefuses(t *testing.T) {
	b := newBox(t)
	b.StartEngine()
	b.MustRoot("rm /etc/sudoers.d/vagrant")
	_, _, _, err := b.prepare(Want{})
	nodetest.WantTrouble(t, err, "sudo-refused")
}

// apt's real words, in a box without a network.
func TestInstallWithoutANetwork(t *testing.T) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("no apt-get here")
	}
	b := newBox(t)
	n := b.dial(t)
	for _, source := range []string{sourceDistribution, sourceDocker} {
		t.Run(source, func(t *testing.T) {
			r, err := chooseRecipe(distribution{ID: "debian", Codename: "bookworm"}, lab.Engine{Source: source})
			if err != nil {
				t.Fatal(err)
			}
			_, err = install(t.Context(), n, r, func(string) {})
			nodetest.WantTrouble(t, err, "no-network-in-node")
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
	b := newBox(t)
	b.MustRoot(fakeApt)
	n := b.dial(t)
	r := recipe{Manager: "apt", Source: sourceDistribution, Repository: "debian", Release: "bookworm", Package: "docker.io", Version: "20.10"}
	if _, err := install(t.Context(), n, r, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if got := b.MustRoot("cat /run/installed"); !strings.Contains(got, " docker.io=20.10.24+dfsg1-1") {
		t.Errorf("installed %q", got)
	}
	r.Version = "99"
	_, err := install(t.Context(), n, r, func(string) {})
	e := nodetest.WantTrouble(t, err, "engine-version-unavailable")
	if !strings.Contains(e.Why, "28.2.2-1, 20.10.24+dfsg1-1") {
		t.Errorf("why: %s", e.Why)
	}
}

func TestCertificateNeverBringsTheKey(t *testing.T) {
	b := newBox(t)
	n := b.dial(t)
	if _, err := (SwarmData{n}).Certificate(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no swarm: %v", err)
	}
	const cert = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n"
	const key = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n"
	write := func(text string) {
		b.MustRoot("d=/var/lib/docker/swarm/certificates; mkdir -p $d; chmod 700 $d; printf %s " + node.Quote(text) + " >$d/swarm-node.crt")
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
			r, err := n.Run(t.Context(), "sudo -n "+script(n, "certificate.sh").Line(), nil)
			if err != nil || string(r.Stdout) != c.want {
				t.Errorf("left the node: %q, %v", r.Stdout, err)
			}
			if got, err := (SwarmData{n}).Certificate(t.Context()); err != nil || string(got) != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	write(key)
	if got, err := (SwarmData{n}).Certificate(t.Context()); err == nil {
		t.Errorf("of a key it made %q", got)
	}
}

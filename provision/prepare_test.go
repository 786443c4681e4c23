package provision

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node/nodetest"
)

func TestPlan(t *testing.T) {
	debian := distribution{ID: "debian", VersionID: "12", Codename: "bookworm"}
	ready := probe{UID: "1000", Groups: []string{"vagrant", "docker"}, Dockerd: true, Listening: true, Writable: true, Hostname: "master.docker-dca.example", OS: debian}
	but := func(change func(*probe)) probe {
		p := ready
		change(&p)
		return p
	}
	fqdn := Want{Hostname: "master.docker-dca.example"}
	labelled := Want{EngineLabels: map[string]string{"Zone": "a"}}
	labels := []byte("{\n  \"labels\": [\n    \"Zone=a\"\n  ]\n}\n")

	mirrored := Want{Engine: lab.Engine{RegistryMirrors: []string{"http://hub"}}}
	mirrors, none := []byte("{\n  \"registry-mirrors\": [\n    \"http://hub\"\n  ]\n}\n"), []byte("{}\n")

	for name, c := range map[string]struct {
		p    probe
		want Want
		work Work
	}{
		"a node that needs nothing":                      {ready, fqdn, Work{}},
		"a fresh node needs its group":                   {but(func(p *probe) { p.Groups, p.Writable = []string{"vagrant"}, false }), fqdn, Work{AddGroup: true}},
		"root needs no group":                            {but(func(p *probe) { p.UID, p.Groups = "0", []string{"root"} }), fqdn, Work{}},
		"a socket open to all suffices":                  {but(func(p *probe) { p.Groups = []string{"vagrant"} }), fqdn, Work{}},
		"an engine that is stopped":                      {but(func(p *probe) { p.Listening, p.Writable = false, false }), fqdn, Work{Start: true}},
		"an engine without a program in the path (snap)": {but(func(p *probe) { p.Dockerd = false }), fqdn, Work{}},
		"no engine": {
			but(func(p *probe) { p.Dockerd, p.Listening, p.Writable, p.Groups = false, false, false, nil }), fqdn,
			Work{Install: &recipe{Manager: "apt", Source: "distribution", Repository: "debian", Release: "bookworm", Package: "docker.io"}, Start: true, AddGroup: true},
		},
		"another host name":                      {but(func(p *probe) { p.Hostname = "master" }), fqdn, Work{Hostname: "master.docker-dca.example"}},
		"a host name that nobody asked for":      {but(func(p *probe) { p.Hostname = "box" }), Want{}, Work{}},
		"labels on a running engine":             {ready, labelled, Work{Daemon: daemonWork{Config: labels}, Restart: true}},
		"labels on a stopped one need no second": {but(func(p *probe) { p.Listening = false }), labelled, Work{Daemon: daemonWork{Config: labels}, Start: true}},
		"registries on a running engine":         {ready, mirrored, Work{Daemon: daemonWork{Config: mirrors, Ours: mirrors}, Restart: true}},
		"registries that are there":              {but(func(p *probe) { p.DaemonJSON, p.DaemonOurs = mirrors, mirrors }), mirrored, Work{}},
		"registries not wanted any more":         {but(func(p *probe) { p.DaemonJSON, p.DaemonOurs = mirrors, mirrors }), fqdn, Work{Daemon: daemonWork{Config: none, Ours: none}, Restart: true}},
		"registries that somebody took away":     {but(func(p *probe) { p.DaemonOurs = mirrors }), fqdn, Work{Daemon: daemonWork{Ours: none}}},
		"labels that are there":                  {but(func(p *probe) { p.DaemonJSON = []byte(`{"labels":["Zone=a"]}`) }), labelled, Work{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := plan(c.p, c.want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.work, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestChooseRecipe(t *testing.T) {
	alma := distribution{ID: "almalinux", Like: []string{"rhel", "centos", "fedora"}, VersionID: "9.4"}
	for name, c := range map[string]struct {
		os   distribution
		want lab.Engine
		r    recipe
	}{
		"debian's own":     {distribution{ID: "debian", VersionID: "12", Codename: "bookworm"}, lab.Engine{}, recipe{"apt", "distribution", "debian", "bookworm", "docker.io", "", ""}},
		"ubuntu, docker's": {distribution{ID: "ubuntu", Like: []string{"debian"}, VersionID: "24.04", Codename: "noble"}, lab.Engine{Source: "docker", Version: "28.2"}, recipe{"apt", "docker", "ubuntu", "noble", "docker-ce", "28.2", ""}},
		"mint is ubuntu":   {distribution{ID: "linuxmint", Like: []string{"ubuntu", "debian"}, Codename: "jammy"}, lab.Engine{Source: "docker"}, recipe{"apt", "docker", "ubuntu", "jammy", "docker-ce", "", ""}},
		"almalinux":        {alma, lab.Engine{}, recipe{"dnf", "docker", "rhel", "9", "docker-ce", "", "almalinux has no engine of its own: taking Docker's repository"}},
		"almalinux asked":  {alma, lab.Engine{Source: "docker"}, recipe{"dnf", "docker", "rhel", "9", "docker-ce", "", ""}},
		"rocky":            {distribution{ID: "rocky", Like: []string{"rhel", "centos", "fedora"}, VersionID: "8.10"}, lab.Engine{Source: "docker"}, recipe{"dnf", "docker", "rhel", "8", "docker-ce", "", ""}},
		"rhel":             {distribution{ID: "rhel", Like: []string{"fedora"}, VersionID: "10.0"}, lab.Engine{Source: "docker"}, recipe{"dnf", "docker", "rhel", "10", "docker-ce", "", ""}},
		"centos stream":    {distribution{ID: "centos", Like: []string{"rhel", "fedora"}, VersionID: "9"}, lab.Engine{Source: "docker"}, recipe{"dnf", "docker", "centos", "9", "docker-ce", "", ""}},
		"fedora's own":     {distribution{ID: "fedora", VersionID: "42"}, lab.Engine{}, recipe{"dnf", "distribution", "fedora", "42", "moby-engine", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := chooseRecipe(c.os, c.want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.r, got); d != "" {
				t.Error(d)
			}
		})
	}
	for name, os := range map[string]distribution{"alpine": {ID: "alpine"}, "nothing known": {}, "debian without a release": {ID: "debian"}} {
		t.Run(name, func(t *testing.T) {
			_, err := chooseRecipe(os, lab.Engine{Source: "docker"})
			nodetest.WantTrouble(t, err, "distribution-unknown")
		})
	}
}

func TestPackages(t *testing.T) {
	ce := []string{"5:28.5.2-1~debian.12~bookworm", "5:28.2.2-1~debian.12~bookworm", "5:28.2.1-1~debian.12~bookworm", "5:20.10.24~3-0~debian-bookworm"}
	rpm := []string{"3:28.2.2-1.el9", "3:28.2.1-1.el9"}
	for name, c := range map[string]struct {
		r         recipe
		available []string
		want      []string
	}{
		"the newest":                 {recipe{Manager: "apt", Source: "docker", Package: "docker-ce"}, ce, []string{"docker-ce", "docker-ce-cli", "containerd.io"}},
		"a line takes its newest":    {recipe{Manager: "apt", Source: "docker", Package: "docker-ce", Version: "28.2"}, ce, []string{"docker-ce=5:28.2.2-1~debian.12~bookworm", "docker-ce-cli=5:28.2.2-1~debian.12~bookworm", "containerd.io"}},
		"exact, with a v":            {recipe{Manager: "apt", Source: "docker", Package: "docker-ce", Version: "v28.2.1"}, ce, []string{"docker-ce=5:28.2.1-1~debian.12~bookworm", "docker-ce-cli=5:28.2.1-1~debian.12~bookworm", "containerd.io"}},
		"the distribution's":         {recipe{Manager: "apt", Source: "distribution", Package: "docker.io", Version: "20.10.24"}, []string{"20.10.24+dfsg1-1+deb12u1"}, []string{"docker.io=20.10.24+dfsg1-1+deb12u1"}},
		"rpm, without epochs":        {recipe{Manager: "dnf", Source: "docker", Package: "docker-ce", Version: "28"}, rpm, []string{"docker-ce-28.2.2-1.el9", "docker-ce-cli-28.2.2-1.el9", "containerd.io"}},
		"unpinned needs no versions": {recipe{Manager: "dnf", Source: "distribution", Package: "moby-engine"}, nil, []string{"moby-engine"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.r.packages(c.available)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for name, version := range map[string]string{"there is no 2": "2", "nor 28.20": "28.20", "nor 8.2": "8.2"} {
		t.Run(name, func(t *testing.T) {
			_, err := recipe{Manager: "apt", Source: "distribution", Package: "docker.io", Version: version}.packages(ce)
			nodetest.WantTrouble(t, err, "engine-version-unavailable")
		})
	}
}

func TestExplainInstall(t *testing.T) {
	for name, c := range map[string]struct{ output, id string }{
		"apt, no name server":  {"W: Failed to fetch http://mirror.example/debian/dists/bookworm/InRelease  Temporary failure resolving 'mirror.example'\nE: Unable to locate package docker.io", "no-network-in-node"},
		"apt, no route":        {"Err:1 http://mirror.example/debian bookworm InRelease\n  Cannot initiate the connection to mirror.example:80 (2a04::1). - connect (101: Network is unreachable)", "no-network-in-node"},
		"apt, silence":         {"Could not connect to mirror.example:80 (151.101.1.1), connection timed out", "no-network-in-node"},
		"curl, no name server": {"curl: (6) Could not resolve host: download.docker.com", "no-network-in-node"},
		"dnf, no name server":  {"Errors during downloading metadata for repository 'baseos':\n  - Curl error (6): Couldn't resolve host name for https://mirrors.almalinux.org/ [Could not resolve host: mirrors.almalinux.org]", "no-network-in-node"},
		"a mirror in motion":   {"E: Failed to fetch http://mirror.example/x.deb  404  Not Found", "engine-install-failed"},
		"a full disk":          {"dpkg: error: No space left on device", "engine-install-failed"},
		"a lock":               {"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 312 (unattended-upgr)", "engine-install-failed"},
	} {
		t.Run(name, func(t *testing.T) {
			nodetest.WantTrouble(t, explainInstall("node01", c.output, errors.New("exit status 100")), c.id)
		})
	}
}

func TestSplitVersions(t *testing.T) {
	log, versions := splitVersions("Hit:1 x\nReading…\nversions:\n5:28.2.2-1\n5:28.2.1-1\n")
	if log != "Hit:1 x\nReading…" || !cmp.Equal(versions, []string{"5:28.2.2-1", "5:28.2.1-1"}) {
		t.Errorf("log %q, versions %q", log, versions)
	}
	if _, versions := splitVersions("versions:\n1\n"); !cmp.Equal(versions, []string{"1"}) {
		t.Errorf("without a log: %q", versions)
	}
}

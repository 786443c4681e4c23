package provision

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (rewrite with -update):\n%s", path, d)
	}
}

// What a person would type for each kind of work, as it is printed.
func TestWorkAsARunbook(t *testing.T) {
	debian := distribution{ID: "debian", VersionID: "12", Codename: "bookworm"}
	recipeOf := func(os distribution, want lab.Engine) *recipe {
		r, err := chooseRecipe(os, want)
		if err != nil {
			t.Fatal(err)
		}
		return &r
	}
	otherKeys, err := planDaemon([]byte(`{"log-opts": {"token": "secret"}, "labels": ["rack=1"]}`), nil, map[string]string{"zone": "a"}, lab.Engine{})
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]Work{
		"nothing":      {},
		"debian":       {Hostname: "master.docker-dca.example", Install: recipeOf(debian, lab.Engine{}), Start: true, AddGroup: true, Systemd: true},
		"docker":       {Install: recipeOf(debian, lab.Engine{Source: "docker", Version: "28.2"}), Start: true, AddGroup: true, Systemd: true},
		"installed":    {Install: recipeOf(debian, lab.Engine{Source: "docker"}), Packages: []string{"docker-ce=5:28.2.2-1~debian.12~bookworm", "containerd.io"}, Start: true, Systemd: true},
		"alma":         {Install: recipeOf(distribution{ID: "almalinux", Like: []string{"rhel"}, VersionID: "9.4"}, lab.Engine{Version: "28.2"}), Start: true, Systemd: true},
		"fedora":       {Install: recipeOf(distribution{ID: "fedora", VersionID: "41"}, lab.Engine{}), Start: true, Systemd: true},
		"labels":       {Daemon: daemonWork{Config: []byte("{\n  \"labels\": [\"zone=it's\"],\n \"registry-mirrors\": [\"http://me:secret@hub\"]\n}\n")}, Restart: true, Systemd: true},
		"other-keys":   {Daemon: otherKeys, Restart: true, Systemd: true},
		"no-systemd":   {Hostname: "node01.example", Start: true},
		"imagined":     Imagine("bento/ubuntu-24.04", Want{Engine: lab.Engine{Source: "docker"}, Hostname: "x"}),
		"imagined-rpm": Imagine("almalinux/9", Want{}),
		"imagined-box": Imagine("", Want{Hostname: "x"}),
	} {
		t.Run(name, func(t *testing.T) { goldenRunbook(t, "runbook/"+name, w.Runbook("node01", "vagrant")) })
	}
	for name, o := range map[string]LogOptions{
		"log": {Lines: 100}, "log-all-since-follow": {Lines: -1, Since: 10 * time.Minute, Follow: true},
	} {
		t.Run(name, func(t *testing.T) {
			goldenRunbook(t, "runbook/"+name, append(ExplainLog("node01", o, true), ExplainLog("node02", o, false)...))
		})
	}
	t.Run("reset", func(t *testing.T) { goldenRunbook(t, "runbook/reset", ExplainReset("node01")) })
}

func goldenRunbook(t *testing.T, name string, l runbook.Runbook) {
	t.Helper()
	var b bytes.Buffer
	if err := l.Write(&b, func(node string) string { return "ssh " + node }); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "secret") {
		t.Errorf("a secret:\n%s", b.String())
	}
	if err := os.MkdirAll("testdata/runbook", 0o755); err != nil {
		t.Fatal(err)
	}
	golden(t, name+".golden", b.Bytes())
}

// A dry run's lines and the runbook tell of the same work.
func TestStepsOfWork(t *testing.T) {
	w := Imagine("debian/bookworm64", Want{EngineLabels: map[string]string{"zone": "a"}, Engine: lab.Engine{Version: "20.10"}})
	want := []string{"write /etc/docker/daemon.json", "install docker.io 20.10", "put the user into the docker group, and log in again"}
	if d := cmp.Diff(want, w.Steps()); d != "" {
		t.Error(d)
	}
	if steps := (Work{}).Steps(); steps != nil {
		t.Errorf("no work has the steps %q", steps)
	}
	restart := Imagine("", Want{EngineLabels: map[string]string{"zone": "a"}})
	if d := cmp.Diff([]string{"write /etc/docker/daemon.json", "restart the engine"}, restart.Steps()); d != "" {
		t.Error(d)
	}
}

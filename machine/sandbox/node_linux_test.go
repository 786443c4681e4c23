package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNode looks at what a node is from the inside and the outside.
func TestNode(t *testing.T) {
	f := newFixture(t, "master", "node01")
	f.Lab.Nodes[0].CPUs, f.Lab.Nodes[0].Memory = 2, 900
	f.Lab.Nodes[1].CPUs, f.Lab.Nodes[1].Memory = 1, 700
	f.Lab.Nodes[0].EngineLabels = map[string]string{"Rack": "7", "rack": "8", "q": `a "quoted" = value`}
	f.up(t)
	engineUp := func(t *testing.T) {
		t.Helper()
		eventually(t, "the engine answers", func() bool {
			_, err := f.try(t, "master", "sudo -n docker version")
			return err == nil
		})
	}

	t.Run("memory and cpus are limited as in labs.yaml", func(t *testing.T) {
		roots, err := hierarchies()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range f.Lab.Nodes {
			want := map[string]string{
				"memory.limit_in_bytes": fmt.Sprint(n.Memory << 20), // v1
				"cpu.cfs_quota_us":      fmt.Sprint(n.CPUs * 100_000),
				"cpu.cfs_period_us":     "100000",
				"memory.max":            fmt.Sprint(n.Memory << 20), // v2
				"cpu.max":               fmt.Sprint(n.CPUs*100_000, " ", 100_000),
			}
			kinds := map[string]bool{}
			for _, root := range roots {
				for file, value := range want {
					got := strings.TrimSpace(readText(filepath.Join(root, f.driver().nodes.cgroup(n.Name), file)))
					if got == "" {
						continue // this hierarchy has no such controller
					}
					kind, _, _ := strings.Cut(file, ".")
					kinds[kind] = true
					if got != value {
						t.Errorf("%s of %s is %s, want %s", file, n.Name, got, value)
					}
				}
			}
			if !kinds["memory"] || !kinds["cpu"] {
				t.Errorf("%s: limits found for %v only", n.Name, kinds)
			}
		}
	})

	t.Run("the engine has the labels of labs.yaml, in their own case", func(t *testing.T) {
		engineUp(t)
		var labels []string
		if err := json.Unmarshal([]byte(f.sh(t, "master", "sudo -n docker info -f '{{json .Labels}}'")), &labels); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, l := range labels {
			k, v, _ := strings.Cut(l, "=")
			got[k] = v
		}
		if !maps.Equal(got, f.Lab.Nodes[0].EngineLabels) {
			t.Errorf("labels are %v, want %v", got, f.Lab.Nodes[0].EngineLabels)
		}
	})

	const dockerd = "pgrep -o -x dockerd"
	t.Run("PID 1 starts an engine again that was killed", func(t *testing.T) {
		engineUp(t)
		old := f.sh(t, "master", dockerd)
		f.sh(t, "master", "sudo -n kill -9 "+old)
		eventually(t, "another engine", func() bool {
			now, err := f.try(t, "master", dockerd)
			return err == nil && now != old
		})
		engineUp(t)
	})
	for _, command := range []string{"service docker restart", "systemctl restart docker", "systemctl --no-pager try-restart docker.service"} {
		t.Run(command, func(t *testing.T) {
			engineUp(t)
			old := f.sh(t, "master", dockerd)
			// The next command finds an engine that listens, as with systemd.
			f.sh(t, "master", "sudo -n "+command+" && grep -q ' 00010000 .*/docker.sock$' /proc/net/unix")
			if now := f.sh(t, "master", dockerd); now == old {
				t.Errorf("the engine is still process %s", old)
			}
			engineUp(t)
		})
	}
	t.Run("a service can be stopped and started", func(t *testing.T) {
		for _, step := range []struct{ command, want string }{
			{"service docker status", "active 0"},
			{"systemctl stop docker", "inactive 0"},
			{"systemctl is-active docker", "inactive 3"},
			{"service docker status", "inactive 3"},
			{"systemctl enable --now docker", "active 0"},
			{"systemctl status docker.service --no-pager", "active 0"},
			{"service ssh status", "active 0"},
		} {
			if got := f.sh(t, "master", "out=$(sudo -n "+step.command+"); echo $out $?"); got != step.want {
				t.Errorf("%s gives %q, want %q", step.command, got, step.want)
			}
		}
		out, err := f.try(t, "master", "sudo -n systemctl restart apache2 2>&1")
		if err == nil || !strings.Contains(out, "apache2 not found") {
			t.Errorf("an unknown unit gives %q, %v", out, err)
		}
		engineUp(t)
	})

	t.Run("PID 1 reaps orphans", func(t *testing.T) {
		f.sh(t, "master", `for i in $(seq 30); do setsid sh -c 'sleep 0.05 & exit' & done; wait`)
		eventually(t, "no orphan and no zombie", func() bool {
			return f.sh(t, "master", `for s in /proc/[0-9]*/stat; do read -r line <$s && case $line in *") Z "* | *"(sleep)"*) echo "$line" ;; esac; done 2>/dev/null; true`) == ""
		})
	})

	t.Run("what is the host's own is not seen", func(t *testing.T) {
		for path, want := range map[string]string{
			"/home": User, "/root": "", "/mnt": "", "/srv": "", "/var/backups": "", "/etc/ssl/private": "",
			"/etc/sudoers.d": "", f.Root: "",
			"/etc/ssh": "ssh_config ssh_host_ed25519_key ssh_host_ed25519_key.pub sshd_config",
		} {
			if got := f.sh(t, "node01", "sudo -n ls -A "+path+" | xargs"); got != want {
				t.Errorf("%s holds %q, want %q", path, got, want)
			}
		}
		if got := f.sh(t, "node01", "sudo -n cat /etc/shadow /etc/shadow- /etc/gshadow- | grep -c '[$]' || true"); got != "0" {
			t.Errorf("there are %s password hashes", got)
		}
		for _, path := range []string{"/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"} {
			if host := strings.TrimSpace(readText(path)); host != "" && f.sh(t, "node01", "cat "+path) == host {
				t.Errorf("%s is the host's", path)
			}
		}
		// A path that both have is another file in each.
		const mark = "/var/lib/docker/mark-of-" + "node01"
		f.sh(t, "node01", "sudo -n touch "+mark)
		if _, err := os.Stat(mark); err == nil {
			t.Error("the node's /var/lib/docker is the host's")
		}
		if _, err := os.Stat(filepath.Join(f.Nodes, "node01/docker", filepath.Base(mark))); err != nil {
			t.Error(err)
		}
		if got, host := f.sh(t, "node01", "sudo -n readlink /proc/1/ns/pid"), link(t, "/proc/self/ns/pid"); got == host {
			t.Error("the node sees the host's processes")
		}
		if got := f.sh(t, "node01", "sudo -n sh -c 'ls /proc | grep -c ^[0-9]'"); got > "9" && len(got) > 2 {
			t.Errorf("the node sees %s processes", got)
		}
	})

	t.Run("what a node writes stays in it", func(t *testing.T) {
		const path = "/usr/local/share/written-in-a-node"
		f.sh(t, "node01", "sudo -n sh -c 'echo mine >"+path+"'")
		if _, err := os.Stat(path); err == nil {
			t.Error("the host has the file")
		}
		if _, err := f.try(t, "master", "test -e "+path); err == nil {
			t.Error("another node has the file")
		}
	})
}

func link(t *testing.T, path string) string {
	t.Helper()
	to, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

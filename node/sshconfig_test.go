package node

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// The lab lies in a folder that somebody named with everything that shells and
// ssh treat in a way of their own.
func sampleHosts() ([]HostEntry, SSHConfigOptions) {
	dir := "/home/ana/it's 100% my $lab #1/.dcalab/dca"
	return []HostEntry{
		{
			Names:    []string{"master", "master.docker-dca.example"},
			Endpoint: Endpoint{Node: "master", Network: "unix", Address: dir + "/master.sock", User: "vagrant", IdentityFile: dir + "/id", HostKeyAlias: "master.docker-dca.example"},
		},
		{
			Names:    []string{"node01", "node01.docker-dca.example"},
			Endpoint: Endpoint{Node: "node01", Network: "tcp", Address: "127.0.0.1:2222", User: "vagrant", IdentityFile: dir + "/id", HostKeyAlias: "node01.docker-dca.example"},
		},
	}, SSHConfigOptions{KnownHosts: dir + "/known_hosts", Dcalab: "/opt/my tools/dcalab"}
}

func TestWriteSSHConfig(t *testing.T) {
	hosts, o := sampleHosts()
	var b bytes.Buffer
	if err := WriteSSHConfig(&b, hosts, o); err != nil {
		t.Fatal(err)
	}
	golden(t, "ssh_config.golden", b.Bytes())
}

// OpenSSH reads what was meant.
func TestWriteSSHConfigAsSSHReadsIt(t *testing.T) {
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("no ssh here (package openssh-client)")
	}
	hosts, o := sampleHosts()
	var b bytes.Buffer
	if err := WriteSSHConfig(&b, hosts, o); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		for _, name := range h.Names {
			out, err := exec.Command(ssh, "-G", "-F", file, name).Output()
			if err != nil {
				t.Fatalf("ssh -G %s: %v", name, err)
			}
			got := map[string]string{}
			for line := range strings.Lines(string(out)) {
				k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
				got[k] = strings.ReplaceAll(strings.Trim(v, `"`), "%%", "%")
			}
			want := map[string]string{
				"user": "vagrant", "identityfile": h.Endpoint.IdentityFile, "identitiesonly": "yes",
				"userknownhostsfile": o.KnownHosts, "hostkeyalias": h.Endpoint.HostKeyAlias,
				"stricthostkeychecking": "true", "loglevel": "ERROR",
			}
			if h.Endpoint.Network == "tcp" {
				want["hostname"], want["port"] = "127.0.0.1", "2222"
			} else {
				words, err := exec.Command("sh", "-c", "printf '%s\\n' "+got["proxycommand"]).Output()
				if err != nil {
					t.Fatal(err)
				}
				if w := o.Dcalab + "\nssh-proxy\n" + h.Endpoint.Address + "\n"; string(words) != w {
					t.Errorf("%s: the shell would run %q, want %q", name, words, w)
				}
			}
			for k, v := range want {
				if got[k] != v {
					t.Errorf("%s: %s is %q, want %q", name, k, got[k], v)
				}
			}
		}
	}
}

func TestWriteSSHConfigRefuses(t *testing.T) {
	for name, change := range map[string]func(*HostEntry, *SSHConfigOptions){
		"a newline in a path":   func(h *HostEntry, _ *SSHConfigOptions) { h.Endpoint.IdentityFile = "/a\nProxyCommand x" },
		"a quote in a path":     func(_ *HostEntry, o *SSHConfigOptions) { o.KnownHosts = `/a"b` },
		"a variable in a path":  func(h *HostEntry, _ *SSHConfigOptions) { h.Endpoint.IdentityFile = "/${HOME}" },
		"a pattern for a name":  func(h *HostEntry, _ *SSHConfigOptions) { h.Names = []string{"*"} },
		"no name":               func(h *HostEntry, _ *SSHConfigOptions) { h.Names = nil },
		"a space in the user":   func(h *HostEntry, _ *SSHConfigOptions) { h.Endpoint.User = "a b" },
		"an unknown network":    func(h *HostEntry, _ *SSHConfigOptions) { h.Endpoint.Network = "udp" },
		"an address of no port": func(h *HostEntry, _ *SSHConfigOptions) { h.Endpoint.Network, h.Endpoint.Address = "tcp", "x" },
	} {
		t.Run(name, func(t *testing.T) {
			hosts, o := sampleHosts()
			change(&hosts[0], &o)
			var b bytes.Buffer
			if err := WriteSSHConfig(&b, hosts, o); err == nil || b.Len() > 0 {
				t.Errorf("wrote (error %v):\n%s", err, b.String())
			}
		})
	}
}

package provision

import (
	"encoding/base64"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/node"
)

func TestParseProbe(t *testing.T) {
	for name, c := range map[string]struct {
		out  string
		want probe
	}{
		"a fresh sandbox node": {
			"uid=1000\ngroups=vagrant sudo\narch=x86_64\ndockerd=1\nlistening=1\nhostname=master.docker-dca.example\ninterface=enp0s8\nos.ID=debian\nos.VERSION_ID=\"12\"\nos.VERSION_CODENAME=bookworm\n",
			probe{UID: "1000", Groups: []string{"vagrant", "sudo"}, Arch: "x86_64", Dockerd: true, Listening: true,
				Hostname: "master.docker-dca.example", Interface: "enp0s8",
				OS: distribution{ID: "debian", VersionID: "12", Codename: "bookworm"}},
		},
		"AlmaLinux with a message of the day and no engine": {
			"Welcome to node02!\n\nuid=1000\r\ngroups=vagrant\narch=aarch64\nsystemd=1\nhostname=node02\nos.ID=\"almalinux\"\nos.ID_LIKE=\"rhel centos fedora\"\nos.VERSION_ID=\"9.4\"\n",
			probe{UID: "1000", Groups: []string{"vagrant"}, Arch: "aarch64", Systemd: true, Hostname: "node02",
				OS: distribution{ID: "almalinux", Like: []string{"rhel", "centos", "fedora"}, VersionID: "9.4"}},
		},
		"Mint goes by its parent's codename": {
			"uid=0\ngroups=root\nos.ID=linuxmint\nos.ID_LIKE=\"ubuntu debian\"\nos.VERSION_ID=\"21.3\"\nos.UBUNTU_CODENAME=jammy\nos.VERSION_CODENAME=virginia\n",
			probe{UID: "0", Groups: []string{"root"}, OS: distribution{ID: "linuxmint", Like: []string{"ubuntu", "debian"}, VersionID: "21.3", Codename: "jammy"}},
		},
		"a configuration, and a member of the group": {
			"uid=1000\ngroups=vagrant docker\nwritable=1\ndaemon.json=" + base64.StdEncoding.EncodeToString([]byte(`{"mtu":1450}`)) + "\n",
			probe{UID: "1000", Groups: []string{"vagrant", "docker"}, Writable: true, DaemonJSON: []byte(`{"mtu":1450}`)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseProbe([]byte(c.out))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseProbeRefusesWhatIsNoProbe(t *testing.T) {
	for name, out := range map[string]string{
		"a shell that only greets":  "This account is currently not available.\n",
		"a configuration in shreds": "uid=1\ndaemon.json=%%%\n",
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := parseProbe([]byte(out)); err == nil {
				t.Errorf("gave %+v", p)
			}
		})
	}
}

// The script itself, on this machine.
func TestProbeScriptHere(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh here")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip here (package iproute2)")
	}
	out, err := exec.Command(sh, "-c", node.Script{Name: "probe.sh", Text: scriptText("probe.sh")}.Line("127.0.0.1", "/var/run/docker.sock")).Output()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseProbe(out)
	if err != nil {
		t.Fatal(err)
	}
	if p.Interface != "lo" || p.Hostname == "" || p.Arch == "" || len(p.Groups) == 0 || p.OS.ID == "" {
		t.Errorf("of this machine it says %+v:\n%s", p, out)
	}
}

func FuzzParseProbe(f *testing.F) {
	f.Add([]byte("uid=0\nos.ID=\"debian\"\ndaemon.json=e30=\n"))
	f.Add([]byte("uid=\"\nos.VERSION_ID='\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		p, err := parseProbe(out)
		if err == nil && p.UID == "" {
			t.Fatal("a probe of nobody")
		}
		_ = strings.TrimSpace(p.OS.String())
	})
}

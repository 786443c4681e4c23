package sandbox

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/sandbox/pid1"
)

func TestAccounts(t *testing.T) {
	for _, test := range []struct{ name, passwd, group, wantPasswd, wantGroup string }{
		{
			"an empty host", "", "",
			"vagrant:x:1000:1000::/home/vagrant:/bin/bash\n",
			"docker:x:999:vagrant\nvagrant:x:1000:\n",
		},
		{
			"people stay on the host, nobody and system users come along",
			"root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000:Ada,,,:/home/ada:/bin/bash\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
			"root:x:0:\nsudo:x:27:ada\ndocker:x:998:ada,bob\nada:x:1000:\nnogroup:x:65534:\n",
			"root:x:0:0:root:/root:/bin/bash\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nvagrant:x:1000:1000::/home/vagrant:/bin/bash\n",
			"root:x:0:\nsudo:x:27:\ndocker:x:998:vagrant\nnogroup:x:65534:\nvagrant:x:1000:\n",
		},
		{
			"a host inside a Vagrant box, with vagrant in its docker group",
			"vagrant:x:900:900:,,,:/home/vagrant:/bin/zsh\n", "vagrant:x:900:\ndocker:x:997:vagrant\n",
			"vagrant:x:1000:1000::/home/vagrant:/bin/bash\n", "docker:x:997:vagrant\nvagrant:x:1000:\n",
		},
		{
			"a docker group that people were given, and an id that is taken",
			"", "docker:x:1234:ada\nlast:x:999:\n",
			"vagrant:x:1000:1000::/home/vagrant:/bin/bash\n", "last:x:999:\ndocker:x:998:vagrant\nvagrant:x:1000:\n",
		},
		{
			"lines that are none, and NIS", "+::::::\nroot:x:0\n\n#\n", "+:::\n\nx\n",
			"vagrant:x:1000:1000::/home/vagrant:/bin/bash\n", "docker:x:999:vagrant\nvagrant:x:1000:\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			passwd, group := accounts(test.passwd, test.group)
			if diff := cmp.Diff(test.wantPasswd, passwd); diff != "" {
				t.Errorf("passwd (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wantGroup, group); diff != "" {
				t.Errorf("group (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n", "root:x:0:\nsudo:x:27:ada\n")
	f.Add(readText("/etc/passwd"), readText("/etc/group"))
	f.Add("vagrant:x:1:1:::\nvagrant:x:-1:1:::", "docker:x:5:vagrant\ndocker:x:6:vagrant")
	f.Fuzz(func(t *testing.T, hostPasswd, hostGroup string) {
		passwd, group := accounts(hostPasswd, hostGroup)
		users, dockers := 0, 0
		for line := range strings.Lines(passwd) {
			fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
			if len(fields) != 7 {
				t.Fatalf("passwd line %q", line)
			}
			if n, err := strconv.Atoi(fields[2]); err != nil || n >= 1000 && n != 65534 && fields[0] != User {
				t.Errorf("somebody of the host's: %q", line)
			}
			if fields[0] == User {
				users++
			}
		}
		for line := range strings.Lines(group) {
			fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
			if len(fields) != 4 || fields[3] != "" && (fields[0] != "docker" || fields[3] != User) {
				t.Fatalf("group line %q: somebody is in it", line)
			}
			if fields[0] == "docker" && fields[3] == User {
				dockers++
			}
		}
		if users != 1 || dockers != 1 {
			t.Errorf("%d users %s, in %d groups docker, in\n%s\n%s", users, User, dockers, passwd, group)
		}
		if shadow := locked(passwd, ":*:19000:0:99999:7:::\n"); strings.Count(shadow, "\n") != strings.Count(passwd, "\n") {
			t.Errorf("shadow has other lines than passwd: %q", shadow)
		}
	})
}

func TestLocked(t *testing.T) {
	if got, want := locked("root:x:0:0:root:/root:/bin/bash\nada:x:1\nlast", ":*::\n"), "root:*::\nada:*::\nlast:*::\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := locked("", ":*::\n"); got != "" {
		t.Errorf("nobody gives %q", got)
	}
}

func hostsLab() *lab.Lab {
	return &lab.Lab{Domain: "docker-dca.example", Nodes: []lab.Node{
		{Name: "master", IP: netip.MustParseAddr("10.20.20.100")},
		{Name: "node01", IP: netip.MustParseAddr("10.20.20.110")},
	}}
}

func TestHosts(t *testing.T) {
	const block = "# dcalab: the lab's nodes\n10.20.20.100 master.docker-dca.example master\n10.20.20.110 node01.docker-dca.example node01\n# dcalab: end\n"
	const stale = "# dcalab: the lab's nodes\n10.20.20.100 old\n# dcalab: end\n"
	for _, test := range []struct{ name, old, want string }{
		{"a fresh node", "", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n" + block},
		{"a line of the student's before", "127.0.0.1 localhost\n10.1.1.1 registry\n" + stale, "127.0.0.1 localhost\n10.1.1.1 registry\n" + block},
		{"and one behind", "127.0.0.1 localhost\n" + stale + "10.1.1.1 registry\n", "127.0.0.1 localhost\n" + block + "10.1.1.1 registry\n"},
		{"the student removed the block", "127.0.0.1 localhost\n", "127.0.0.1 localhost\n" + block},
		{"the student removed the end of the block", "10.1.1.1 a\n# dcalab: the lab's nodes\n10.1.1.2 b\n", "10.1.1.1 a\n" + block + "10.1.1.2 b\n"},
		{"two blocks", stale + "10.1.1.1 a\n" + stale, block + "10.1.1.1 a\n"},
		{"no newline at the end", "127.0.0.1 localhost", "127.0.0.1 localhost\n" + block},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, hosts(hostsLab(), test.old)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("no domain", func(t *testing.T) {
		l := hostsLab()
		l.Domain = ""
		if got := hosts(l, "x\n"); !strings.Contains(got, "\n10.20.20.100 master\n") {
			t.Errorf("got %q", got)
		}
	})
}

func FuzzHosts(f *testing.F) {
	f.Add("")
	f.Add("127.0.0.1 localhost")
	f.Add(hosts(hostsLab(), "") + "10.1.1.1 registry\n")
	f.Add("a\n# dcalab: the lab's nodes\nb\n# dcalab: end\nc")
	f.Fuzz(func(t *testing.T, old string) {
		once := hosts(hostsLab(), old)
		if twice := hosts(hostsLab(), once); twice != once {
			t.Errorf("a second time makes %q of %q", twice, once)
		}
		if !strings.Contains("\n"+once, "\n10.20.20.110 node01.docker-dca.example node01\n") {
			t.Errorf("no line for node01 in %q", once)
		}
		if old != "" && !strings.Contains(old, "# dcalab: ") && !strings.HasPrefix(once, old) {
			t.Errorf("%q did not keep %q", once, old)
		}
	})
}

func TestResolvers(t *testing.T) {
	for _, test := range []struct{ name, host, behind, want string }{
		{"none", "", "", ""},
		{"plain", "# a comment\nnameserver 192.0.2.53\nsearch example.org\noptions edns0\n", "", "nameserver 192.0.2.53\nsearch example.org\noptions edns0\n"},
		{"the stub of systemd-resolved", "nameserver 127.0.0.53\noptions trust-ad\n", "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch .\n", "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch .\n"},
		{"a cache on the host's loopback, and one beside it", "nameserver 127.0.0.1\nnameserver 192.0.2.53\n", "", "nameserver 192.0.2.53\n"},
		{"only a cache on the host's loopback", "nameserver ::1\n", "", ""},
		{"an IPv4 loopback in IPv6 clothes", "nameserver ::ffff:127.0.0.1\n", "", ""},
		{"a link-local server", "nameserver fe80::1%eth0\n", "", "nameserver fe80::1%eth0\n"},
		{"no address", "nameserver dns.example\nnameserver\n", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, resolvers(test.host, test.behind)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func FuzzResolvers(f *testing.F) {
	f.Add("nameserver 127.0.0.53\n", "nameserver 192.0.2.1\n")
	f.Add("nameserver ::ffff:127.0.0.1\nsearch a b", "")
	f.Fuzz(func(t *testing.T, host, behind string) {
		got := resolvers(host, behind)
		if again := resolvers(got, ""); again != got {
			t.Errorf("%q does not stay as it is: %q", got, again)
		}
		for line := range strings.Lines(got) {
			if s, ok := strings.CutPrefix(line, "nameserver "); ok {
				if addr, err := netip.ParseAddr(strings.TrimSpace(s)); err != nil || addr.IsLoopback() {
					t.Errorf("a node cannot ask %q", line)
				}
			}
		}
	})
}

// TestShims runs `service` and `systemctl` of a node with a PID 1 that only
// says what it was asked.
func TestShims(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dk := disk{t.TempDir()}
	if err := os.Mkdir(dk.upper(), 0o755); err != nil {
		t.Fatal(err)
	}
	tree, err := openTree(dk)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.root.Close()
	writeServices(tree)
	if tree.err != nil {
		t.Fatal(tree.err)
	}
	bin := t.TempDir()
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("init", "#!/bin/sh\necho asked \"$@\"\n")
	script("real", "#!/bin/sh\necho passed on \"$@\"\n")
	for _, path := range []string{"/usr/local/sbin/service", "/usr/local/bin/systemctl", "/usr/sbin/policy-rc.d"} {
		if out, err := exec.Command("sh", "-n", filepath.Join(dk.upper(), path)).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", path, out)
		}
		text := readText(filepath.Join(dk.upper(), path))
		if check, err := exec.LookPath("shellcheck"); err == nil {
			if out, err := exec.Command(check, "--shell=sh", "--severity=warning", filepath.Join(dk.upper(), path)).CombinedOutput(); err != nil {
				t.Errorf("%s: %s", path, out)
			}
		}
		script(filepath.Base(path), strings.NewReplacer(
			pid1.Path, filepath.Join(bin, "init"),
			"/usr/sbin/service", filepath.Join(bin, "real"), "/usr/bin/systemctl", filepath.Join(bin, "real"),
		).Replace(text))
	}
	for command, want := range map[string]string{
		"service docker status":                           "asked sandbox-service status docker",
		"service docker restart":                          "asked sandbox-service restart docker",
		"service docker force-reload":                     "asked sandbox-service restart docker",
		"service ssh start":                               "asked sandbox-service start ssh",
		"service sshd stop":                               "asked sandbox-service stop ssh",
		"service --status-all":                            "passed on --status-all",
		"service docker":                                  "passed on docker",
		"service apache2 start":                           "asked sandbox-service start apache2",
		"systemctl restart docker":                        "asked sandbox-service restart docker",
		"systemctl restart docker.service":                "asked sandbox-service restart docker",
		"systemctl stop docker.socket":                    "asked sandbox-service stop docker",
		"systemctl reload-or-restart sshd":                "asked sandbox-service restart ssh",
		"systemctl enable --now docker":                   "asked sandbox-service start docker",
		"systemctl --now enable docker":                   "asked sandbox-service start docker",
		"systemctl enable docker --now":                   "asked sandbox-service start docker",
		"systemctl disable --now docker":                  "asked sandbox-service stop docker",
		"systemctl --now disable docker":                  "asked sandbox-service stop docker",
		"systemctl disable docker --now":                  "asked sandbox-service stop docker",
		"systemctl enable docker":                         "",
		"systemctl disable docker":                        "",
		"systemctl daemon-reload":                         "",
		"systemctl --no-pager status docker.service":      "asked sandbox-service status docker",
		"systemctl status docker --no-pager":              "asked sandbox-service status docker",
		"systemctl is-active --quiet docker":              "asked sandbox-service status docker",
		"systemctl start nginx.service":                   "asked sandbox-service start nginx",
		"systemctl list-units --type=service":             "passed on list-units --type=service",
		"systemctl":                                       "passed on",
		"systemctl restart 'two words'":                   "asked sandbox-service restart two words",
		"systemctl restart '$(echo injected)'":            "asked sandbox-service restart $(echo injected)",
		"service '$(echo injected)' status":               "asked sandbox-service status $(echo injected)",
		"policy-rc.d docker start; echo $?":               "101",
		"last=docker systemctl status; unset last":        "asked sandbox-service status " + "status",
		"cd / && systemctl restart '*'":                   "asked sandbox-service restart *",
		"service docker restart && systemctl stop docker": "asked sandbox-service restart docker\nasked sandbox-service stop docker",
	} {
		cmd := exec.Command("sh", "-c", command)
		cmd.Env = []string{"PATH=" + bin + ":" + pid1.SearchPath}
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s gives %q (%v), want %q", command, got, err, want)
		}
	}
}

func TestACommandLineAloneMakesNoNode(t *testing.T) {
	// This test's own process is in no cgroup of a lab.
	for _, node := range []string{"master", "", "..", "../other"} {
		if inCgroup(os.Getpid(), "0123456789ab", node) {
			t.Errorf("taken for node %q", node)
		}
	}
}

// The last rule of each chain decides, so their order is part of them.
func TestRules(t *testing.T) {
	n := network{id: "0123456789ab"}
	const filter = `*filter
:DCALAB-0123456789ab -
-A DCALAB-0123456789ab -i dcab-012345678 -o dcab-012345678 -j ACCEPT
-A DCALAB-0123456789ab -i dcab-012345678 -o dcab-+ -j DROP
-A DCALAB-0123456789ab -i dcab-012345678 -j ACCEPT
-A DCALAB-0123456789ab -o dcab-012345678 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DCALAB-0123456789ab -o dcab-012345678 -j DROP
COMMIT
`
	if diff := cmp.Diff(filter, n.rules(false)); diff != "" {
		t.Error(diff)
	}
	const nat = `*nat
:DCALAB-0123456789ab -
-A DCALAB-0123456789ab ! -o dcab-012345678 -j MASQUERADE
COMMIT
`
	if diff := cmp.Diff(filter+nat, n.rules(true)); diff != "" {
		t.Error(diff)
	}
}

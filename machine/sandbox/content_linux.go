package sandbox

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/machine/sandbox/pid1"
)

// What the driver writes into a new node's disk: who the node is, its users, its
// sshd and its services.

// The user of a node has the ids of the first user that Debian's installer
// makes, as in Vagrant's boxes.
const userID = 1000

// writeIdentity writes who the node is.
func writeIdentity(t *tree, hostname string, engineLabels map[string]string) {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	t.write("/etc/machine-id", 0o444, hex.EncodeToString(id)+"\n")
	t.write("/etc/hostname", 0o644, hostname+"\n")
	t.write("/etc/fstab", 0o644, "")
	var labels []string
	for _, k := range slices.Sorted(maps.Keys(engineLabels)) {
		labels = append(labels, k+"="+engineLabels[k])
	}
	if len(labels) > 0 {
		t.json("/etc/docker/daemon.json", 0o644, map[string]any{"labels": labels})
	}
}

// writeUsers writes the node's own accounts: the host's system users, whose ids
// its files carry, and vagrant; no password opens any of them.
func writeUsers(t *tree, key ssh.PublicKey) {
	passwd, group := accounts(readText("/etc/passwd"), readText("/etc/group"))
	t.write("/etc/passwd", 0o644, passwd)
	t.write("/etc/group", 0o644, group)
	t.write("/etc/shadow", 0o600, locked(passwd, ":*:19000:0:99999:7:::\n"))
	t.write("/etc/gshadow", 0o600, locked(group, ":*::\n"))
	for _, f := range []string{"/etc/subuid", "/etc/subgid"} {
		t.write(f, 0o644, "")
	}
	// useradd's copies from before its last change would hold the host's hashes.
	for _, f := range []string{"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"} {
		t.write(f, 0o600, "")
	}
	t.write("/etc/sudoers", 0o440, `# Made by dcalab for this node.
Defaults env_reset
Defaults secure_path="`+pid1.SearchPath+`"
root ALL=(ALL:ALL) ALL
`+User+` ALL=(ALL:ALL) NOPASSWD: ALL
`)
	home := "/home/" + User
	t.own(home, 0o755, userID)
	letIn(t, key)
	for _, f := range []string{".bashrc", ".profile", ".bash_logout"} {
		if text := readText("/etc/skel/" + f); text != "" {
			t.write(home+"/"+f, 0o644, text)
			t.chown(home+"/"+f, userID)
		}
	}
}

// accounts gives the passwd and group files of a node from those of the host:
// system entries without their human members, and vagrant. Vagrant is in the
// docker group: what usermod does later costs a login, in each node.
func accounts(hostPasswd, hostGroup string) (passwd, group string) {
	system := func(id string) bool {
		n, err := strconv.Atoi(id)
		return err == nil && (n < 1000 || n == 65534)
	}
	var p, g strings.Builder
	for line := range strings.Lines(hostPasswd) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 7 && f[0] != User && system(f[2]) {
			p.WriteString(strings.Join(f, ":") + "\n")
		}
	}
	fmt.Fprintf(&p, "%s:x:%d:%d::/home/%s:/bin/bash\n", User, userID, userID, User)
	taken := map[string]bool{}
	docker := false
	for line := range strings.Lines(hostGroup) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 4 && f[0] != User && system(f[2]) {
			members := ""
			if f[0] == "docker" && !docker {
				docker, members = true, User
			}
			fmt.Fprintf(&g, "%s:%s:%s:%s\n", f[0], f[1], f[2], members)
			taken[f[2]] = true
		}
	}
	for gid := 999; !docker; gid-- {
		if !taken[strconv.Itoa(gid)] {
			fmt.Fprintf(&g, "docker:x:%d:%s\n", gid, User)
			docker = true
		}
	}
	fmt.Fprintf(&g, "%s:x:%d:\n", User, userID)
	return p.String(), g.String()
}

// locked gives a shadow file: every name of a colon-separated file, with rest.
func locked(names, rest string) string {
	var b strings.Builder
	for line := range strings.Lines(names) {
		name, _, _ := strings.Cut(line, ":")
		b.WriteString(name + rest)
	}
	return b.String()
}

// writeSSHD writes the node's sshd configuration and a new host key, and gives the
// public half of the key.
func writeSSHD(t *tree, hostname string) ssh.PublicKey {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.fail(err)
		return nil
	}
	block, err := ssh.MarshalPrivateKey(priv, hostname)
	t.fail(err)
	hostKey, err := ssh.NewPublicKey(pub)
	t.fail(err)
	if t.err != nil {
		return nil
	}
	t.write("/etc/ssh/ssh_host_ed25519_key", 0o600, string(pem.EncodeToMemory(block)))
	t.write("/etc/ssh/ssh_host_ed25519_key.pub", 0o644, string(ssh.MarshalAuthorizedKey(hostKey)))
	t.write("/etc/ssh/ssh_config", 0o644, "")
	t.write("/etc/ssh/sshd_config", 0o644, `# Made by dcalab for this node.
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 200
X11Forwarding no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
`)
	return hostKey
}

// writeServices makes `service` and `systemctl` act on the node's own PID 1, and
// keeps packages from starting daemons behind its back.
func writeServices(t *tree) {
	const shim = `#!/bin/sh
# Made by dcalab: this node's PID 1 keeps ssh and docker, and this asks it.
# %s
unit=%s action=%s
unit=${unit%%.service}
case $unit in sshd) unit=ssh ;; docker.socket) unit=docker ;; esac
case $action in
start | stop | restart | status | is-active) ;;
try-restart | reload | reload-or-restart | force-reload) action=restart ;;
enable | disable | daemon-reload) exit 0 ;;
*) exec %s "$@" ;;
esac
[ "$action" = is-active ] && action=status
exec %s "$action" "$unit"
`
	ask := pid1.Path + " " + pid1.ServiceCommand
	t.write("/usr/local/sbin/service", 0o755, fmt.Sprintf(shim, "service UNIT ACTION", `$1`, `$2`, "/usr/sbin/service", ask))
	t.write("/usr/local/bin/systemctl", 0o755, fmt.Sprintf(shim, "systemctl ACTION [--now] UNIT",
		`$(for a; do case $a in -*) ;; *) last=$a ;; esac; done; printf %s "$last")`,
		`$(case $* in *enable*--now*|*--now*enable*) echo start ;; *disable*--now*|*--now*disable*) echo stop ;; *) for a; do case $a in -*) ;; *) echo "$a"; break ;; esac; done ;; esac)`,
		"/usr/bin/systemctl", ask))
	t.write("/usr/sbin/policy-rc.d", 0o755, "#!/bin/sh\n# Made by dcalab: PID 1 starts what this node runs.\nexit 101\n")
	t.write(pid1.Path, 0o755, "") // the mount point of this program
}

// letIn lets who has the private half of key log in as User, and nobody else.
func letIn(t *tree, key ssh.PublicKey) {
	at := "/home/" + User + "/.ssh"
	t.own(at, 0o700, userID)
	t.write(at+"/authorized_keys", 0o600, string(ssh.MarshalAuthorizedKey(key)))
	t.chown(at+"/authorized_keys", userID)
}

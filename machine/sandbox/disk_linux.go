package sandbox

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
)

// The user of a node; its ids are those of the first user that Debian's
// installer makes, as in Vagrant's boxes.
const userID = 1000

type folder struct {
	path string
	mode os.FileMode
}

// disk is a node's folder below Config.Dir. It is for root alone (diskMode):
// what root in a node makes setuid would be so for every user of the host.
type disk struct{ dir string }

func (d disk) upper() string  { return filepath.Join(d.dir, "upper") }
func (d disk) work() string   { return filepath.Join(d.dir, "work") }
func (d disk) docker() string { return filepath.Join(d.dir, "docker") }
func (d disk) log() string    { return filepath.Join(d.dir, "init.log") }

// half is the same disk while it is being made: no node's name has a dot.
func (d disk) half() disk { return disk{d.dir + halfSuffix} }

const halfSuffix = ".new"

const diskMode = 0o700

// exists tells whether the disk is there: its folder appears only when it is
// whole. Anybody may ask; only root can look into it.
func (d disk) exists() bool {
	fi, err := os.Lstat(d.dir)
	return err == nil && fi.IsDir()
}

// create makes the disk of a newborn node. It appears under its name only
// when it is whole, so an interrupted creation leaves no half of a node.
func (d *Driver) create(n lab.Node) error {
	final := d.disk(n.Name)
	if final.exists() {
		return nil
	}
	half := final.half()
	for _, old := range []string{half.dir, final.dir} {
		if err := removeDisk(old); err != nil {
			return err
		}
	}
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{{half.dir, diskMode}, {half.upper(), 0o755}, {half.work(), 0o700}, {half.docker(), 0o710}} {
		if err := os.Mkdir(dir.path, dir.mode); err != nil {
			return err
		}
	}
	t, err := plant(half)
	if err != nil {
		return err
	}
	defer t.root.Close()
	d.frame(t)
	for _, p := range d.cfg.Hidden {
		t.hide(p, 0o700)
	}
	d.identity(t, n)
	key, err := d.cfg.AuthorizedKey()
	if err != nil {
		return err
	}
	d.users(t, key)
	hostKey := d.sshd(t, n)
	d.services(t)
	if t.err != nil {
		return fmt.Errorf("disk of %s: %w", n.Name, t.err)
	}
	if err := d.cfg.PinHostKey(d.cfg.Lab.Hostname(n), hostKey); err != nil {
		return err
	}
	return os.Rename(half.dir, final.dir)
}

// identity writes who the node is.
func (d *Driver) identity(t *tree, n lab.Node) {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	t.write("/etc/machine-id", 0o444, hex.EncodeToString(id)+"\n")
	t.write("/etc/hostname", 0o644, d.cfg.Lab.Hostname(n)+"\n")
	t.write("/etc/fstab", 0o644, "")
	if len(n.EngineLabels) > 0 {
		labels := make([]string, 0, len(n.EngineLabels))
		for _, k := range sortedKeys(n.EngineLabels) {
			labels = append(labels, k+"="+n.EngineLabels[k])
		}
		t.json("/etc/docker/daemon.json", 0o644, map[string]any{"labels": labels})
	}
}

// refresh writes what depends on the lab as a whole and on the host's network,
// before every start of the node.
func (d *Driver) refresh(n lab.Node, nat bool) error {
	t, err := plant(d.disk(n.Name))
	if err != nil {
		return err
	}
	defer t.root.Close()
	d.frame(t)
	t.json(specPath, 0o644, d.spec(n, nat))
	// What root in the node made of it, a pipe for instance, is not waited for.
	var old []byte
	if fi, err := t.root.Lstat("etc/hosts"); err == nil && fi.Mode().IsRegular() {
		if old, err = t.root.ReadFile("etc/hosts"); err != nil {
			return err
		}
	}
	t.write("/etc/hosts", 0o644, hosts(d.cfg.Lab, string(old)))
	t.write("/etc/resolv.conf", 0o644, resolvers(readFirst("/etc/resolv.conf"), readFirst("/run/systemd/resolve/resolv.conf")))
	return t.err
}

// spec is what a node's PID 1 is told of its network.
func (d *Driver) spec(n lab.Node, nat bool) spec {
	sp := spec{Interface: d.cfg.Lab.Interface, Address: netip.PrefixFrom(n.IP, d.cfg.Lab.Subnet.Bits())}
	if nat {
		sp.Gateway = d.cfg.Lab.Gateway()
	}
	return sp
}

// introduce writes the names of the lab's nodes into a node that runs, whose
// PID 1 is pid: labs.yaml may have others now than when it was started. What
// root in the node made of the file is not touched where it is no plain file.
func (d *Driver) introduce(pid int) error {
	root, err := os.OpenRoot(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return err
	}
	defer root.Close()
	fi, err := root.Lstat("etc/hosts")
	if err != nil || !fi.Mode().IsRegular() {
		return nil // the next start writes it
	}
	old, err := root.ReadFile("etc/hosts")
	if err != nil {
		return err
	}
	if now := hosts(d.cfg.Lab, string(old)); now != string(old) {
		return root.WriteFile("etc/hosts", []byte(now), 0o644)
	}
	return nil
}

const (
	hostsBegin = "# dcalab: the lab's nodes"
	hostsEnd   = "# dcalab: end"
)

// hosts gives the node's /etc/hosts: the lab's block made anew, where it was
// or at the end; every other line of old is kept.
func hosts(l *lab.Lab, old string) string {
	if old == "" {
		old = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
	}
	var before, after strings.Builder
	to := &before
	for rest := old; rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		switch line {
		case hostsBegin:
			to = &after
			// A block that somebody left without its end ends here.
			if _, behind, ok := strings.Cut("\n"+rest, "\n"+hostsEnd+"\n"); ok {
				rest = behind
			}
		case hostsEnd:
		default:
			to.WriteString(line + "\n")
		}
	}
	var block strings.Builder
	for _, n := range l.Nodes {
		names := n.Name
		if full := l.Hostname(n); full != n.Name {
			names = full + " " + n.Name
		}
		fmt.Fprintf(&block, "%s %s\n", n.IP, names)
	}
	return before.String() + hostsBegin + "\n" + block.String() + hostsEnd + "\n" + after.String()
}

// resolvers gives a resolv.conf that works outside the host's own network
// namespace: the host's name servers, but not its loopback stub.
func resolvers(host, behindStub string) string {
	pick := func(text string) (servers, rest []string) {
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) < 2 || strings.HasPrefix(f[0], "#") {
				continue
			}
			if f[0] != "nameserver" {
				rest = append(rest, strings.Join(f, " "))
				continue
			}
			addr, err := netip.ParseAddr(f[1])
			if err == nil && !addr.IsLoopback() {
				servers = append(servers, "nameserver "+f[1])
			}
		}
		return servers, rest
	}
	servers, rest := pick(host)
	if len(servers) == 0 {
		servers, rest = pick(behindStub)
	}
	if len(servers) == 0 {
		return ""
	}
	return strings.Join(append(servers, rest...), "\n") + "\n"
}

// users writes the node's own accounts: the host's system users, whose ids
// its files carry, and vagrant; no password opens any of them.
func (d *Driver) users(t *tree, key ssh.PublicKey) {
	passwd, group := accounts(readFirst("/etc/passwd"), readFirst("/etc/group"))
	t.write("/etc/passwd", 0o644, passwd)
	t.write("/etc/group", 0o644, group)
	t.write("/etc/shadow", 0o600, locked(passwd, ":*:19000:0:99999:7:::\n"))
	t.write("/etc/gshadow", 0o600, locked(group, ":*::\n"))
	for _, f := range []string{"/etc/subuid", "/etc/subgid"} {
		t.write(f, 0o644, "")
	}
	// What useradd keeps of the time before the last change: the host's hashes.
	for _, f := range []string{"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"} {
		t.write(f, 0o600, "")
	}
	t.write("/etc/sudoers", 0o440, `# Made by dcalab for this node.
Defaults env_reset
Defaults secure_path="`+searchPath+`"
root ALL=(ALL:ALL) ALL
`+User+` ALL=(ALL:ALL) NOPASSWD: ALL
`)
	home := "/home/" + User
	t.own(home, 0o755, userID)
	t.own(home+"/.ssh", 0o700, userID)
	t.write(home+"/.ssh/authorized_keys", 0o600, string(ssh.MarshalAuthorizedKey(key)))
	t.chown(home+"/.ssh/authorized_keys", userID)
	for _, f := range []string{".bashrc", ".profile", ".bash_logout"} {
		if text := readFirst("/etc/skel/" + f); text != "" {
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

// sshd writes the node's sshd configuration and a new host key, and gives the
// public half of that key.
func (d *Driver) sshd(t *tree, n lab.Node) ssh.PublicKey {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.fail(err)
		return nil
	}
	block, err := ssh.MarshalPrivateKey(priv, d.cfg.Lab.Hostname(n))
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

// services makes `service` and `systemctl` act on the node's own PID 1, and
// keeps packages from starting daemons behind its back.
func (d *Driver) services(t *tree) {
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
exec %s sandbox-service "$action" "$unit"
`
	t.write("/usr/local/sbin/service", 0o755, fmt.Sprintf(shim, "service UNIT ACTION", `$1`, `$2`, "/usr/sbin/service", initPath))
	t.write("/usr/local/bin/systemctl", 0o755, fmt.Sprintf(shim, "systemctl ACTION [--now] UNIT",
		`$(for a; do case $a in -*) ;; *) last=$a ;; esac; done; printf %s "$last")`,
		`$(case $* in *enable*--now*|*--now*enable*) echo start ;; *disable*--now*|*--now*disable*) echo stop ;; *) for a; do case $a in -*) ;; *) echo "$a"; break ;; esac; done ;; esac)`,
		"/usr/bin/systemctl", initPath))
	t.write("/usr/sbin/policy-rc.d", 0o755, "#!/bin/sh\n# Made by dcalab: PID 1 starts what this node runs.\nexit 101\n")
	t.write(initPath, 0o755, "") // the mount point of this program
}

// tree writes below the upper folder of an overlay, as if at the node's root;
// it follows no link out of there. The first error stops it.
type tree struct {
	root *os.Root
	err  error
}

// plant opens the tree of a node's disk. The caller closes its root.
func plant(d disk) (*tree, error) {
	root, err := os.OpenRoot(d.upper())
	return &tree{root: root}, err
}

func (t *tree) fail(err error) {
	if t.err == nil && err != nil {
		t.err = err
	}
}

// try runs steps up to the first error.
func (t *tree) try(steps ...func() error) {
	for _, step := range steps {
		if t.err == nil {
			t.fail(step())
		}
	}
}

func inside(path string) string { return strings.TrimPrefix(path, "/") }

// mkdir makes path as a folder, and those above it, like their twins on the
// host: in an overlay the upper folder's owner and mode are what counts.
func (t *tree) mkdir(path string) {
	if t.err != nil || path == "/" {
		return
	}
	if _, err := t.root.Lstat(inside(path)); err == nil {
		return
	}
	t.mkdir(filepath.Dir(path))
	uid, gid, mode := 0, 0, os.FileMode(0o755)
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		mode = fi.Mode()
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(st.Uid), int(st.Gid)
		}
	}
	t.try(
		func() error { return t.root.Mkdir(inside(path), 0o700) },
		func() error { return t.root.Chown(inside(path), uid, gid) },
		func() error { return t.root.Chmod(inside(path), mode) },
	)
}

// own makes path a folder of the user with that id.
func (t *tree) own(path string, mode os.FileMode, id int) {
	t.mkdir(path)
	t.chown(path, id)
	t.try(func() error { return t.root.Chmod(inside(path), mode) })
}

// hide makes path an empty folder of root's, whatever the host has there.
func (t *tree) hide(path string, mode os.FileMode) {
	t.own(path, mode, 0)
	t.try(func() error {
		f, err := t.root.Open(inside(path))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Fsetxattr(int(f.Fd()), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
			return fmt.Errorf("%s: this file system keeps no trusted extended attributes: %w", path, err)
		}
		return nil
	})
}

func (t *tree) chown(path string, id int) {
	t.try(func() error { return t.root.Chown(inside(path), id, id) })
}

func (t *tree) write(path string, mode os.FileMode, text string) {
	t.mkdir(filepath.Dir(path))
	t.try(func() error {
		// A link here is the node's own doing: it is replaced, not followed.
		if err := t.root.Remove(inside(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		f, err := t.root.OpenFile(inside(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Chmod(mode), f.Close())
	})
}

func (t *tree) json(path string, mode os.FileMode, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	t.fail(err)
	t.write(path, mode, string(text)+"\n")
}

// readFirst gives a file's text, or nothing where it cannot be read.
func readFirst(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

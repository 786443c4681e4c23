package sandbox

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// disk is a node's folder in storage. It is for root alone (diskMode): what root
// in a node makes setuid would be so for every user of the host.
type disk struct{ dir string }

func (d disk) upper() string  { return filepath.Join(d.dir, "upper") }
func (d disk) work() string   { return filepath.Join(d.dir, "work") }
func (d disk) docker() string { return filepath.Join(d.dir, "docker") }
func (d disk) log() string    { return filepath.Join(d.dir, "init.log") }

// half is the same disk while it is being made: no node's name has a dot.
func (d disk) half() disk { return disk{d.dir + halfSuffix} }

const halfSuffix = ".new"

const (
	diskMode   = 0o700
	dockerMode = 0o710
)

// exists tells whether the disk exists: its folder appears only when it is
// complete. Anybody may ask; only root can look into it.
func (d disk) exists() bool { return isFolder(d.dir) }

// folder is one to be made.
type folder struct {
	path string
	mode os.FileMode
}

func makeFolders(folders ...folder) error {
	for _, f := range folders {
		if err := os.Mkdir(f.path, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// create makes the disk of a new node. It appears under its name only when it
// is complete, so that an interruption leaves no half of a node.
func (d *Driver) create(ctx context.Context, n lab.Node) error {
	final := d.disks.disk(n.Name)
	if final.exists() {
		return nil
	}
	half := final.half()
	for _, old := range []string{half.dir, final.dir} {
		if err := removeTree(old); err != nil {
			return err
		}
	}
	if err := makeFolders(folder{half.dir, diskMode}, folder{half.upper(), 0o755}, folder{half.work(), 0o700}, folder{half.docker(), dockerMode}); err != nil {
		return err
	}
	if n.Disk > 0 {
		if err := half.giveImage(ctx, n.Disk); err != nil {
			return err
		}
	}
	t, err := openTree(half)
	if err != nil {
		return err
	}
	defer t.root.Close()
	t.frame()
	for _, p := range d.cfg.Hidden {
		t.hide(p, 0o700)
	}
	hostname := d.cfg.Lab.Hostname(n)
	writeIdentity(t, hostname, n.EngineLabels)
	key, err := d.cfg.AuthorizedKey()
	if err != nil {
		return err
	}
	writeUsers(t, key)
	hostKey := writeSSHD(t, hostname)
	writeServices(t)
	if t.err != nil {
		return fmt.Errorf("disk of %s: %w", n.Name, t.err)
	}
	if err := d.cfg.PinHostKey(hostname, hostKey); err != nil {
		return err
	}
	return os.Rename(half.dir, final.dir)
}

// refresh writes what depends on the lab as a whole and on the host's network,
// before every start of the node.
func (d *Driver) refresh(n lab.Node, nat bool) error {
	t, err := openTree(d.disks.disk(n.Name))
	if err != nil {
		return err
	}
	defer t.root.Close()
	t.frame()
	t.json(specPath, 0o644, d.net.spec(n, nat))
	old, _, err := plainText(t.root, "etc/hosts")
	if err != nil {
		return err
	}
	t.write("/etc/hosts", 0o644, hosts(d.cfg.Lab, old))
	t.write("/etc/resolv.conf", 0o644, resolvers(readText("/etc/resolv.conf"), readText("/run/systemd/resolve/resolv.conf")))
	return t.err
}

// plainText reads a file in a node; ok is false where there is none, or where
// root in the node has put something else there, a pipe for instance.
func plainText(root *os.Root, path string) (text string, ok bool, err error) {
	fi, err := root.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return "", false, nil //nolint:nilerr // absent, or not for us
	}
	data, err := root.ReadFile(path)
	return string(data), err == nil, err
}

// updateHosts writes the names of the lab's nodes into /etc/hosts of a running
// node, whose PID 1 is pid: labs.yaml may have changed since it was started.
func updateHosts(l *lab.Lab, pid int) error {
	const path = "etc/hosts"
	root, err := os.OpenRoot(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return err
	}
	defer root.Close()
	old, ok, err := plainText(root, path)
	if now := hosts(l, old); ok && now != old { // else the next start writes it
		return root.WriteFile(path, []byte(now), 0o644)
	}
	return err
}

const (
	hostsBegin = "# dcalab: the lab's nodes"
	hostsEnd   = "# dcalab: end"
)

// hosts gives the node's /etc/hosts: old, with the lab's block written again,
// where it was or at the end.
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
			// A block whose end somebody removed ends here.
			if _, behind, ok := strings.Cut("\n"+rest, "\n"+hostsEnd+"\n"); ok {
				rest = behind
			}
		case hostsEnd:
		default:
			to.WriteString(line + "\n")
		}
	}
	return before.String() + hostsBegin + "\n" + machine.HostsLines(l) + hostsEnd + "\n" + after.String()
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

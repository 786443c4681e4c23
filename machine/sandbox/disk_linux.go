package sandbox

import (
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

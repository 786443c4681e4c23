package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// needRoot is the one requirement that everything has.
func (d *Driver) needRoot() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return &trouble.Error{
		ID: "sandbox-needs-root", What: "the sandbox driver", Why: "making namespaces, mounts and links needs root",
		Next: []string{"run the same command with sudo"}, Exit: trouble.ExitRequirement,
	}
}

// program is something that nodes run from the host, and the packages that
// bring it.
type program struct{ name, debian, redhat string }

// missing lists the programs that nodes run and that are not in a search path.
func missing(path string) []program {
	// Distributions that package the docker command apart from the engine call
	// it docker-cli; where there is an engine and no command, it is one of them.
	cli := "docker.io"
	if _, err := find(path, "dockerd"); err == nil {
		cli = "docker-cli"
	}
	needed := []program{
		{"runc", "runc", "runc"},
		{"dockerd", "docker.io", "moby-engine"},
		{"docker", cli, "docker-cli"},
		{"containerd", "containerd", "containerd"},
		{"iptables", "iptables", "iptables"},
		{"sshd", "openssh-server", "openssh-server"},
		{"sudo", "sudo", "sudo"},
	}
	return slices.DeleteFunc(needed, func(p program) bool {
		_, err := find(path, p.name)
		return err == nil
	})
}

// Preflight finds everything that would stop Up on this host, and reports it
// at once.
func (d *Driver) Preflight(context.Context) error {
	if err := d.needRoot(); err != nil {
		return err
	}
	if err := d.trust(); err != nil {
		return err
	}
	return machine.Preflight(append(d.fitness(), d.checkSubnet()))
}

// find looks for a program in a search path. Nodes look in searchPath.
func find(path, name string) (string, error) {
	for _, dir := range strings.Split(path, ":") {
		file := filepath.Join(dir, name)
		if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}

// separate tells whether path is a mount point.
func separate(path string) bool {
	var st, root unix.Stat_t
	return unix.Stat(path, &st) == nil && unix.Stat("/", &root) == nil && st.Dev != root.Dev
}

// probeKernel makes one of each kind of link that a lab needs, in a network
// namespace that nobody else sees, and so loads their modules where they are.
func probeKernel() error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the namespace goes with the thread
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("new network namespace: %w", err)
			}
			bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "b"}}
			veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "v"}, PeerName: "w"}
			vxlan := &netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: "x"}, VxlanId: 1, Port: 4789}
			for _, l := range []netlink.Link{bridge, veth, vxlan} {
				if err := netlink.LinkAdd(l); err != nil {
					return fmt.Errorf("the kernel cannot make a %s link: %w", l.Type(), err)
				}
			}
			return nil
		}()
	}()
	return <-done
}

// probeOverlay mounts, for a moment and seen by nobody, the overlay of a node
// whose disk would be in dir.
func (d *Driver) probeOverlay(dir string) error {
	tmp, err := os.MkdirTemp(dir, d.probePrefix()+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	dk, target := disk{tmp}, filepath.Join(tmp, "root")
	for _, p := range []string{dk.upper(), dk.work(), target} {
		if err := os.Mkdir(p, 0o700); err != nil {
			return err
		}
	}
	if err := unix.Setxattr(dk.upper(), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return fmt.Errorf("%s: its file system keeps no trusted extended attributes: %w", dir, err)
	}
	if err := unix.Removexattr(dk.upper(), "trusted.overlay.opaque"); err != nil {
		return err
	}
	return inMountNamespace(func() error {
		if err := mountOverlay(target, "/usr", dk.upper(), dk.work()); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		return unix.Unmount(target, unix.MNT_DETACH)
	})
}

// Limits names what nodes on this host cannot do, and what they mean for it.
func (d *Driver) Limits(context.Context) []string {
	limits := append(d.lacks(), "root in a node, or in a privileged container there, is root on this machine")
	if forwards() {
		limits = append(limits, "ip_forward of this machine is switched on while labs are up, for their way out; nothing gets in to the nodes")
	}
	return limits
}

// lacks names what nodes on this host cannot do; Examine tells it before.
func (d *Driver) lacks() []string {
	var lacks []string
	if c := d.checkIPVS(); c.Verdict == machine.VerdictWarning {
		lacks = append(lacks, c.Why)
	}
	if d.onTmpfs() {
		lacks = append(lacks, d.inMemory())
	}
	return lacks
}

// haveModule tells whether a kernel module is loaded, built in, or can be loaded.
func haveModule(name string) bool {
	if _, err := os.Stat("/sys/module/" + name); err == nil {
		return true
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false
	}
	dir := "/lib/modules/" + unix.ByteSliceToString(u.Release[:])
	for _, list := range []string{"modules.builtin", "modules.dep"} {
		data, err := os.ReadFile(filepath.Join(dir, list))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
			file, _, _ := strings.Cut(sc.Text(), ":")
			if base, _, _ := strings.Cut(filepath.Base(file), "."); base == name {
				return true
			}
		}
	}
	return false
}

package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// program is one that nodes run from the host, and the packages that contain it.
type program struct{ name, debian, redhat string }

// missing lists the programs that nodes need and that are not in a search path.
func missing(path string) []program {
	// Where there is an engine and no docker command, the distribution has it in a
	// package of its own, docker-cli.
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
		{"ip", "iproute2", "iproute"},
		{"sshd", "openssh-server", "openssh-server"},
		{"sudo", "sudo", "sudo"},
	}
	return slices.DeleteFunc(needed, func(p program) bool {
		_, err := find(path, p.name)
		return err == nil
	})
}

// find looks for a program in a search path. Nodes look in pid1.SearchPath.
func find(path, name string) (string, error) {
	for _, dir := range strings.Split(path, ":") {
		file := filepath.Join(dir, name)
		if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}

// probeKernel makes one of each kind of link that a lab needs, in a network
// namespace of its own, and so loads the kernel modules where they exist.
func probeKernel() error {
	return onOwnThread(func() error {
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
	})
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
		for line := range strings.Lines(readText(filepath.Join(dir, list))) { // "kernel/net/x.ko.xz: …"
			file, _, _ := strings.Cut(line, ":")
			if base, _, _ := strings.Cut(filepath.Base(file), "."); base == name {
				return true
			}
		}
	}
	return false
}

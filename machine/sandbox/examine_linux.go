package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

var _ machine.Examiner = (*Driver)(nil)

// Examine looks at everything that the nodes need of this host. What only root
// can try is unknown to anybody else.
func (d *Driver) Examine(context.Context) []machine.Check {
	uid := os.Geteuid()
	checks := append([]machine.Check{checkRoot(uid)}, d.needs(uid == 0)...)
	return append(checks, d.checkIPVS(), d.checkMemory(d.cfg.Lab.Nodes), d.checkSubnet())
}

// fitness makes the checks that a host passes once and for all: one that did
// is not examined again by the same Driver.
func (d *Driver) fitness() []machine.Check {
	if d.fit.Load() {
		return nil
	}
	checks := d.needs(true)
	d.fit.Store(machine.Preflight(checks) == nil)
	return checks
}

// needs are the programs, the file systems and the kernel that nodes need.
func (d *Driver) needs(root bool) []machine.Check {
	return []machine.Check{
		checkPrograms(searchPath), checkRootFileSystem("/usr"), checkCgroups(), checkLinks(root), d.checkDisks(root),
	}
}

func checkRoot(uid int) machine.Check {
	c := machine.Check{ID: "root", What: "root"}
	if uid == 0 {
		return c.OK("this is root")
	}
	if _, err := exec.LookPath("sudo"); err != nil {
		return c.Failure("making namespaces, mounts and links needs root, and sudo is not installed", machine.Advise("run dcalab as root"))
	}
	return c.OK("commands that make or remove machines run themselves through sudo")
}

// forRoot is what only root can try.
func forRoot(c machine.Check) machine.Check {
	return c.Unknown("only root can try it", machine.Advise("sudo dcalab doctor"))
}

func checkPrograms(path string) machine.Check {
	c := machine.Check{ID: "programs", What: "programs"}
	var absent, debian, redhat []string
	for _, p := range missing(path) {
		absent = append(absent, p.name+" is not installed")
		debian, redhat = append(debian, p.debian), append(redhat, p.redhat)
	}
	if len(absent) == 0 {
		return c.OK("runc, Docker, containerd, iptables, sshd and sudo are installed")
	}
	// A person decides on it: the engine's package starts one on this machine.
	install := "sudo dnf install " + strings.Join(slices.Compact(redhat), " ")
	if _, err := exec.LookPath("apt-get"); err == nil {
		install = "sudo apt-get install --no-install-recommends " + strings.Join(slices.Compact(debian), " ")
	}
	return c.Failure(strings.Join(absent, "; "), machine.Advise(install))
}

// checkRootFileSystem looks whether a folder that nodes need is in the file
// system that they are shown.
func checkRootFileSystem(dir string) machine.Check {
	c := machine.Check{ID: "root-file-system", What: "root file system"}
	if separate(dir) {
		return c.Failure(dir+" is a file system of its own, and nodes see only the root file system",
			machine.Advise("use the vagrant driver here: dcalab --driver vagrant up"))
	}
	return c.OK("it holds " + dir)
}

func checkCgroups() machine.Check {
	c := machine.Check{ID: "cgroups", What: "cgroups"}
	mounted, err := hierarchies()
	if err == nil && len(mounted) == 0 {
		return c.Failure("no cgroup file system is mounted", machine.Advise("sudo mount -t cgroup2 none /sys/fs/cgroup"))
	}
	if err != nil {
		return c.Unknown(err.Error())
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return c.OK("version 2")
	}
	return c.OK(fmt.Sprintf("version 1, %d hierarchies", len(mounted)))
}

func checkLinks(root bool) machine.Check {
	c := machine.Check{ID: "links", What: "the kernel's links"}
	if !root {
		return forRoot(c)
	}
	if err := probeKernel(); err != nil {
		return c.Failure(err.Error(), machine.Command("sudo", "modprobe", "-a", "bridge", "veth", "vxlan", "br_netfilter"))
	}
	return c.OK("bridge, veth and vxlan")
}

// checkDisks looks whether nodes' disks can be overlays over this host's root,
// and where.
func (d *Driver) checkDisks(root bool) machine.Check {
	c := machine.Check{ID: "disks", What: "the nodes' disks"}
	if !root {
		return forRoot(c)
	}
	if err := d.trust(); err != nil {
		return c.Failure(err.Error(), machine.Advise("see whose it is, and what for: ls -la "+d.cfg.Dir))
	}
	dir := d.probeDir()
	err := d.probeOverlay(dir)
	if errors.Is(err, unix.ENOSPC) {
		return c.Failure("nothing can be written to "+dir+": its file system is full", machine.Advise(d.makeRoom()))
	}
	var at *fs.PathError // of a folder, not of the mount
	if errors.As(err, &at) {
		return c.Failure("nothing can be written to "+dir+": "+at.Err.Error(), machine.Advise("make it writable, or mount a disk with room at "+filepath.Dir(d.cfg.Dir)))
	}
	if err != nil {
		return c.Failure("overlay over the host's root: "+err.Error(), machine.Command("sudo", "modprobe", "overlay"))
	}
	if d.onTmpfs() || dir == probeInMemory {
		return c.Warning(d.inMemory(), machine.Advise("mount another file system (ext4, xfs, btrfs) at "+filepath.Dir(d.cfg.Dir)))
	}
	return c.OK("overlays at " + dir)
}

// inMemory says what it means that the disks are not where they should be.
func (d *Driver) inMemory() string {
	return fmt.Sprintf("the nodes' disks are in memory (%d MiB at most) and do not survive a reboot: %s cannot carry an overlay",
		d.tmpfsMiB(), filepath.Dir(d.cfg.Dir))
}

func (d *Driver) checkIPVS() machine.Check {
	c := machine.Check{ID: "ip-vs", What: "ip_vs"}
	if haveModule("ip_vs") {
		return c.OK("the kernel has it: the routing mesh and service VIPs answer")
	}
	return c.Warning("this kernel has no ip_vs: the routing mesh and service VIPs do not answer; " +
		"publish with mode=host and use --endpoint-mode dnsrr")
}

// idleNode is what a node takes with nothing but its engine, in MiB: dockerd
// 75, containerd 38.
const idleNode = 115

// checkMemory looks whether those of the nodes that do not run yet find room:
// what is available must do for their engines, or the kernel ends some of them.
func (d *Driver) checkMemory(nodes []lab.Node) machine.Check {
	c := machine.Check{ID: "memory", What: "memory"}
	free, err := available(d.meminfo)
	if err != nil {
		return c.Unknown(err.Error())
	}
	alive, err := running(d.cfg.ID)
	if err != nil {
		return c.Unknown(err.Error())
	}
	most, more := 0, 0
	for _, n := range nodes {
		most += n.Memory
		if _, ok := alive[n.Name]; !ok {
			more++
		}
	}
	if need := more * idleNode; free < need {
		return c.Failure(fmt.Sprintf("%d MiB of memory are free, and %d nodes to start take %d MiB with nothing but their engines", free, more, need),
			machine.Advise("close other programs, or take a smaller lab"))
	}
	return c.OK(fmt.Sprintf("%d MiB are free; idle nodes take about %d MiB, and all of them %d MiB at most", free, idleNode*len(nodes), most))
}

// available is the memory that new programs can have, in MiB, swap included.
func available(meminfo string) (int, error) {
	data, err := os.ReadFile(meminfo)
	if err != nil {
		return 0, err
	}
	var kib int
	for _, name := range []string{"MemAvailable:", "SwapFree:"} {
		_, after, ok := strings.Cut(string(data), name)
		var n int
		if _, err := fmt.Sscan(after, &n); !ok || err != nil {
			return 0, fmt.Errorf("%s does not tell %s", meminfo, strings.TrimSuffix(name, ":"))
		}
		kib += n
	}
	return kib >> 10, nil
}

func (d *Driver) checkSubnet() machine.Check {
	c := machine.Check{ID: "subnet", What: "subnet " + d.cfg.Lab.Subnet.String()}
	route, err := d.clash()
	switch {
	case err != nil:
		return c.Failure(err.Error())
	case route != "":
		return c.Failure(fmt.Sprintf("the lab's subnet %s is taken: %s", d.cfg.Lab.Subnet, route),
			machine.Advise("destroy the lab that has it, or give this one another subnet in a labs.yaml of its own"),
			machine.Advise("if that lab's folder is gone: dcalab prune"))
	}
	return c.OK("no route of this machine leads there")
}

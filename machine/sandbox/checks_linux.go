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
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox/pid1"
	"github.com/dcalab/dcalab/trouble"
)

// checks examines what the nodes need of this host.
type checks struct {
	id      string
	lab     *lab.Lab
	place   place
	disks   storage
	net     network
	meminfo string      // the file in which the kernel says what memory is free
	release string      // the file in which it says its own release
	fit     atomic.Bool // this host was found to lack nothing
}

// needRoot is the one requirement that everything has.
func needRoot() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return &trouble.Error{
		ID: "sandbox-needs-root", What: "the sandbox driver", Why: "creating namespaces, mounts and network interfaces needs root",
		Next: []string{"run the same command with sudo"}, Exit: trouble.ExitRequirement,
	}
}

// Preflight finds everything that would stop Up on this host, and reports it
// at once.
func (k *checks) Preflight(context.Context) error {
	if err := needRoot(); err != nil {
		return err
	}
	if err := k.place.verify(); err != nil {
		return err
	}
	return machine.Preflight(append(k.fitness(), k.checkSubnet()))
}

// Examine looks at everything that the nodes need of this host. What only root
// can try is unknown to anybody else.
func (k *checks) Examine(context.Context) []machine.Check {
	uid := os.Geteuid()
	all := append([]machine.Check{checkRoot(uid)}, k.needs(uid == 0)...)
	if k.wsl() == 1 {
		return all
	}
	all = append(all, k.checkImages(uid == 0, k.lab.Nodes)...)
	return append(all, k.checkIPVS(), k.checkMemory(k.lab.Nodes), k.checkSubnet())
}

// Limits names what nodes on this host cannot do, and what they mean for it.
func (k *checks) Limits(context.Context) []string {
	limits := append(k.lacks(), RootIsRoot)
	if forwards() {
		limits = append(limits, "IP forwarding on this machine is on while labs are up, so that nodes reach the internet; the LAN cannot reach the nodes")
	}
	return limits
}

// lacks names what nodes on this host cannot do; Examine warns of the same.
func (k *checks) lacks() []string {
	var lacks []string
	if c := k.checkIPVS(); c.Verdict == machine.VerdictWarning {
		lacks = append(lacks, c.Why)
	}
	if k.disks.inMemory() {
		lacks = append(lacks, k.disks.memoryNote())
	}
	return lacks
}

// fitness makes the checks that a host passes once and for all: one that did
// is not examined again by the same Driver.
func (k *checks) fitness() []machine.Check {
	if k.fit.Load() {
		return nil
	}
	needs := k.needs(true)
	k.fit.Store(machine.Preflight(needs) == nil)
	return needs
}

// needs are the programs, the file systems and the kernel that nodes need. In
// WSL1, which has no kernel, nothing else is worth a look.
func (k *checks) needs(root bool) []machine.Check {
	var all []machine.Check
	w := k.wsl()
	if w != 0 {
		_, err := os.Stat("/run/systemd/system")
		all = append(all, w.check(readText(k.release), err == nil))
	}
	if w == 1 {
		return all
	}
	return append(all,
		checkPrograms(pid1.SearchPath), checkRootFileSystem("/usr"), checkCgroups(), k.checkLinks(root), k.checkDisks(root))
}

func (k *checks) wsl() wsl { return wslOf(readText(k.release)) }

func checkRoot(uid int) machine.Check {
	c := machine.Check{ID: "root", What: "root"}
	if uid == 0 {
		return c.OK("this is root")
	}
	if _, err := exec.LookPath("sudo"); err != nil {
		return c.Failure("creating namespaces, mounts and network interfaces needs root, and sudo is not installed", machine.Advise("run dcalab as root"))
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
		return c.OK("runc, Docker, containerd, iptables, iproute2, sshd and sudo are installed")
	}
	// Only advice: the engine's package starts an engine on this machine.
	install := "sudo dnf install " + strings.Join(slices.Compact(redhat), " ")
	if _, err := exec.LookPath("apt-get"); err == nil {
		install = "sudo apt-get install --no-install-recommends " + strings.Join(slices.Compact(debian), " ")
	}
	return c.Failure(strings.Join(absent, "; "), machine.Advise(install))
}

// checkRootFileSystem checks that a folder that nodes need is in the file system
// that they see.
func checkRootFileSystem(dir string) machine.Check {
	c := machine.Check{ID: "root-file-system", What: "root file system"}
	if onOtherDevice(dir, "/") {
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

func (k *checks) checkLinks(root bool) machine.Check {
	c := machine.Check{ID: "links", What: "kernel network drivers"}
	if !root {
		return forRoot(c)
	}
	if err := probeKernel(); err != nil {
		return c.Failure(err.Error(), k.wsl().modules(machine.Command("sudo", "modprobe", "-a", "bridge", "veth", "vxlan", "br_netfilter"))...)
	}
	return c.OK("bridge, veth and vxlan")
}

// checkDisks checks whether the disks of nodes can be overlays over this host's
// root, and where.
func (k *checks) checkDisks(root bool) machine.Check {
	c := machine.Check{ID: "disks", What: "the nodes' disks"}
	if !root {
		return forRoot(c)
	}
	if err := k.place.verify(); err != nil {
		return c.Failure(err.Error(), machine.Advise("see whose it is, and what for: ls -la "+k.disks.dir))
	}
	dir, err := k.disks.probeDir()
	if errors.Is(err, unix.ENOSPC) {
		return c.Failure("nothing can be written to "+dir+": its file system is full", machine.Advise(k.disks.makeRoom()))
	}
	var at *fs.PathError // of a folder, not of the mount
	if errors.As(err, &at) {
		return c.Failure("nothing can be written to "+dir+": "+at.Err.Error(), machine.Advise("make it writable, or mount a disk with room at "+filepath.Dir(k.disks.dir)))
	}
	if err != nil {
		return c.Failure("overlay over the host's root: "+err.Error(), k.wsl().modules(machine.Command("sudo", "modprobe", "overlay"))...)
	}
	if k.disks.inMemory() || dir == probeInMemory {
		return c.Warning(k.disks.memoryNote(), machine.Advise("mount another file system (ext4, xfs, btrfs) at "+filepath.Dir(k.disks.dir)))
	}
	return c.OK("overlays at " + dir)
}

func (k *checks) checkIPVS() machine.Check {
	c := machine.Check{ID: "ip-vs", What: "ip_vs"}
	if haveModule("ip_vs") {
		return c.OK("the kernel has it: the routing mesh and service VIPs answer")
	}
	return c.Warning("this kernel has no ip_vs: the routing mesh and service VIPs do not answer; "+
		"publish with mode=host and use --endpoint-mode dnsrr", k.wsl().modules()...)
}

// idleNode is what a node takes with only its engine, in MiB: dockerd 75,
// containerd 38.
const idleNode = 115

// checkMemory checks that there is memory for the engines of those nodes that do
// not run yet; with less, the kernel would end some of them.
func (k *checks) checkMemory(nodes []lab.Node) machine.Check {
	c := machine.Check{ID: "memory", What: "memory"}
	free, err := available(k.meminfo)
	if err != nil {
		return c.Unknown(err.Error())
	}
	alive, err := running(k.id)
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
			append(k.wsl().memory(), machine.Advise("close other programs, or take a smaller lab"))...)
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

func (k *checks) checkSubnet() machine.Check {
	c := machine.Check{ID: "subnet", What: "subnet " + k.lab.Subnet.String()}
	route, err := k.net.conflict()
	switch {
	case err != nil:
		return c.Failure(err.Error())
	case route != "":
		return c.Failure(fmt.Sprintf("the lab's subnet %s is taken: %s", k.lab.Subnet, route),
			machine.Advise("destroy the lab that has it, or give this one another subnet in a labs.yaml of its own"),
			machine.Advise("if that lab's folder is gone: dcalab prune"))
	}
	return c.OK("no route of this machine leads there")
}

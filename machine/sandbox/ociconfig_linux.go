package sandbox

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/sandbox/pid1"
)

// config is the OCI runtime configuration of a node: as much of a machine of its
// own as namespaces give, with the capabilities that an engine needs. It protects
// the host from accidents; it does not confine root in a node, who can mount
// again what is masked here.
func (c containers) config(n lab.Node, root string) (*specs.Spec, error) {
	caps, err := capabilities()
	if err != nil {
		return nil, err
	}
	bind := func(from, to string, options ...string) specs.Mount {
		return specs.Mount{Type: "bind", Source: from, Destination: to, Options: append([]string{"rbind"}, options...)}
	}
	mounts := []specs.Mount{
		{Type: "proc", Source: "proc", Destination: "/proc"},
		{Type: "tmpfs", Source: "tmpfs", Destination: "/dev", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Type: "devpts", Source: "devpts", Destination: "/dev/pts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Type: "tmpfs", Source: "shm", Destination: "/dev/shm", Options: []string{"nosuid", "nodev", "mode=1777"}},
		{Type: "mqueue", Source: "mqueue", Destination: "/dev/mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Type: "sysfs", Source: "sysfs", Destination: "/sys", Options: []string{"nosuid", "noexec", "nodev"}},
		{Type: "cgroup", Source: "cgroup", Destination: "/sys/fs/cgroup", Options: []string{"nosuid", "noexec", "nodev", "rw"}},
		{Type: "tmpfs", Source: "run", Destination: "/run", Options: []string{"nosuid", "nodev", "mode=755"}},
		{Type: "tmpfs", Source: "tmp", Destination: "/tmp", Options: []string{"nosuid", "nodev", "mode=1777"}},
		bind(c.disks.disk(n.Name).docker(), "/var/lib/docker"),
		bind(filepath.Join(root, "..", "run"), filepath.Dir(pid1.RelaySocket)),
		bind(c.disks.programCopy(), pid1.Path, "ro"),
		// The kernel lets a user namespace (userns-remap of the engine) mount proc and
		// sysfs only where it can see an instance of each that nothing masks.
		{Type: "proc", Source: "proc", Destination: "/dev/.whole/proc"},
		{Type: "sysfs", Source: "sysfs", Destination: "/dev/.whole/sys", Options: []string{"nosuid", "noexec", "nodev"}},
	}
	if readText("/sys/module/apparmor/parameters/enabled") == "Y\n" {
		// The engine asks here whether it can confine its containers.
		mounts = append(mounts, specs.Mount{Type: "securityfs", Source: "securityfs", Destination: "/sys/kernel/security"})
	}
	memory := int64(n.Memory) << 20
	period := uint64(100_000) // µs, the kernel's default
	quota := int64(n.CPUs) * int64(period)
	var pids *specs.LinuxPids
	if limit := pidsLimit(n); hasPidsController() {
		pids = &specs.LinuxPids{Limit: &limit}
	}
	return &specs.Spec{
		Version:  "1.0.2",
		Hostname: c.lab.Hostname(n),
		Root:     &specs.Root{Path: root},
		Mounts:   mounts,
		Process: &specs.Process{
			Args: []string{pid1.Path, pid1.Command, c.id, n.Name},
			Env:  []string{"PATH=" + pid1.SearchPath, "HOME=/root", "GOMAXPROCS=2", "GOGC=50"},
			Cwd:  "/",
			Capabilities: &specs.LinuxCapabilities{
				Bounding: caps, Effective: caps, Permitted: caps,
			},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.CgroupNamespace},
			},
			CgroupsPath: c.cgroup(n.Name),
			// Switches and records of the whole machine, and everything in /proc/sys that
			// belongs to no namespace; nodes need /proc/sys/net.
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/kmsg", "/proc/latency_stats",
				"/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger", "/proc/timer_list",
				"/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/pstore", "/sys/hypervisor", "/sys/power",
			},
			ReadonlyPaths: []string{
				"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys/abi", "/proc/sys/debug", "/proc/sys/dev", "/proc/sys/fs",
				"/proc/sys/kernel", "/proc/sys/user", "/proc/sys/vm",
				"/sys/bus", "/sys/kernel/mm", "/sys/module",
			},
			Resources: &specs.LinuxResources{
				Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}},
				Memory:  &specs.LinuxMemory{Limit: &memory},
				Pids:    pids,
				CPU:     &specs.LinuxCPU{Quota: &quota, Period: &period},
			},
		},
	}, nil
}

// withheld are capabilities that concern the whole machine (its clock, kernel,
// log, audit and security modules) or make files that root cannot remove, and
// that neither an engine nor its containers need.
func withheld() []capability.Cap {
	return []capability.Cap{
		capability.CAP_AUDIT_CONTROL, capability.CAP_LINUX_IMMUTABLE, capability.CAP_MAC_ADMIN, capability.CAP_MAC_OVERRIDE,
		capability.CAP_SYSLOG, capability.CAP_SYS_BOOT, capability.CAP_SYS_MODULE, capability.CAP_SYS_RAWIO,
		capability.CAP_SYS_TIME, capability.CAP_WAKE_ALARM,
	}
}

// pidsLimit is how many processes and threads a node may have: enough for about
// ten containers per GiB beside its engine, and too few for a fork bomb to
// disturb the host.
func pidsLimit(n lab.Node) int64 { return max(2048, 2*int64(n.Memory)) }

// hasPidsController tells whether this host's cgroups can limit them.
func hasPidsController() bool {
	for line := range strings.Lines(readText("/proc/self/cgroup")) { // "8:pids:/", version 1
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && slices.Contains(strings.Split(f[1], ","), "pids") {
			return true
		}
	}
	return slices.Contains(strings.Fields(readText("/sys/fs/cgroup/cgroup.controllers")), "pids")
}

// capabilities names those of a node: what this process has (runc refuses to
// give others, and containers on CI machines lack some), without those withheld.
func capabilities() ([]string, error) {
	have, err := capability.NewPid2(0)
	if err != nil {
		return nil, err
	}
	if err := have.Load(); err != nil {
		return nil, fmt.Errorf("read this process's capabilities: %w", err)
	}
	var names []string
	for _, c := range capability.ListKnown() {
		if !slices.Contains(withheld(), c) && have.Get(capability.EFFECTIVE, c) && have.Get(capability.BOUNDING, c) {
			names = append(names, "CAP_"+strings.ToUpper(c.String()))
		}
	}
	return names, nil
}

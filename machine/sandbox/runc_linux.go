package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
)

func (d *Driver) container(node string) string { return d.cfg.ID + "-" + node }

// sweep removes whatever an earlier life of the node left outside its disk:
// runc's record, processes, cgroups and the runtime folder. A node that runs
// is switched off hard.
func (d *Driver) sweep(ctx context.Context, node string) error {
	if _, err := os.Stat(d.runtime(".runc", d.container(node))); err == nil {
		if out, err := exec.CommandContext(ctx, "runc", "--root", d.runtime(".runc"), "delete", "--force", d.container(node)).CombinedOutput(); err != nil {
			// The cgroup below is what counts; the record goes with the folder.
			fmt.Fprintf(d.cfg.Log, "runc delete %s: %v: %s\n", node, err, out)
		}
	}
	if err := reapCgroup(ctx, d.cgroup(node)); err != nil {
		return err
	}
	return errors.Join(
		d.unplug(node),
		os.RemoveAll(d.runtime(".runc", d.container(node))),
		os.RemoveAll(d.runtime(node)),
	)
}

// run starts a node's container and gives the pid of its PID 1.
func (d *Driver) run(ctx context.Context, n lab.Node) (int, error) {
	dk := d.disk(n.Name)
	bundle := d.runtime(n.Name)
	root := filepath.Join(bundle, "root")
	for _, dir := range []string{bundle, root, filepath.Join(bundle, "run")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return 0, err
		}
	}
	// PID 1 makes its socket in here, for the owner of this folder.
	if err := os.Chown(filepath.Join(bundle, "run"), d.cfg.UID, d.cfg.GID); err != nil {
		return 0, err
	}
	config, err := d.config(n, root)
	if err != nil {
		return 0, err
	}
	data, err := json.Marshal(config)
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o600); err != nil {
		return 0, err
	}
	log, err := os.OpenFile(dk.log(), os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	pidFile := filepath.Join(bundle, "pid")
	cmd := exec.CommandContext(ctx, "runc", "--root", d.runtime(".runc"), "run", "--detach",
		"--bundle", bundle, "--pid-file", pidFile, d.container(n.Name))
	cmd.Stdout, cmd.Stderr = log, log
	// A runc whose dcalab is killed must not finish its work behind the back
	// of the destroy that follows.
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := inMountNamespace(func() error {
		if err := d.mountRoot(dk, root); err != nil {
			return fmt.Errorf("the node's root: %w", err)
		}
		return cmd.Run()
	}); err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("runc run: %w: %s", err, strings.TrimSpace(readFirst(dk.log())))
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// inMountNamespace runs f on a thread that has a mount namespace of its own;
// what f mounts is seen by what f starts, by nobody else, and is gone when
// they are.
func inMountNamespace(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the runtime ends a thread that stays locked, and with
		// it the namespace.
		runtime.LockOSThread()
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("new mount namespace: %w", err)
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
				return fmt.Errorf("new mount namespace: %w", err)
			}
			return f()
		}()
	}()
	return <-done
}

// config is the OCI runtime configuration of a node: as much of a machine of
// its own as namespaces give, with the capabilities that an engine needs. Root
// in there can mount what is covered here once more: this keeps accidents from
// the host, and does not confine root.
func (d *Driver) config(n lab.Node, root string) (*specs.Spec, error) {
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
		bind(d.disk(n.Name).docker(), "/var/lib/docker"),
		bind(filepath.Join(root, "..", "run"), filepath.Dir(relaySocket)),
		bind(d.initCopy(), initPath, "ro"),
		// The kernel gives a user namespace (userns-remap of the engine) a proc and
		// a sysfs only where it can see one that nothing covers.
		{Type: "proc", Source: "proc", Destination: "/dev/.whole/proc"},
		{Type: "sysfs", Source: "sysfs", Destination: "/dev/.whole/sys", Options: []string{"nosuid", "noexec", "nodev"}},
	}
	if readFirst("/sys/module/apparmor/parameters/enabled") == "Y\n" {
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
	namespaces := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
		{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.CgroupNamespace},
	}
	return &specs.Spec{
		Version:  "1.0.2",
		Hostname: d.cfg.Lab.Hostname(n),
		Root:     &specs.Root{Path: root},
		Mounts:   mounts,
		Process: &specs.Process{
			Args: []string{initPath, initCommand, d.cfg.ID, n.Name},
			Env:  []string{"PATH=" + searchPath, "HOME=/root", "GOMAXPROCS=2", "GOGC=50"},
			Cwd:  "/",
			Capabilities: &specs.LinuxCapabilities{
				Bounding: caps, Effective: caps, Permitted: caps,
			},
		},
		Linux: &specs.Linux{
			Namespaces:  namespaces,
			CgroupsPath: d.cgroup(n.Name),
			// Switches and records of the whole machine, and what is no namespace's
			// own below /proc/sys; nodes need /proc/sys/net.
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

// withheld are the capabilities that concern the whole machine, and that
// neither an engine nor its containers need: its clock, its kernel, its log,
// its audit and its security modules; and files that root cannot remove.
func withheld() []capability.Cap {
	return []capability.Cap{
		capability.CAP_AUDIT_CONTROL, capability.CAP_LINUX_IMMUTABLE, capability.CAP_MAC_ADMIN, capability.CAP_MAC_OVERRIDE,
		capability.CAP_SYSLOG, capability.CAP_SYS_BOOT, capability.CAP_SYS_MODULE, capability.CAP_SYS_RAWIO,
		capability.CAP_SYS_TIME, capability.CAP_WAKE_ALARM,
	}
}

// pidsLimit is how many processes and threads a node may have: enough for some
// ten containers a GiB beside its engine, and for no fork bomb to be felt
// outside.
func pidsLimit(n lab.Node) int64 { return max(2048, 2*int64(n.Memory)) }

// hasPidsController tells whether this host's cgroups can limit them.
func hasPidsController() bool {
	for line := range strings.Lines(readFirst("/proc/self/cgroup")) { // "8:pids:/", version 1
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && slices.Contains(strings.Split(f[1], ","), "pids") {
			return true
		}
	}
	return slices.Contains(strings.Fields(readFirst("/sys/fs/cgroup/cgroup.controllers")), "pids")
}

// capabilities names those of a node: of what this process holds, since runc
// refuses to give others and containers on CI machines lack some, all but those
// withheld.
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

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
	"github.com/dcalab/dcalab/trouble"
)

const (
	stateRunning = "running"
	// stopTimeout is how long Docker lets the container end: longer than its nodes
	// may take to be powered off.
	stopTimeout = 60 * time.Second
)

// Init is what the container runs, below an init of Docker's: when it is told to
// end, it powers the nodes off in order.
func Init(ctx context.Context) error {
	<-ctx.Done()
	return sandbox.PowerOff(context.WithoutCancel(ctx))
}

// capabilities are those that nodes need; a container of Docker has some of them
// anyway. They are named one by one, since --privileged gives more than is needed
// and cannot be had everywhere.
func capabilities() []string {
	return []string{
		"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL",
		"LEASE", "LINUX_IMMUTABLE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "SETFCAP",
		"SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE", "SYS_TTY_CONFIG",
	}
}

// atHand makes sure that the host container runs; where there is none, it fails
// with absent.
func (d *Driver) atHand(ctx context.Context, o machine.Observer, absent error) error {
	state, err := d.state(ctx)
	if err != nil {
		return err
	}
	if state == "" {
		return absent
	}
	return d.wake(ctx, o, state)
}

// wake makes and starts the host container, as its state demands.
func (d *Driver) wake(ctx context.Context, o machine.Observer, state string) error {
	if state == stateRunning {
		return nil
	}
	if state == "" || d.cfg.Binary != "" { // else it is started as it was
		if err := d.create(ctx, o, state != ""); err != nil {
			return err
		}
	}
	_, err := d.run(ctx, "container", "start", d.container())
	return err
}

// create makes the host container, with this dcalab in it; one that exists is
// made anew only for another image, where that can be had: what nodes have is in
// the volume.
func (d *Driver) create(ctx context.Context, o machine.Observer, exists bool) error {
	arch, err := d.arch(ctx)
	if err != nil {
		return err
	}
	binary, err := d.program(arch)
	if err != nil {
		return err
	}
	image, err := d.image(ctx, o, arch)
	if err != nil && (!exists || ctx.Err() != nil) {
		return err
	}
	if exists && err == nil {
		made, err := d.run(ctx, "container", "inspect", "--format", "{{.Config.Image}}", d.container())
		if err == nil && made != image {
			_, err = d.run(ctx, "container", "rm", d.container())
		}
		if err != nil {
			return err
		}
		exists = made == image
	}
	if !exists {
		_, in, err := d.docker(ctx)
		if err == nil {
			err = d.keep(in)
		}
		if err == nil {
			_, err = d.run(ctx, d.containerArgs(image)...)
		}
		if err != nil {
			return err
		}
	}
	return d.bring(ctx, binary)
}

// containerArgs are those of docker that create the host container.
func (d *Driver) containerArgs(image string) []string {
	labels := map[string]string{"dcalab.id": d.cfg.ID, "dcalab.lab": d.cfg.Lab.Name, "dcalab.root": d.cfg.Root}
	args := []string{
		"container", "create", "--init", "--name", d.container(), "--hostname", "dcalab-" + d.cfg.Lab.Name,
		"--stop-timeout", strconv.Itoa(int(stopTimeout.Seconds())),
		"--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
		"--volume", d.container() + ":/var/lib/dcalab", "--tmpfs", "/run:rw,nosuid,nodev,mode=755",
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
		"--device-cgroup-rule", "a *:* rwm", "--cap-drop", "ALL",
	}
	for _, c := range capabilities() {
		args = append(args, "--cap-add", c)
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		args = append(args, "--label", k+"="+labels[k])
	}
	return append(args, image, dcalabInside, "host-init")
}

// Preflight finds what would stop Up.
func (d *Driver) Preflight(ctx context.Context) error { return machine.Preflight(d.Examine(ctx)) }

// Examine looks at Docker, and where the container runs, at what the sandbox
// driver needs in it.
func (d *Driver) Examine(ctx context.Context) []machine.Check {
	c := machine.Check{ID: "docker", What: "Docker"}
	version, err := d.run(ctx, "version", "--format", "{{.Server.Version}} {{.Server.Os}}/{{.Server.Arch}}")
	if err != nil {
		var fixes []machine.Fix
		for _, next := range trouble.Advice(err) {
			fixes = append(fixes, machine.Advise(next))
		}
		var t *trouble.Error
		if errors.As(err, &t) {
			return []machine.Check{c.Failure(t.Why, fixes...)}
		}
		return []machine.Check{c.Failure(err.Error())}
	}
	checks := []machine.Check{c.OK("Docker " + version)}
	inside, err := asked(ctx, d, methodExamine, func(r *result) []machine.Check { return r.Checks })
	if err != nil {
		return append(checks, machine.Check{ID: "docker-host", What: "the host container"}.Unknown(err.Error()))
	}
	return append(checks, inside...)
}

// Limits are the driver's own, and those of the kernel below Docker.
func (d *Driver) Limits(ctx context.Context) []string {
	own := []string{fmt.Sprintf("root in a node is close to root on the host of your Docker: the lab is its container %s, with most of root's rights", d.container())}
	inside, err := asked(ctx, d, methodLimits, func(r *result) []string { return r.Limits })
	if err != nil {
		return own
	}
	return append(own, inside...)
}

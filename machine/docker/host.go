package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
	"github.com/dcalab/dcalab/trouble"
)

//go:embed Dockerfile
var dockerfile []byte

const (
	stateRunning = "running"
	imageName    = "dcalab-host"
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

// host makes sure that the host container runs.
func (d *Driver) host(ctx context.Context, o machine.Observer) error {
	state, err := d.state(ctx)
	if err != nil || state == stateRunning {
		return err
	}
	if state != "" && d.cfg.Binary == "" {
		_, err := d.run(ctx, "container", "start", d.container())
		return err
	}
	image, err := d.image(ctx, o)
	if err != nil {
		return err
	}
	if state != "" {
		made, err := d.run(ctx, "container", "inspect", "--format", "{{.Config.Image}}", d.container())
		if err == nil && made == image {
			_, err = d.run(ctx, "container", "start", d.container())
			return err
		}
		if err == nil { // made by another dcalab; what nodes have is in the volume
			_, err = d.run(ctx, "container", "rm", d.container())
		}
		if err != nil {
			return err
		}
	}
	_, in, err := d.docker(ctx)
	if err != nil {
		return err
	}
	if err := d.keep(in); err != nil {
		return err
	}
	labels := map[string]string{"dcalab.id": d.cfg.ID, "dcalab.lab": d.cfg.Lab.Name, "dcalab.root": d.cfg.Root}
	args := []string{
		"container", "run", "--detach", "--init", "--name", d.container(), "--hostname", "dcalab-" + d.cfg.Lab.Name,
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
	_, err = d.run(ctx, append(args, image, dcalabInside, "host-init")...)
	return err
}

// image gives the host image for this build of dcalab, and makes it where there
// is none.
func (d *Driver) image(ctx context.Context, o machine.Observer) (string, error) {
	if d.cfg.Binary == "" {
		return "", &trouble.Error{
			ID: "docker-no-linux-build", What: "build the host image", Why: "it needs dcalab for Linux, and there is none here",
			Next: []string{"name a static Linux build of the same version: DCALAB_LINUX_BINARY=FILE"}, Exit: trouble.ExitRequirement,
		}
	}
	binary, err := os.ReadFile(d.cfg.Binary)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(binary, dockerfile...))
	name := imageName + ":" + hex.EncodeToString(sum[:6])
	_, err = d.run(ctx, "image", "inspect", "--format", "{{.Id}}", name)
	if err == nil || !isMissing(err) {
		return name, err
	}
	for _, n := range d.cfg.Lab.Nodes {
		o.Begin(n.Name, "building the host image")
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, f := range []struct {
		name string
		mode int64
		text []byte
	}{{"Dockerfile", 0o644, dockerfile}, {"dcalab", 0o755, binary}} {
		err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text))})
		if err == nil {
			_, err = w.Write(f.text)
		}
		if err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	docker, _, err := d.docker(ctx)
	if err != nil {
		return "", err
	}
	err = docker.stream(ctx, &files, d.cfg.Log, "build", "--tag", name, "-")
	var failed *cliError
	if errors.As(err, &failed) {
		lines := strings.Split(failed.said, "\n")
		err = &trouble.Error{
			ID: "docker-build", What: "build the host image", Why: lines[len(lines)-1], Exit: trouble.ExitRequirement, Err: err,
			Next: []string{"its Dockerfile takes debian:trixie-slim and packages of Debian: the first time needs the Internet", "all that it said: the lab's log"},
		}
	}
	return name, err
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

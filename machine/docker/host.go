package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
)

const (
	stateRunning = "running"
	// stopTimeout is how long Docker lets the container end: longer than its nodes
	// may take to be powered off.
	stopTimeout = 60 * time.Second
)

// Init is what the container runs, below an init of Docker's: when it is told to
// end, it shuts the nodes down gracefully.
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

// host is the lab's container, a Linux host of its own.
type host struct {
	cfg    *Config
	docker *labDocker
	mu     sync.Mutex
	way    *line // to dcalab in it; nil until it is used
}

// container is the name of the lab's, and of its volume.
func (c *Config) container() string { return "dcalab-" + c.ID }

// state tells of the host container: "running", "exited", …; empty where there
// is none.
func (h *host) state(ctx context.Context) (string, error) {
	h.mu.Lock()
	open := h.way != nil && h.way.programs.Load() > 0
	h.mu.Unlock()
	if open {
		return stateRunning, nil // else what is in it would have ended
	}
	state, err := h.docker.run(ctx, "container", "inspect", "--format", "{{.State.Status}}", h.cfg.container())
	if isMissing(err) {
		return "", nil
	}
	return state, err
}

// atHand makes sure that the host container runs; where there is none, it fails
// with absent.
func (h *host) atHand(ctx context.Context, o machine.Observer, absent error) error {
	state, err := h.state(ctx)
	if err != nil {
		return err
	}
	if state == "" {
		return absent
	}
	return h.wake(ctx, o, state)
}

// wake makes and starts the host container, as its state demands.
func (h *host) wake(ctx context.Context, o machine.Observer, state string) error {
	if state == stateRunning {
		return nil
	}
	if state == "" || h.cfg.Binary != "" { // else it is started as it was
		if err := h.create(ctx, o, state != ""); err != nil {
			return err
		}
	}
	_, err := h.docker.run(ctx, "container", "start", h.cfg.container())
	return err
}

// create makes the host container, with this dcalab in it; one that exists is
// made anew only for another image, where that can be had: what nodes have is in
// the volume.
func (h *host) create(ctx context.Context, o machine.Observer, exists bool) error {
	arch, err := h.docker.arch(ctx)
	if err != nil {
		return err
	}
	binary, err := programFor(h.cfg.Binary, arch)
	if err != nil {
		return err
	}
	image, err := h.docker.image(ctx, o, arch)
	if err != nil && (!exists || ctx.Err() != nil) {
		return err
	}
	if exists && err == nil {
		made, err := h.docker.run(ctx, "container", "inspect", "--format", "{{.Config.Image}}", h.cfg.container())
		if err == nil && made != image {
			_, err = h.docker.run(ctx, "container", "rm", h.cfg.container())
		}
		if err != nil {
			return err
		}
		exists = made == image
	}
	if !exists {
		_, in, err := h.docker.find(ctx)
		if err == nil {
			err = h.docker.keep(in)
		}
		if err == nil {
			_, err = h.docker.run(ctx, h.containerArgs(image)...)
		}
		if err != nil {
			return err
		}
	}
	return h.bring(ctx, binary)
}

// containerArgs are those of docker that create the host container.
func (h *host) containerArgs(image string) []string {
	labels := map[string]string{"dcalab.id": h.cfg.ID, "dcalab.lab": h.cfg.Lab.Name, "dcalab.root": h.cfg.Root}
	args := []string{
		"container", "create", "--init", "--name", h.cfg.container(), "--hostname", "dcalab-" + h.cfg.Lab.Name,
		"--stop-timeout", strconv.Itoa(int(stopTimeout.Seconds())),
		"--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
		"--volume", h.cfg.container() + ":/var/lib/dcalab", "--tmpfs", "/run:rw,nosuid,nodev,mode=755",
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

// bring copies dcalab into the container, which does not run.
func (h *host) bring(ctx context.Context, binary []byte) error {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	err := w.WriteHeader(&tar.Header{Name: path.Base(dcalabInside), Mode: 0o755, Size: int64(len(binary))})
	if err == nil {
		_, err = w.Write(binary)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return h.docker.stream(ctx, &files, h.cfg.Log, "container", "cp", "-", h.cfg.container()+":"+path.Dir(dcalabInside))
}

// remove removes the container and the volume, of which each may be gone already.
func (h *host) remove(ctx context.Context) error {
	h.mu.Lock()
	h.way = nil
	h.mu.Unlock()
	if _, err := h.docker.run(ctx, "container", "rm", "--force", "--volumes", h.cfg.container()); err != nil && !isMissing(err) {
		return err
	}
	if _, err := h.docker.run(ctx, "volume", "rm", "--force", h.cfg.container()); err != nil && !isMissing(err) {
		return err
	}
	var errs []error
	for _, n := range h.cfg.Lab.Nodes {
		errs = append(errs, h.cfg.ForgetHostKey(h.cfg.Lab.Hostname(n)))
	}
	return errors.Join(errs...)
}

// line is the way to dcalab in the lab's container.
func (h *host) line(ctx context.Context) (*line, error) {
	_, in, err := h.docker.find(ctx)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.way == nil {
		h.way = newLine(slices.Concat([]string{program}, in.options(), []string{"exec", "--interactive", h.cfg.container(), dcalabInside, "host-agent"}))
	}
	return h.way, nil
}

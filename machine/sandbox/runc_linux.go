package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/sandbox/pid1"
	"github.com/dcalab/dcalab/trouble"
)

// haltTimeout is how long a node may take to stop its engine and sshd before it is
// killed: longer than PID 1 gives the engine.
const haltTimeout = pid1.StopTimeout + 10*time.Second

// containers are the nodes as runc runs them. A node has a folder below
// /run/dcalab/ID: runc's bundle, and the socket to the node's sshd.
type containers struct {
	id       string
	lab      *lab.Lab
	uid, gid int // own the sockets
	log      io.Writer
	disks    storage
	net      network
}

// states is the folder in which runc keeps its records.
func (c containers) states() string { return runtimeDir(c.id, ".runc") }

func (c containers) name(node string) string { return c.id + "-" + node }

// cgroup is a node's path in every cgroup hierarchy.
func (c containers) cgroup(node string) string { return filepath.Join("/dcalab", c.id, node) }

// socket leads to the node's sshd; the node makes it when its sshd listens.
func (c containers) socket(node string) string { return Socket(c.id, node) }

// haltMark is a file that exists from when a node is told to halt until it is
// swept.
func (c containers) haltMark(node string) string { return runtimeDir(c.id, node, "halting") }

// halt shuts a node down gracefully.
func (c containers) halt(ctx context.Context, node string, pid int) error {
	// Before the signal: PID 1 may act on it long after this process has ended.
	err := os.WriteFile(c.haltMark(node), nil, 0o600)
	if err == nil || errors.Is(err, fs.ErrNotExist) { // somebody removed the node's folder
		err = end(ctx, pid, haltTimeout)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", node, err)
	}
	return c.sweep(ctx, node)
}

// PowerOff shuts down gracefully the nodes of all labs of this host. It is for
// what runs a host that is about to end.
func PowerOff(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for id := range Places() {
		g.Go(func() error {
			alive, err := running(id)
			if err != nil {
				return err
			}
			c := containers{id: id, net: network{id: id}, log: io.Discard}
			var nodes errgroup.Group
			for node, pid := range alive {
				nodes.Go(func() error { return c.halt(ctx, node, pid) })
			}
			if err := nodes.Wait(); err != nil {
				return err
			}
			return errors.Join(reapCgroup(ctx, filepath.Join("/dcalab", id)), dropCgroups(id))
		})
	}
	return g.Wait()
}

// sweep removes everything that an earlier run of the node left outside its disk:
// runc's record, processes, cgroups, its interface and its runtime folder. A node
// that runs is powered off at once.
func (c containers) sweep(ctx context.Context, node string) error {
	record := filepath.Join(c.states(), c.name(node))
	if _, err := os.Stat(record); err == nil {
		if out, err := exec.CommandContext(ctx, "runc", "--root", c.states(), "delete", "--force", c.name(node)).CombinedOutput(); err != nil {
			// What counts is the cgroup; the record is removed below.
			fmt.Fprintf(c.log, "runc delete %s: %v: %s\n", node, err, out)
		}
	}
	if err := reapCgroup(ctx, c.cgroup(node)); err != nil {
		return err
	}
	return errors.Join(c.net.detach(node), os.RemoveAll(record), os.RemoveAll(runtimeDir(c.id, node)))
}

// run starts a node's container and gives the pid of its PID 1.
func (c containers) run(ctx context.Context, n lab.Node) (int, error) {
	dk := c.disks.disk(n.Name)
	bundle := runtimeDir(c.id, n.Name)
	root := filepath.Join(bundle, "root")
	for _, dir := range []string{bundle, root, filepath.Join(bundle, "run")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return 0, err
		}
	}
	// PID 1 makes its socket in here, for the owner of this folder.
	if err := os.Chown(filepath.Join(bundle, "run"), c.uid, c.gid); err != nil {
		return 0, err
	}
	config, err := c.config(n, root)
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
	cmd := exec.CommandContext(ctx, "runc", "--root", c.states(), "run", "--detach",
		"--bundle", bundle, "--pid-file", pidFile, c.name(n.Name))
	cmd.Stdout, cmd.Stderr = log, log
	// When dcalab is killed, runc must not go on while a destroy follows.
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := inMountNamespace(func() error {
		if err := dk.mountImage(ctx); err != nil {
			return err
		}
		if err := mountRoot(dk, c.disks.etcCopy(), root); err != nil {
			return fmt.Errorf("the node's root: %w", err)
		}
		return cmd.Run()
	}); err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("runc run: %w: %s", err, strings.TrimSpace(readText(dk.log())))
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// inMountNamespace runs f in a mount namespace of its own: only what f starts
// sees what f mounts, and the mounts end with these processes.
func inMountNamespace(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("new mount namespace: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
			return fmt.Errorf("new mount namespace: %w", err)
		}
		return f()
	})
}

// await waits until the sshd of the node whose PID 1 is pid answers.
func (c containers) await(ctx context.Context, node string, pid int) error {
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	log := c.disks.disk(node).log()
	for {
		if _, err := os.Stat(c.socket(node)); err == nil {
			return nil
		}
		if err := pause(waiting, 5*time.Millisecond); err != nil {
			if ctx.Err() == nil { // the minute is over, and ctx is not
				return &trouble.Error{
					ID: "sshd-silent", Where: node, What: "boot", Why: "its sshd did not answer within a minute",
					Next: []string{"read the node's log: " + log},
				}
			}
			return err
		}
		if ended(pid) {
			return &trouble.Error{
				ID: "node-died", Where: node, What: "boot", Why: lastLine(log),
				Next: []string{"read the node's log: " + log},
			}
		}
	}
}

func lastLine(path string) string {
	lines := strings.Split(strings.TrimSpace(readText(path)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return "it ended at once: " + last
	}
	return "it ended at once"
}

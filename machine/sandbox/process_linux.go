package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine/sandbox/pid1"
)

// running finds the PID 1 of every running node of the lab with that id, by
// its command line, "… sandbox-init ID NODE", in the node's cgroup and in a PID
// namespace of its own.
func running(id string) (map[string]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue // ended meanwhile
		}
		args := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
		if len(args) == 4 && args[1] == pid1.Command && args[2] == id && inCgroup(pid, id, args[3]) && firstInNamespace(pid) {
			out[args[3]] = pid
		}
	}
	return out, nil
}

// inCgroup tells whether a process is in the cgroup of the lab's node. Anybody
// can fake a command line, but not that.
func inCgroup(pid int, id, node string) bool {
	if node == "" || strings.ContainsAny(node, "/.") {
		return false
	}
	text := readText(fmt.Sprintf("/proc/%d/cgroup", pid))
	want := "/dcalab/" + id + "/" + node
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasSuffix(line, ":"+want) || strings.Contains(line, ":"+want+"/") {
			return true
		}
	}
	return false
}

// firstInNamespace tells whether a process is PID 1 of its own namespace.
func firstInNamespace(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(ids)
			return len(f) > 0 && f[len(f)-1] == "1"
		}
	}
	return false
}

// pause waits, or ends early with ctx.
func pause(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// ended tells whether a process is gone.
func ended(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

// end asks a process to end, again and again, and kills it after the timeout.
func end(ctx context.Context, pid int, timeout time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for deadline := time.Now().Add(timeout); ; {
		sig := unix.SIGTERM
		if time.Now().After(deadline) {
			sig = unix.SIGKILL
		}
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); errors.Is(err, unix.ESRCH) {
			return nil
		} else if err != nil {
			return err
		}
		// A pidfd becomes readable when its process ends.
		for range 20 {
			if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100); err == nil && n > 0 {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A node's cgroup path, the same in every hierarchy.
func (d *Driver) cgroup(node string) string {
	return filepath.Join("/", "dcalab", d.cfg.ID, node)
}

// hierarchies lists where cgroup file systems are mounted on this host.
func hierarchies() ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range mounts(string(info)) {
		if m.kind == "cgroup" || m.kind == "cgroup2" {
			out = append(out, m.point)
		}
	}
	return out, nil
}

// reapCgroup kills every process below a cgroup of ours and removes it, in
// every hierarchy. It is what makes sure that nothing of a node stays behind,
// whatever became of runc.
func reapCgroup(ctx context.Context, path string) error {
	if path == "/" || !strings.HasPrefix(path, "/dcalab/") {
		return fmt.Errorf("cgroup %s is not of this program's making", path)
	}
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	// A process that is killed while the disk writes what it had to is gone only
	// when that is done.
	const patience = time.Minute
	deadline := time.Now().Add(patience)
	for {
		left := ""
		for _, root := range roots {
			dir := filepath.Join(root, path)
			if _, err := os.Stat(dir); err == nil && !clearCgroup(dir) {
				left = dir
			}
		}
		if left == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cgroup %s still holds processes %s after they were killed", left, patience)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// clearCgroup makes one attempt on one hierarchy and tells whether dir is gone.
func clearCgroup(dir string) bool {
	var dirs []string
	_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, p)
		}
		return nil
	})
	slices.Reverse(dirs) // children first
	for _, p := range dirs {
		procs, _ := os.ReadFile(filepath.Join(p, "cgroup.procs"))
		for pid := range strings.FieldsSeq(string(procs)) {
			if n, err := strconv.Atoi(pid); err == nil && n > 1 {
				_ = unix.Kill(n, unix.SIGKILL)
			}
		}
		_ = unix.Rmdir(p)
	}
	_, err := os.Stat(dir)
	return errors.Is(err, os.ErrNotExist)
}

// dropCgroups removes the cgroup of the lab with that id, or with none given
// that of all labs, where it is empty.
func dropCgroups(id string) error {
	roots, err := hierarchies()
	for _, root := range roots {
		_ = unix.Rmdir(filepath.Join(root, "dcalab", id)) // not there, or in use by others
	}
	return err
}

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
		if len(args) == 4 && args[1] == initCommand && args[2] == id && inCgroup(pid, id, args[3]) && firstInNamespace(pid) {
			out[args[3]] = pid
		}
	}
	return out, nil
}

// inCgroup tells whether a process is in the cgroup of the lab's node: a
// command line anybody can have, but not that.
func inCgroup(pid int, id, node string) bool {
	if node == "" || strings.ContainsAny(node, "/.") {
		return false
	}
	text := readFirst(fmt.Sprintf("/proc/%d/cgroup", pid))
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

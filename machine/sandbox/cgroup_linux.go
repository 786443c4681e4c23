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

// hierarchies lists where cgroup file systems are mounted on this host.
func hierarchies() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(mounts)) { // "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0"
		if f := strings.Fields(line); len(f) > 2 && (f[2] == "cgroup" || f[2] == "cgroup2") {
			out = append(out, f[1])
		}
	}
	return out, nil
}

// reapCgroup kills every process in a cgroup of ours and removes it, in every
// hierarchy. So nothing of a node stays behind, whatever runc did.
func reapCgroup(ctx context.Context, path string) error {
	if path == "/" || !strings.HasPrefix(path, "/dcalab/") {
		return fmt.Errorf("cgroup %s is not of this program's making", path)
	}
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	// A killed process that waits for the disk ends only when the write is done.
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

// clearCgroup makes one attempt in one hierarchy and tells whether dir is gone.
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

// dropCgroups removes the cgroup of the lab with that id, or, for an empty id,
// that of all labs, where it is empty.
func dropCgroups(id string) error {
	roots, err := hierarchies()
	for _, root := range roots {
		_ = unix.Rmdir(filepath.Join(root, "dcalab", id)) // not there, or in use by others
	}
	return err
}

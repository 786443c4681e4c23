//go:build linux || darwin

package vagrant

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func freeDisk(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free disk at %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

func hyperVAdmin() bool { return false }

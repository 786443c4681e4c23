package vagrant

import "golang.org/x/sys/unix"

// memoryOf cannot tell what is available: macOS uses all memory at all times,
// and gives it back under pressure.
func memoryOf() (available, total uint64, err error) {
	total, err = unix.SysctlUint64("hw.memsize")
	return 0, total, err
}

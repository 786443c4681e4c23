//go:build !linux

package lab

// MountsBelow finds none: only the sandbox driver mounts, and only on Linux.
func MountsBelow(string) ([]string, error) { return nil, nil }

//go:build !linux

package lab

// mountsBelow finds none: only the sandbox driver mounts, and only on Linux.
func mountsBelow(string) ([]string, error) { return nil, nil }

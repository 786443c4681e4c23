package session_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine/machinetest"
	"github.com/dcalab/dcalab/machine/sandbox"
)

func TestMain(m *testing.M) {
	if status, done := machinetest.Isolate(); done {
		os.Exit(status)
	}
	status, err := onGroundOfItsOwn(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// onGroundOfItsOwn runs the tests with another folder in place of the one in
// which root keeps the labs of this machine. The mount goes with the tests'
// namespace.
func onGroundOfItsOwn(m *testing.M) (int, error) {
	if os.Geteuid() != 0 {
		return m.Run(), nil
	}
	own, release, err := machinetest.Ground(sandbox.Ground)
	if release != nil {
		defer func() { _ = release() }()
	}
	if err != nil {
		return 1, err
	}
	if err := unix.Mount(own, sandbox.Ground, "", unix.MS_BIND, ""); err != nil {
		return 1, fmt.Errorf("a ground of the tests' own: %w", err)
	}
	defer func() { _ = unix.Unmount(sandbox.Ground, unix.MNT_DETACH) }()
	return m.Run(), nil
}

package session_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine/machinetest"
	"github.com/dcalab/dcalab/machine/sandbox"
)

// TestMain is also PID 1 of the nodes, and what `service` calls in them: the
// program that opens a lab is the one that runs in its nodes.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "sandbox-init" {
		exit(sandbox.Init(os.Args[2], os.Args[3]))
	}
	if len(os.Args) == 4 && os.Args[1] == "sandbox-service" {
		state, err := sandbox.Service(os.Args[2], os.Args[3])
		fmt.Println(state)
		if err == nil && state != "active" && os.Args[2] == "status" {
			os.Exit(3)
		}
		exit(err)
	}
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

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

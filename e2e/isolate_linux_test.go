package e2e

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine/machinetest"
	"github.com/dcalab/dcalab/machine/sandbox"
)

// isolate moves the calling goroutine, and whatever it starts from now on,
// into a new network namespace, with a /run and a /var/lib/dcalab of its own:
// dcalab prune must find no lab but the test's. The thread is never unlocked,
// so that it ends with the goroutine, and the namespaces with their last
// process. release removes what was made for it.
func isolate() (release func(), err error) {
	disks, remove, err := machinetest.Ground(sandbox.Ground)
	if remove != nil {
		release = func() { _ = remove() }
	}
	if err != nil {
		return release, err
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return release, err
	}
	err = errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"),
		unix.Mount(disks, sandbox.Ground, "", unix.MS_BIND, ""),
	)
	if err != nil {
		return release, fmt.Errorf("folders of the test's own: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return release, err
	}
	return release, netlink.LinkSetUp(lo)
}

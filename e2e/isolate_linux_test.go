package e2e

import (
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// isolate moves the calling goroutine, and whatever it starts from now on,
// into a new network namespace. The thread is never unlocked, so that it ends
// with the goroutine, and the namespace with its last process.
func isolate() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

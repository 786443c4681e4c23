package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const ground = "/var/lib/dcalab"

// isolate moves the calling goroutine, and whatever it starts from now on,
// into a new network namespace, with a /run and a /var/lib/dcalab of its own:
// dcalab prune must find no lab but the test's. The thread is never unlocked,
// so that it ends with the goroutine, and the namespaces with their last
// process. release removes what was made for it.
func isolate() (release func(), err error) {
	disks, err := os.MkdirTemp("", "dcalab-ground-*")
	if err != nil {
		return nil, err
	}
	release = func() { _ = os.RemoveAll(disks) }
	// The host's folder must stay as long as another is mounted on it: a rmdir
	// there, as the last lab of the host makes it, would take the mount away.
	if err := os.MkdirAll(ground, 0o755); err != nil {
		return release, err
	}
	host, err := os.OpenRoot(ground) // by path it is the test's own from here on
	if err != nil {
		return release, err
	}
	held := ".test-" + filepath.Base(disks)
	release = func() { _ = errors.Join(os.RemoveAll(disks), host.Remove(held), host.Close()) }
	if err := host.WriteFile(held, nil, 0o600); err != nil {
		return release, err
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return release, err
	}
	err = errors.Join(
		os.Chmod(disks, 0o755),
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"),
		unix.Mount(disks, ground, "", unix.MS_BIND, ""),
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

package machinetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const isolated = "DCALAB_TEST_ISOLATED"

// Ground makes a folder that is to be mounted over path, where root keeps the
// labs of this machine: tests must find no lab but their own there. The folder
// below must stay as long as another is mounted on it, since a rmdir of it, as
// the last lab of this machine makes it, would take the mount away; so a file is
// kept in it. release removes both, from whichever namespace it is called, and
// path too where nothing is left in it.
func Ground(path string) (own string, release func() error, err error) {
	own, err = os.MkdirTemp("", "dcalab-ground-*")
	if err != nil {
		return "", nil, err
	}
	release = func() error { return os.RemoveAll(own) }
	// Owned by root, and open to others, as the driver requires.
	if err := os.Chmod(own, 0o755); err != nil { //nolint:gosec // a folder
		return own, release, err
	}
	above, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return own, release, err
	}
	folder := filepath.Base(path)
	held := filepath.Join(folder, ".test-"+filepath.Base(own))
	release = func() error {
		err := errors.Join(os.RemoveAll(own), above.Remove(held))
		_ = above.Remove(folder) // refused while others hold it
		return errors.Join(err, above.Close())
	}
	// Another test may remove the folder, as its last, before the file is in it.
	for range 10 {
		if err = above.MkdirAll(folder, 0o755); err == nil {
			err = above.WriteFile(held, nil, 0o600)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return own, release, err
}

// Isolate runs the calling test program again in a network namespace of its
// own, which has a loopback interface and no way out, and with a /run of its
// own, and gives its exit status. Inside it, or when the user is not root, it
// returns done=false and the caller goes on. It is for TestMain, so that no
// lab of a test can ever reach the real network, and none meets another's.
func Isolate() (status int, done bool) {
	if os.Geteuid() != 0 {
		return 0, false
	}
	if os.Getenv(isolated) != "" {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err == nil && os.Getenv(isolated) == "new" {
			// Where the host forwards, so does a new network namespace.
			err = errors.Join(unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"),
				os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0))
			// What the tests start goes on in here.
			os.Setenv(isolated, "entered")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "isolate:", err)
			return 1, true
		}
		return 0, false
	}
	// The thread stays locked, since Pdeathsig is bound to it.
	runtime.LockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), isolated+"=new")
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode(), true
	case err != nil:
		fmt.Fprintln(os.Stderr, "isolate:", err)
		return 1, true
	}
	return 0, true
}

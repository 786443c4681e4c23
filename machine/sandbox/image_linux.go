package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox/pid1"
)

// A node whose disk has a size (disk, in labs.yaml) has its /var/lib/docker in a file
// system of its own: ext4, in a sparse file beside the node's other folders. It is
// mounted at the folder docker of the node's disk, only in mount namespaces: that of
// the node, and for a moment that of a copy. The kernel lets go of the loop device with
// the last of these mounts (autoclear), whatever has happened to the node or to dcalab.

// image is the file; there is none where the engine's data is in a plain folder.
func (d disk) image() string { return filepath.Join(d.dir, "docker.img") }

func (d disk) hasImage() bool {
	fi, err := os.Lstat(d.image())
	return err == nil && fi.Mode().IsRegular()
}

// imagePrograms are those that images take.
func imagePrograms() []program {
	return []program{{"mkfs.ext4", "e2fsprogs", "e2fsprogs"}, {"mount", "mount", "util-linux"}}
}

// makeImage makes an empty file system of a size in MiB.
func makeImage(ctx context.Context, path string, mib int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(int64(mib)<<20), f.Close()); err != nil {
		return err
	}
	// Nothing is kept for root, which engines are: a share of it is what df shows.
	return tool(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", path)
}

// tool runs a program of the host, and gives what it says where it fails.
func tool(ctx context.Context, name string, args ...string) error {
	path, err := find(pid1.SearchPath, name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	// When dcalab is killed, it must not go on. Pdeathsig is bound to the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		last := strings.TrimSpace(string(out))
		return fmt.Errorf("%w: %s", err, last[strings.LastIndex(last, "\n")+1:])
	}
	return nil
}

// mountImage mounts the disk's image, where it has one, at its folder docker. The
// caller is in a mount namespace of its own.
func (d disk) mountImage(ctx context.Context) error {
	if !d.hasImage() {
		return nil
	}
	if err := awaitUnused(ctx, d.image()); err != nil {
		return err
	}
	if err := tool(ctx, "mount", "-n", "-t", "ext4", "-o", "loop", d.image(), d.docker()); err != nil {
		return fmt.Errorf("mount %s: %w", d.image(), err)
	}
	return nil
}

// unusedTimeout is how long the kernel may take to write what an ended node has left,
// and to let go of the loop device.
const unusedTimeout = time.Minute

// awaitUnused waits until nobody has a file open for writing. The mount of a node that
// has just ended may still be on its way down: a second loop device over the same
// file would write at the same time.
func awaitUnused(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, unusedTimeout)
	defer cancel()
	for {
		// A lease on reading is refused as long as there is a writer (fcntl(2)); it ends
		// with the file.
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
		if !errors.Is(err, unix.EAGAIN) {
			return nil // granted, or this file system knows no leases
		}
		if err := pause(ctx, look); err != nil {
			return fmt.Errorf("%s is still in use: %w", path, err)
		}
	}
}

// withImages runs f where the images of disks are mounted.
func withImages(ctx context.Context, read, write disk, f func() error) error {
	if !read.hasImage() && !write.hasImage() {
		return f()
	}
	return inMountNamespace(func() (err error) {
		for _, d := range []disk{read, write} { // one whose node has crashed can be read only once it may be mended
			if !d.hasImage() {
				continue
			}
			if err := d.mountImage(ctx); err != nil {
				return err
			}
			// Not later: what is in it is on the host's disk then.
			defer func() { err = errors.Join(err, unix.Unmount(d.docker(), 0)) }()
		}
		return f()
	})
}

// giveImage makes the image of a node's disk, whose folder docker exists.
func (d disk) giveImage(ctx context.Context, mib int) error {
	if err := makeImage(ctx, d.image(), mib); err != nil {
		return fmt.Errorf("make the file system of its disk: %w", err)
	}
	return withImages(ctx, disk{}, d, func() error {
		return errors.Join(os.Remove(filepath.Join(d.docker(), "lost+found")), os.Chmod(d.docker(), dockerMode))
	})
}

// checkImages checks, where some of the nodes have file systems of their own, that they
// can, and that there is room for those that are still to be made.
func (k *checks) checkImages(root bool, nodes []lab.Node) []machine.Check {
	sized := slices.DeleteFunc(slices.Clone(nodes), func(n lab.Node) bool { return n.Disk == 0 && !k.disks.disk(n.Name).hasImage() })
	if len(sized) == 0 {
		return nil
	}
	c := machine.Check{ID: "disk-images", What: "disks with a size"}
	if !root {
		return []machine.Check{forRoot(c)}
	}
	return []machine.Check{k.checkSized(c, sized)}
}

func (k *checks) checkSized(c machine.Check, nodes []lab.Node) machine.Check {
	want := int64(0)
	for _, n := range nodes {
		if !k.disks.disk(n.Name).exists() {
			want += int64(n.Disk) << 20
		}
	}
	without := machine.Advise("or take disk out of labs.yaml: engines then share this machine's file system")
	for _, p := range imagePrograms() {
		if _, err := find(pid1.SearchPath, p.name); err != nil {
			return c.Failure(p.name+" is not installed", machine.Advise("install it: it is in the package "+p.debian), without)
		}
	}
	dir, _ := k.disks.probeDir() // which is a check of its own
	if err := k.disks.probeImage(dir); err != nil {
		return c.Failure("a file cannot be mounted with a loop device: "+err.Error(), append(k.wsl().modules(machine.Command("sudo", "modprobe", "loop")), without)...)
	}
	var system unix.Statfs_t
	if err := unix.Statfs(dir, &system); err != nil {
		return c.Unknown(err.Error())
	}
	if free := int64(system.Bavail) * system.Bsize; want > free {
		return c.Failure(fmt.Sprintf("the disks that labs.yaml gives the nodes may grow to %s, and %s are free at %s", size(want), size(free), dir),
			machine.Advise("give the nodes smaller disks in labs.yaml"), machine.Advise(k.disks.makeRoom()))
	}
	return c.OK("file systems in files at " + dir + ", by loop devices")
}

// probeImage makes and mounts a small image in dir, for a moment and visible to nobody.
func (s storage) probeImage(dir string) error {
	tmp, err := os.MkdirTemp(dir, s.probePrefix()+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	dk := disk{tmp}
	if err := os.Mkdir(dk.docker(), 0o700); err != nil {
		return err
	}
	return dk.giveImage(context.Background(), 1)
}

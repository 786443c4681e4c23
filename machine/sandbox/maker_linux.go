package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/sandbox/pid1"
)

// maker makes the disks of nodes, and writes on them what is of this lab and this
// machine.
type maker struct {
	cfg   Config
	disks storage
	net   network
}

// create makes the disk of a new node. It appears under its name only when it
// is complete, so that an interruption leaves no half of a node.
func (m maker) create(ctx context.Context, n lab.Node) error {
	final := m.disks.disk(n.Name)
	if final.exists() {
		return nil
	}
	half := final.half()
	for _, old := range []string{half.dir, final.dir} {
		if err := removeTree(old); err != nil {
			return err
		}
	}
	if err := makeFolders(folder{half.dir, diskMode}, folder{half.upper(), 0o755}, folder{half.work(), 0o700}, folder{half.docker(), dockerMode}); err != nil {
		return err
	}
	if n.Disk > 0 {
		if err := half.giveImage(ctx, n.Disk); err != nil {
			return err
		}
	}
	t, err := openTree(half)
	if err != nil {
		return err
	}
	defer t.root.Close()
	t.frame()
	for _, p := range m.cfg.Hidden {
		t.hide(p, 0o700)
	}
	hostname := m.cfg.Lab.Hostname(n)
	writeIdentity(t, hostname, n.EngineLabels)
	key, err := m.cfg.AuthorizedKey()
	if err != nil {
		return err
	}
	writeUsers(t, key)
	hostKey := writeSSHD(t, hostname)
	writeServices(t)
	if t.err != nil {
		return fmt.Errorf("disk of %s: %w", n.Name, t.err)
	}
	if err := m.cfg.PinHostKey(hostname, hostKey); err != nil {
		return err
	}
	return os.Rename(half.dir, final.dir)
}

// refresh writes what depends on the lab as a whole and on the host's network,
// before every start of the node.
func (m maker) refresh(n lab.Node, nat bool) error {
	t, err := openTree(m.disks.disk(n.Name))
	if err != nil {
		return err
	}
	defer t.root.Close()
	t.frame()
	t.json(pid1.SpecPath, 0o644, m.net.spec(n, nat))
	old, _, err := plainText(t.root, "etc/hosts")
	if err != nil {
		return err
	}
	t.write("/etc/hosts", 0o644, hosts(m.cfg.Lab, old))
	t.write("/etc/resolv.conf", 0o644, resolvers(readText("/etc/resolv.conf"), readText("/run/systemd/resolve/resolv.conf")))
	return t.err
}

// adopt writes on disks that were made elsewhere what is of this lab and this machine.
func (m maker) adopt(folder string, nodes []string, key ssh.PublicKey) error {
	for _, n := range nodes {
		t, err := openTree(disk{filepath.Join(folder, n)})
		if err != nil {
			return err
		}
		for _, p := range m.cfg.Hidden { // of this machine, and not of the other
			t.hide(p, 0o700)
		}
		letIn(t, key)
		if err := errors.Join(t.err, t.root.Close()); err != nil {
			return fmt.Errorf("%s: let its user in: %w", n, err)
		}
	}
	return nil
}

// Package sandbox runs the nodes of a lab without a hypervisor: each node is
// a container run by runc whose root shows the programs of the host, under
// overlays, and nothing else of it, with its own namespaces, cgroups, users,
// OpenSSH sshd and Docker Engine. It needs Linux and root, but no image, no
// download and no running Docker.
//
// The state of a node is in the kernel and on the disk, never in a record of
// ours: it runs while its PID 1 does (found by its command line), it exists while
// its folder does, and all its processes are in its cgroup. So every method works
// after any interruption.
//
// What belongs to a lab with id I:
//
//	DIR/                 root's own folder of the lab, /var/lib/dcalab/I
//	DIR/lab.json         whose lab it is, and where
//	DIR/NODE/            the node's disk: upper, work, docker (its /var/lib/docker), and
//	                     docker.img, the file system at docker, where it has one of its own
//	DIR/.snapshots/      copies of all disks, and what they are
//	DIR/.init            the copy of this program that is PID 1 of the nodes
//	/run/dcalab/I/       runc's state, and per node a bundle and the socket to its sshd
//	/run/dcalab/I/.etc   what nodes see of the host's /etc
//	/dcalab/I/NODE       the node's cgroup (in every hierarchy)
//	dcab-I (9 digits)    the bridge; its address is the gateway of the lab
//	DCALAB-I             iptables chains (filter and, with an uplink, nat)
//
// The overlay is mounted in a mount namespace that only the node's processes
// hold, and the veth pair ends in the node's network namespace: both end with the
// node's last process, whatever happened to dcalab.
package sandbox

import (
	"io"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
)

// Name is the name of this driver in labs.yaml.
const Name = lab.DriverSandbox

// User is who logs in to a node: the name that Vagrant's boxes use, so that
// the class notes hold word for word.
const User = "vagrant"

// Ground is where root keeps the disks of all labs of this machine.
const Ground = "/var/lib/dcalab"

// Dir is the folder of root's for the lab with that id.
func Dir(id string) string { return filepath.Join(Ground, id) }

// Place is what root remembers of a lab, in Ground/ID/lab.json: whose it is and
// where. Anybody may read it.
type Place struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
	Lab    string `json:"lab"`
	UID    int    `json:"uid"`
	// Root is the folder whose .dcalab holds the lab's state.
	Root string `json:"root"`
	// Config is its labs.yaml; empty for the built-in one.
	Config  string    `json:"config,omitempty"`
	Subnet  string    `json:"subnet"`
	Created time.Time `json:"created"`
}

// Config is what a Driver is made of.
type Config struct {
	Lab *lab.Lab
	// ID is unique to this lab on this machine: 12 hex digits.
	ID string
	// Dir is the folder of root's that holds the nodes' disks, Ground/ID. It is
	// created when needed and removed with the last node.
	Dir string
	// Root is the folder whose .dcalab holds the lab's state, and Config its
	// labs.yaml, empty for the built-in one: what root remembers of the lab.
	Root, Config string
	// Executable is the path of the program that is PID 1 of the nodes, as package pid1
	// has it: dcalab itself.
	Executable string
	// AuthorizedKey gives the public key that may log in as User; it is asked
	// when a node is created. IdentityFile is the path of its private half.
	AuthorizedKey func() (ssh.PublicKey, error)
	IdentityFile  string
	// PinHostKey is told the host key of a node when it is created, and
	// ForgetHostKey when it is destroyed. The host is the node's HostKeyAlias.
	PinHostKey    func(host string, key ssh.PublicKey) error
	ForgetHostKey func(host string) error
	// UID and GID own the sockets that lead to the nodes' sshd; whoever they
	// are needs no root to talk to a running lab.
	UID, GID int
	// Hidden are paths of the host, beside the usual ones, that nodes must not
	// see: the state folder of the lab, which holds its private key.
	Hidden []string
	// Log gets the commands that are run and what they say. May be nil.
	Log io.Writer
}

// RootIsRoot is the limit that remains on every kernel.
const RootIsRoot = "root in a node, or in a privileged container there, is root on this machine"

// Socket is the path of the unix socket that leads to a node's sshd.
func Socket(id, node string) string { return "/run/dcalab/" + id + "/" + node + "/run/ssh.sock" }

// Package drivers is the register of machine drivers: which there are, which
// of them this machine can run, and how one is made for a lab. It is the only
// place that goes by their names.
package drivers

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/docker"
	"github.com/dcalab/dcalab/machine/sandbox"
	"github.com/dcalab/dcalab/machine/vagrant"
	"github.com/dcalab/dcalab/runbook"
)

// Config is what a driver is made of, whichever it is.
type Config struct {
	Lab *lab.Lab
	// ID is unique to the lab on this machine; Provider runs its machines, where
	// its driver has providers.
	ID, Provider string
	// ProviderOrigin is what names the lab's provider in place of labs.yaml ("flag
	// --provider"); empty where nothing does.
	ProviderOrigin string
	State          *lab.State
	// Place is where the lab is kept, without links in it.
	Place lab.Place
	// Owner is the user behind sudo, UID the one whom the lab belongs to.
	Owner lab.Owner
	UID   int
	// Template of the Vagrantfile.
	Template string
	Getenv   func(string) string
	// Log gets what the driver runs and what that says, while the lab is locked;
	// ReadLog also what it says when it only reads.
	Log, ReadLog io.Writer
}

// Kind is a driver that there is.
type Kind struct {
	// Name is its name in labs.yaml and in a lab's record.
	Name string
	// Usable tells whether this machine can run it for a lab, and why, or why
	// not. It starts no program and costs milliseconds.
	Usable func(getenv func(string) string, l *lab.Lab) (ok bool, why string)
	// Provider picks what runs the machines of a lab that is about to be made;
	// nil where the driver has no providers, empty where there is none here.
	Provider func(getenv func(string) string, l *lab.Lab) string
	// Knows tells whether the driver itself remembers a lab, beside the index,
	// and where it is; nil where it keeps no record of its own. Only what was made by
	// the user with that uid counts.
	Knows func(id, name string, uid int) (lab.Place, bool)
	// Remembered are all labs that the driver remembers, whoever's they are; nil
	// where it keeps no record of its own.
	Remembered func() []Remembered
	// Checks are what a person types to look whether this machine can run it.
	Checks runbook.Runbook
	// New makes the driver for one lab. It changes nothing. Of one that no folder
	// holds any more there is no State: it can be looked at and destroyed.
	New func(Config) (machine.Driver, error)
}

// Remembered is a lab as its driver remembers it.
type Remembered struct {
	lab.Place
	Driver string
	// UID of the user who made it; -1 where that is not known.
	UID    int
	Subnet string
	// Created is zero where that is not known.
	Created time.Time
}

// AllRemembered are the labs that any driver remembers, in no order.
func AllRemembered() []Remembered {
	var out []Remembered
	for _, k := range All() {
		if k.Remembered != nil {
			out = append(out, k.Remembered()...)
		}
	}
	return out
}

// All gives the drivers, the one first that auto prefers.
func All() []Kind { return allOn(runtime.GOOS) }

func allOn(goos string) []Kind {
	return []Kind{
		{
			Name: vagrant.Name, New: newVagrant,
			Checks: runbook.Runbook{
				{Text: "vagrant --version"},
				{Text: "vagrant plugin list", Why: "a provider may be a plugin"},
				{Text: "VBoxManage --version", Why: "VirtualBox (of libvirt: virsh --connect qemu:///system version)"},
				{Text: "grep -E -o -m 1 'vmx|svm' /proc/cpuinfo", Why: "hardware virtualization"},
			},
			Usable: func(getenv func(string) string, l *lab.Lab) (bool, string) {
				_, ok, why := vagrant.Usable(getenv, l.Provider)
				return ok, why
			},
			Provider: func(getenv func(string) string, l *lab.Lab) string {
				// Where there is none, the driver's preflight says why.
				name, _ := vagrant.PickProvider(getenv, l.Provider)
				return name
			},
		},
		{
			Name: sandbox.Name, New: newSandbox, Knows: knownToSandbox, Remembered: rememberedBySandbox,
			Checks: runbook.Runbook{
				{Text: "command -v runc dockerd docker containerd iptables ip sshd sudo", Why: "what the nodes run"},
				{Text: "grep -w -e overlay /proc/filesystems", Why: "their root file system"},
				{Text: "lsmod | grep -w -e ip_vs -e vxlan", Why: "the routing mesh, overlay networks"},
			},
			Usable: func(func(string) string, *lab.Lab) (bool, string) {
				return goos == "linux", "its nodes are made of Linux namespaces, and this is " + goos
			},
		},
		{
			Name: docker.Name, New: newDocker,
			Checks: runbook.Runbook{
				{Text: "docker version", Why: "the program, and the Docker that it speaks to"},
				{Text: "docker context ls", Why: "which Docker is meant"},
			},
			Usable: func(func(string) string, *lab.Lab) (bool, string) {
				path, err := exec.LookPath("docker")
				if err != nil {
					return false, "the docker program is not installed, or not on PATH"
				}
				return true, path
			},
		},
	}
}

// Names are what a lab's driver may be set to.
func Names() []string {
	names := []string{lab.DriverAuto}
	for _, k := range All() {
		names = append(names, k.Name)
	}
	slices.Sort(names)
	return names
}

// Providers are those that a lab's provider may be set to.
func Providers() []string { return vagrant.Providers() }

// Find gives the driver of that name. One that a record has and this program
// does not is taken for the sandbox, whose methods then say what is missing.
func Find(name string) Kind {
	all := All()
	if i := slices.IndexFunc(all, func(k Kind) bool { return k.Name == name }); i >= 0 {
		return all[i]
	}
	return Find(sandbox.Name)
}

// Choose picks the driver of a lab that is about to be made: the one that is
// wanted, or with auto the first that this machine can run. Who asked for a
// provider gets one that has providers; where none can be run, the first says
// what it lacks.
func Choose(getenv func(string) string, l *lab.Lab, want string, providerAsked bool) Kind {
	if want != lab.DriverAuto {
		return Find(want)
	}
	return firstOf(All(), getenv, l, providerAsked)
}

func firstOf(all []Kind, getenv func(string) string, l *lab.Lab, providerAsked bool) Kind {
	for _, k := range all {
		if usable, _ := k.Usable(getenv, l); usable || providerAsked && k.Provider != nil {
			return k
		}
	}
	return all[0]
}

func knownToSandbox(id, name string, uid int) (lab.Place, bool) {
	p, ok := sandbox.Places()[id]
	if !ok || p.UID != uid || p.Lab != name {
		return lab.Place{}, false
	}
	return lab.Place{Root: p.Root, Lab: p.Lab, Config: p.Config, ID: p.ID}, true
}

func rememberedBySandbox() []Remembered {
	places := sandbox.Places()
	maps.Copy(places, sandbox.Leftovers(places))
	var out []Remembered
	for _, p := range places {
		out = append(out, Remembered{
			Place:  lab.Place{Root: p.Root, Lab: p.Lab, Config: p.Config, ID: p.ID},
			Driver: sandbox.Name, UID: p.UID, Subnet: p.Subnet, Created: p.Created,
		})
	}
	return out
}

func newVagrant(c Config) (machine.Driver, error) {
	index, err := lab.OpenIndex(c.Getenv, c.Owner)
	if err != nil {
		return nil, err
	}
	return vagrant.New(vagrant.Config{
		Lab: c.Lab, ID: c.ID, Provider: c.Provider, Template: c.Template, State: c.State, Index: index, Log: c.ReadLog,
		ProviderOrigin: c.ProviderOrigin,
	}), nil
}

func newSandbox(c Config) (machine.Driver, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	config := sandbox.Config{
		Lab: c.Lab, ID: c.ID, Dir: sandbox.Dir(c.ID), Root: c.Place.Root, Config: c.Place.Config, Executable: self,
		ForgetHostKey: func(string) error { return nil },
		UID:           c.UID, GID: c.Owner.GID, Log: c.Log,
	}
	if c.State == nil {
		return sandbox.New(config), nil
	}
	config.AuthorizedKey = authorizedKey(c.State)
	config.IdentityFile, config.PinHostKey, config.ForgetHostKey = c.State.Identity(), c.State.PinHost, c.State.ForgetHost
	config.Hidden = []string{sandbox.Ground, filepath.Dir(c.State.Dir())}
	return sandbox.New(config), nil
}

func newDocker(c Config) (machine.Driver, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	config := docker.Config{
		Lab: c.Lab, ID: c.ID, Root: c.Place.Root, Binary: cmp.Or(c.Getenv("DCALAB_LINUX_BINARY"), linuxBuild(self, runtime.GOOS)),
		ForgetHostKey: func(string) error { return nil }, State: c.State, Getenv: c.Getenv, Log: c.Log,
	}
	if c.State == nil {
		return docker.New(config), nil
	}
	config.AuthorizedKey = authorizedKey(c.State)
	config.IdentityFile, config.PinHostKey, config.ForgetHostKey = c.State.Identity(), c.State.PinHost, c.State.ForgetHost
	return docker.New(config), nil
}

// HostImager is the driver that has an image of its own.
func HostImager(c Config) (machine.HostImager, error) {
	d, err := newDocker(c)
	if h, ok := d.(machine.HostImager); ok {
		return h, err
	}
	return nil, errors.Join(err, errors.ErrUnsupported)
}

// linuxBuild finds the dcalab for Linux that belongs to the program at self, on
// the system goos: itself, or the one that a release's archive has beside it, which
// Homebrew keeps in libexec. Empty where there is none.
func linuxBuild(self, goos string) string {
	if goos == "linux" {
		return self
	}
	if target, err := filepath.EvalSymlinks(self); err == nil {
		self = target
	}
	for _, folder := range []string{".", "../libexec"} {
		file := filepath.Join(filepath.Dir(self), folder, "dcalab-linux")
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

// authorizedKey gives the public key of the lab's, which is made where there is
// none.
func authorizedKey(state *lab.State) func() (ssh.PublicKey, error) {
	return func() (ssh.PublicKey, error) {
		line, err := state.EnsureIdentity()
		if err != nil {
			return nil, err
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		return key, err
	}
}

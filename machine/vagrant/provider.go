package vagrant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// host is this machine as the checks see it. Everything that they read goes
// through it, so that tests can play any machine.
type host struct {
	// GOOS and GOARCH are as in package runtime.
	GOOS, GOARCH string
	Getenv       func(string) string
	// Home is the user's home folder; empty where there is none.
	Home string
	// LookPath finds a program on PATH.
	LookPath func(name string) (string, error)
	// Run gives all that a command printed, on both streams.
	Run      func(ctx context.Context, name string, args ...string) (string, error)
	ReadFile func(path string) ([]byte, error)
	Exists   func(path string) bool
	// List gives the names in a folder; none where there is no such folder.
	List func(dir string) []string
	// Writable tells why nothing can be put into a folder, or into the nearest
	// one above it that exists.
	Writable func(dir string) error
	// Connect tries a unix socket.
	Connect func(path string) error
	// Interfaces lists the host's own IPv4 addresses on interfaces that are up.
	Interfaces func() ([]machine.Network, error)
	// Memory of the host in bytes; available is 0 where it is unknown.
	Memory func() (available, total uint64, err error)
	// FreeDisk is what the user may still write at a path, or at the nearest
	// folder above it that exists; in bytes.
	FreeDisk func(path string) (uint64, error)
	// CPUs that this process may use.
	CPUs int
	// HyperVAdmin tells whether the user may manage Hyper-V.
	HyperVAdmin func() bool
}

// providerState is whether Vagrant can use a provider on this machine.
type providerState struct {
	Name   string
	Usable bool
	// Why it cannot be used, or by what it can.
	Why string
	// Fixes make it usable.
	Fixes []machine.Fix
}

// vagrantHome is Vagrant's folder of boxes and plugins (VAGRANT_HOME).
func (h host) vagrantHome() string {
	if dir := h.Getenv("VAGRANT_HOME"); dir != "" {
		return dir
	}
	return h.join(h.Home, ".vagrant.d")
}

func (h host) join(elem ...string) string {
	if h.GOOS == "windows" {
		return strings.Join(elem, `\`)
	}
	return strings.Join(elem, "/")
}

func (h host) have(program string) bool {
	_, err := h.LookPath(program)
	return err == nil
}

// providers tells for each provider, the preferred first, whether this machine
// can use it. It costs file looks only: Vagrant itself is not started.
func (h host) providers(vagrantHome string) []providerState {
	plugins := h.plugins(vagrantHome)
	var out []providerState
	for _, name := range Providers() {
		var p providerState
		switch name {
		case "virtualbox":
			p = h.virtualbox()
		case "libvirt":
			p = h.libvirt(plugins)
		case "vmware_desktop":
			p = h.vmware(plugins)
		case "parallels":
			p = h.parallels(plugins)
		case "hyperv":
			p = h.hyperv()
		}
		p.Name = name
		out = append(out, p)
	}
	return out
}

// provider gives the state of one provider.
func (h host) provider(name string) providerState {
	for _, p := range h.providers(h.vagrantHome()) {
		if p.Name == name {
			return p
		}
	}
	return providerState{Name: name, Why: "dcalab does not know it"}
}

// plugins lists the installed ones: the user's, and those that a distribution
// packages (Debian and Fedora patch in their folders).
func (h host) plugins(vagrantHome string) []string {
	var out []string
	for _, file := range []string{
		h.join(vagrantHome, "plugins.json"),
		"/usr/share/vagrant-plugins/plugins.json", // Debian
		"/usr/share/vagrant/plugins.json",         // Fedora
		"/var/lib/vagrant/plugins.json",           // Fedora, older
	} {
		data, err := h.ReadFile(file)
		var list struct {
			Installed map[string]any `json:"installed"`
		}
		if err != nil || json.Unmarshal(data, &list) != nil {
			continue
		}
		for name := range list.Installed {
			out = append(out, name)
		}
	}
	for _, dir := range []string{
		h.join(vagrantHome, "plugins.d"), "/usr/share/vagrant-plugins/plugins.d",
		"/usr/share/vagrant/plugins.d", "/var/lib/vagrant/plugins.d",
	} {
		for _, file := range h.List(dir) {
			if name, ok := strings.CutSuffix(file, ".json"); ok {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func unusable(why string, fixes ...string) providerState {
	p := providerState{Why: why}
	for _, f := range fixes {
		p.Fixes = append(p.Fixes, machine.Advise(f))
	}
	return p
}

// vboxManage finds VirtualBox's command as Vagrant does: on PATH; on Windows
// also where its installer puts it (plugins/providers/virtualbox/driver/base.rb).
func (h host) vboxManage() (string, bool) {
	if path, err := h.LookPath("VBoxManage"); err == nil {
		return path, true
	}
	if h.GOOS != "windows" {
		return "", false
	}
	var dirs []string
	for _, name := range []string{"VBOX_INSTALL_PATH", "VBOX_MSI_INSTALL_PATH"} {
		dirs = append(dirs, strings.Split(h.Getenv(name), ";")...)
	}
	drive := h.Getenv("SYSTEMDRIVE")
	if drive == "" {
		drive = "C:"
	}
	dirs = append(dirs, drive+`\Program Files\Oracle\VirtualBox`, drive+`\Program Files (x86)\Oracle\VirtualBox`)
	if dir := h.Getenv("PROGRAMFILES"); dir != "" {
		dirs = append(dirs, dir+`\Oracle\VirtualBox`)
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		if path := strings.TrimRight(dir, `\/`) + `\VBoxManage.exe`; h.Exists(path) {
			return path, true
		}
	}
	return "", false
}

func (h host) virtualbox() providerState {
	if path, ok := h.vboxManage(); ok {
		return providerState{Usable: true, Why: path}
	}
	if app := "/Applications/VirtualBox.app/Contents/MacOS"; h.GOOS == "darwin" && h.Exists(app+"/VBoxManage") {
		return unusable("VirtualBox is installed, and Vagrant does not find its VBoxManage, which is not on PATH",
			`add it to your shell's profile: export PATH="$PATH:`+app+`"`)
	}
	return unusable("VBoxManage is not on PATH", "install VirtualBox: https://www.virtualbox.org/wiki/Downloads")
}

// libvirtSockets are where libvirt's daemon for QEMU listens: the modular one,
// and the one that does everything.
func libvirtSockets() []string {
	return []string{"/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"}
}

func (h host) libvirt(plugins []string) providerState {
	if h.GOOS != "linux" {
		return unusable("dcalab drives it on Linux only")
	}
	if !slices.Contains(plugins, "vagrant-libvirt") {
		return unusable("the plugin vagrant-libvirt is not installed",
			"install it: vagrant plugin install vagrant-libvirt (on Debian and Ubuntu: sudo apt-get install vagrant-libvirt)")
	}
	if uri := h.Getenv("LIBVIRT_DEFAULT_URI"); uri != "" && uri != "qemu:///system" {
		return providerState{Usable: true, Why: "LIBVIRT_DEFAULT_URI is " + uri + ", which was not tried"}
	}
	var refused error
	var socket string
	for _, path := range libvirtSockets() {
		if !h.Exists(path) {
			continue
		}
		err := h.Connect(path)
		if err == nil {
			return providerState{Usable: true, Why: "the plugin vagrant-libvirt, and " + path}
		}
		refused, socket = err, path
	}
	if refused == nil {
		p := unusable("libvirt's daemon does not run: there is no /run/libvirt/libvirt-sock")
		if h.Exists("/run/systemd/system") && h.Exists("/usr/sbin/libvirtd") {
			p.Fixes = append(p.Fixes, machine.Command("sudo", "systemctl", "start", "libvirtd"))
			return p
		}
		p.Fixes = append(p.Fixes, machine.Advise("start it, or install it: sudo apt-get install libvirt-daemon-system qemu-system"))
		return p
	}
	if errors.Is(refused, fs.ErrPermission) {
		return unusable("you may not use "+socket,
			`join its group, then log out and in again: sudo usermod -aG libvirt "$USER"`)
	}
	return unusable(fmt.Sprintf("libvirt's daemon does not answer at %s: %v", socket, refused), "start it: sudo systemctl restart libvirtd")
}

func (h host) vmware(plugins []string) providerState {
	const site = "https://developer.hashicorp.com/vagrant/install/vmware"
	if !slices.Contains(plugins, "vagrant-vmware-desktop") {
		return unusable("the plugin vagrant-vmware-desktop is not installed", "install it: vagrant plugin install vagrant-vmware-desktop")
	}
	places := []string{"/opt/vagrant-vmware-desktop/bin/vagrant-vmware-utility"}
	if h.GOOS == "windows" {
		places = []string{
			`C:\Program Files\VagrantVMwareUtility\vagrant-vmware-utility.exe`,
			`C:\HashiCorp\vagrant-vmware-desktop\bin\vagrant-vmware-utility.exe`,
		}
	}
	if slices.ContainsFunc(places, h.Exists) || h.have("vagrant-vmware-utility") {
		return providerState{Usable: true, Why: "the plugin vagrant-vmware-desktop, and its utility"}
	}
	return unusable("the Vagrant VMware Utility is not installed", "install it: "+site)
}

func (h host) parallels(plugins []string) providerState {
	switch {
	case h.GOOS != "darwin":
		return unusable("Parallels runs on macOS only")
	case !h.have("prlctl"):
		return unusable("prlctl is not on PATH", "install Parallels Desktop (Pro or Business): https://www.parallels.com")
	case !slices.Contains(plugins, "vagrant-parallels"):
		return unusable("the plugin vagrant-parallels is not installed", "install it: vagrant plugin install vagrant-parallels")
	}
	return providerState{Usable: true, Why: "the plugin vagrant-parallels, and prlctl"}
}

func (h host) hyperv() providerState {
	root := h.Getenv("SYSTEMROOT")
	if root == "" {
		root = `C:\Windows`
	}
	switch {
	case h.GOOS != "windows":
		return unusable("Hyper-V runs on Windows only")
	case !h.Exists(root + `\System32\vmms.exe`):
		return unusable("Hyper-V is not switched on",
			"as an administrator: Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All")
	case !h.HyperVAdmin():
		return unusable("Hyper-V needs an administrator",
			"run the same command in an administrator's terminal, or join the group Hyper-V Administrators")
	}
	return providerState{Usable: true, Why: "Hyper-V, as an administrator"}
}

// pickProvider is PickProvider, with what asks for the provider, and what
// decided. One that was asked for is not tried here; that
// is a check of its own.
func (h host) pickProvider(asked, origin string) (name, from string, err error) {
	for _, a := range []struct{ name, origin string }{
		{asked, origin}, {h.Getenv("VAGRANT_DEFAULT_PROVIDER"), "VAGRANT_DEFAULT_PROVIDER"},
	} {
		if a.name == "" {
			continue
		}
		if !slices.Contains(Providers(), a.name) {
			return "", "", &trouble.Error{
				ID: "provider-unknown", What: "provider " + a.name, Why: a.origin + " names it, and dcalab does not know it",
				Next: []string{"the providers are " + strings.Join(Providers(), ", ")}, Exit: trouble.ExitUsage,
			}
		}
		return a.name, a.origin, nil
	}
	states := h.providers(h.vagrantHome())
	for _, p := range states {
		if p.Usable {
			return p.Name, "what this machine can use", nil
		}
	}
	return "", "", noProvider(h, states)
}

// noProvider explains that none can be used, by those that most people here
// would have: plugins of commercial hypervisors are no advice to somebody who
// has none.
func noProvider(h host, states []providerState) *trouble.Error {
	e := &trouble.Error{ID: "no-provider", What: "Vagrant has no provider that it can use", Exit: trouble.ExitRequirement}
	var why []string
	for _, p := range states {
		if p.Name != "virtualbox" && (p.Name != "libvirt" || h.GOOS != "linux") && (p.Name != "hyperv" || h.GOOS != "windows") {
			continue
		}
		why = append(why, p.Name+": "+p.Why)
		for _, f := range p.Fixes {
			e.Next = append(e.Next, p.Name+": "+f.Text)
		}
	}
	e.Why = strings.Join(why, "; ")
	return e
}

// PickProvider picks the provider of a lab that is about to be made: the one
// asked for, else VAGRANT_DEFAULT_PROVIDER, else the first of Providers that this
// machine can use. An error says what to install, or which name is none. Ruby is
// not started: it costs milliseconds.
func PickProvider(getenv func(string) string, asked string) (name string, err error) {
	h := realHost()
	h.Getenv = getenv
	name, _, err = h.pickProvider(asked, "labs.yaml")
	return name, err
}

// Usable tells whether the vagrant driver can run here: Vagrant is on PATH, and
// so is a provider for it. asked is the one that a flag or labs.yaml names; it
// may be empty. why says what is missing, or what was found. Nothing is
// started: it costs milliseconds.
func Usable(getenv func(string) string, asked string) (provider string, ok bool, why string) {
	h := realHost()
	h.Getenv = getenv
	return h.usable(asked)
}

func (h host) usable(asked string) (provider string, ok bool, why string) {
	if !h.have("vagrant") {
		return "", false, "vagrant is not on PATH"
	}
	name, _, err := h.pickProvider(asked, "labs.yaml")
	var t *trouble.Error
	if errors.As(err, &t) {
		return "", false, t.What
	}
	if p := h.provider(name); !p.Usable {
		return name, false, "provider " + name + ": " + p.Why
	}
	return name, true, "vagrant is on PATH, and provider " + name + " can be used"
}

package vagrant

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// played is a machine that a test plays: what is not in it is not there.
type played struct {
	goos, goarch string
	env          map[string]string
	// programs on PATH, which stand in /usr/bin.
	programs []string
	// says is what a command prints, by its line; an error follows after "!".
	says map[string]string
	// files by path; folders are those above them.
	files map[string]string
	// refuses connections to these sockets, by path.
	refuses map[string]error
	// locked paths cannot be written to.
	locked           []string
	addrs            []machine.Network
	available, total uint64 // MiB
	free             uint64 // MiB
	cpus             int
	administrator    bool
	// ran are the commands that were run.
	ran []string
}

// linux is a machine on which every check passes, with VirtualBox.
func linux() *played {
	return &played{
		goos: "linux", goarch: "amd64", env: map[string]string{},
		programs: []string{"vagrant", "VBoxManage"},
		says: map[string]string{
			"/usr/bin/vagrant --version":    "Vagrant 2.4.1\n",
			"/usr/bin/VBoxManage --version": "7.0.20r163906\n",
			"/usr/bin/VBoxManage list vms":  "",
		},
		files: map[string]string{
			"/proc/cpuinfo":                   "processor\t: 0\nflags\t\t: fpu vme vmx sse\n\nprocessor\t: 1\nflags\t\t: fpu vme vmx sse\n",
			"/proc/net/route":                 routeTable,
			"/etc/vbox/networks.conf":         "* 10.0.0.0/8 192.168.0.0/16\n* 2001::/64\n",
			boxFile + "/metadata.json":        `{"provider":"virtualbox"}`,
			"/home/ana/.vagrant.d/rgloader/x": "",
		},
		addrs:     []machine.Network{{Interface: "eth0", Addr: netip.MustParsePrefix("192.0.2.2/24")}},
		available: 12 << 10, total: 16 << 10, free: 100 << 10, cpus: 8,
	}
}

const (
	boxFile    = "/home/ana/.vagrant.d/boxes/bento-VAGRANTSLASH-ubuntu-24.04/202404.26.0/amd64/virtualbox"
	routeTable = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)

// libvirtd is a machine with vagrant-libvirt from Debian's packages.
func libvirtd() *played {
	p := linux()
	p.programs = []string{"vagrant", "virsh"}
	p.files["/usr/share/vagrant-plugins/plugins.d/vagrant-libvirt.json"] = "{}"
	p.files["/run/libvirt/libvirt-sock"] = ""
	p.files["/dev/kvm"] = ""
	p.says["virsh -c qemu:///system list --all --name"] = "\n"
	return p
}

func (p *played) host() host {
	below := func(dir string) map[string]bool {
		names := map[string]bool{}
		for file := range p.files {
			if rest, ok := strings.CutPrefix(file, strings.TrimRight(dir, `/\`)+p.separator()); ok {
				name, _, _ := strings.Cut(rest, p.separator())
				names[name] = true
			}
		}
		return names
	}
	home := "/home/ana"
	if p.goos == "windows" {
		home = `C:\Users\ana`
	}
	return host{
		GOOS: p.goos, GOARCH: p.goarch, Home: home, CPUs: p.cpus,
		Getenv: func(name string) string { return p.env[name] },
		LookPath: func(name string) (string, error) {
			if slices.Contains(p.programs, name) {
				return "/usr/bin/" + name, nil
			}
			return "", errors.New("not found")
		},
		Run: func(_ context.Context, name string, args ...string) (string, error) {
			line := strings.Join(append([]string{name}, args...), " ")
			p.ran = append(p.ran, line)
			out, ok := p.says[line]
			if !ok {
				return "", fmt.Errorf("nobody said what %q prints", line)
			}
			out, failed, ok := strings.Cut(out, "!")
			if ok {
				return out, errors.New(failed)
			}
			return out, nil
		},
		ReadFile: func(path string) ([]byte, error) {
			text, ok := p.files[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return []byte(text), nil
		},
		Exists: func(path string) bool {
			_, ok := p.files[path]
			return ok || len(below(path)) > 0
		},
		List: func(dir string) []string { return slices.Sorted(maps.Keys(below(dir))) },
		Writable: func(dir string) error {
			if slices.Contains(p.locked, dir) {
				return fs.ErrPermission
			}
			return nil
		},
		Connect:     func(path string) error { return p.refuses[path] },
		Interfaces:  func() ([]machine.Network, error) { return p.addrs, nil },
		Memory:      func() (uint64, uint64, error) { return p.available << 20, p.total << 20, nil },
		FreeDisk:    func(string) (uint64, error) { return p.free << 20, nil },
		HyperVAdmin: func() bool { return p.administrator },
	}
}

func (p *played) separator() string {
	if p.goos == "windows" {
		return `\`
	}
	return "/"
}

// dca is the lab of the class: 10.20.20.0/24, 4 GiB, bento/ubuntu-24.04.
func dca() *lab.Lab { return labs()["dca"] }

func anExamination() examination {
	return examination{Lab: dca(), ID: "0123456789ab", Dir: "/home/ana/lab/.dcalab/dca", Full: true}
}

// fake reads a file of testdata/doctor, without its first lines, which say
// where it comes from.
func fake(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "doctor", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if !strings.HasPrefix(text, "# ") {
		t.Fatalf("%s does not say where it comes from", name)
	}
	for strings.HasPrefix(text, "# ") {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

func find(t *testing.T, checks []machine.Check, id string) machine.Check {
	t.Helper()
	i := slices.IndexFunc(checks, func(c machine.Check) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no check %s in %+v", id, checks)
	}
	return checks[i]
}

func TestNothingIsWrong(t *testing.T) {
	for name, p := range map[string]*played{"virtualbox": linux(), "libvirt": libvirtd()} {
		t.Run(name, func(t *testing.T) {
			e := anExamination()
			checks := examined(t, p, e)
			for _, c := range checks {
				// The box of the one is not there for the other.
				if c.Verdict != machine.VerdictOK && (c.ID != "box" || name == "virtualbox") {
					t.Errorf("%+v", c)
				}
				if c.What == "" || c.Why == "" {
					t.Errorf("says nothing: %+v", c)
				}
			}
			if err := machine.Preflight(checks); err != nil {
				t.Error(err)
			}
			if p := find(t, checks, "provider"); p.What != "provider "+name {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestWhatUpExaminesStartsNoVagrant(t *testing.T) {
	for name, p := range map[string]*played{"virtualbox": linux(), "libvirt": libvirtd()} {
		e := anExamination()
		e.Full = false
		examined(t, p, e)
		for _, line := range p.ran {
			if !strings.HasPrefix(line, "/usr/bin/VBoxManage ") && !strings.HasPrefix(line, "virsh ") {
				t.Errorf("%s: %s was run", name, line)
			}
		}
		e.Created, p.ran = true, nil
		examined(t, p, e)
		for _, line := range p.ran {
			if line != "/usr/bin/VBoxManage --version" {
				t.Errorf("%s: %s was run for a lab that exists", name, line)
			}
		}
	}
}

// A change to the machine, the check that sees it, and what it comes to.
func TestChecks(t *testing.T) {
	vbox := func(version string) func(*played) {
		return func(p *played) { p.says["/usr/bin/VBoxManage --version"] = version + "\n" }
	}
	both := func(changes ...func(*played)) func(*played) {
		return func(p *played) {
			for _, c := range changes {
				c(p)
			}
		}
	}
	set := func(file, text string) func(*played) { return func(p *played) { p.files[file] = text } }
	provider := func(name string) func(*examination) {
		return func(e *examination) { e.Lab.Provider, e.ProviderOrigin = name, "flag --provider" }
	}
	drop := func(file string) func(*played) { return func(p *played) { delete(p.files, file) } }
	mac := func(arch string) func(*played) {
		return func(p *played) {
			p.goos, p.goarch = "darwin", arch
			p.says["sysctl -n kern.hv_support"] = "1\n"
			delete(p.files, "/etc/vbox/networks.conf")
		}
	}
	windows := func(p *played) {
		p.goos = "windows"
		p.env["VBOX_MSI_INSTALL_PATH"] = `D:\VirtualBox\`
		p.programs = []string{"vagrant"}
		p.files[`D:\VirtualBox\VBoxManage.exe`] = ""
		p.says[`D:\VirtualBox\VBoxManage.exe --version`] = "7.0.20r163906\r\n"
		p.says[`D:\VirtualBox\VBoxManage.exe list vms`] = ""
		p.says["powershell"] = ""
	}
	asksWindows := `powershell -NoProfile -NonInteractive -Command "$((Get-CimInstance Win32_ComputerSystem).HypervisorPresent) $(@((Get-CimInstance Win32_Processor).VirtualizationFirmwareEnabled)[0])"`
	windowsSays := func(out string) func(*played) { return func(p *played) { p.says[asksWindows] = out } }

	for _, test := range []struct {
		name    string
		on      func() *played
		change  func(*played)
		asks    func(*examination)
		id      string
		verdict machine.Verdict
		why     string // in the reason
		fix     string // in one of the fixes; a leading "$ " wants one that --fix runs
	}{
		{name: "no vagrant", change: func(p *played) { p.programs = []string{"VBoxManage"} },
			id: "vagrant", verdict: machine.VerdictFailure, why: "not on PATH", fix: "install Vagrant"},
		{name: "an old vagrant", change: func(p *played) { p.says["/usr/bin/vagrant --version"] = "Vagrant 2.1.5\n" },
			id: "vagrant", verdict: machine.VerdictFailure, why: "2.1.5 is too old", fix: "newer"},
		{name: "a vagrant that does not start", change: func(p *played) {
			p.says["/usr/bin/vagrant --version"] = "/usr/lib/ruby/3.1.0/bundler: cannot load such file -- vagrant (LoadError)\n!exit status 1"
		}, id: "vagrant", verdict: machine.VerdictFailure, why: "LoadError", fix: "install Vagrant"},
		{name: "warnings before the version", change: func(p *played) {
			p.says["/usr/bin/vagrant --version"] = "warning: already initialized constant\nVagrant 2.3.4\n"
		}, id: "vagrant", verdict: machine.VerdictOK, why: "2.3.4"},

		{name: "no provider", change: func(p *played) { p.programs = []string{"vagrant"} },
			id: "provider", verdict: machine.VerdictFailure, why: "virtualbox: VBoxManage is not on PATH", fix: "virtualbox.org"},
		{name: "a provider that is none", change: func(p *played) { p.env["VAGRANT_DEFAULT_PROVIDER"] = "docker" },
			id: "provider", verdict: machine.VerdictFailure, why: "VAGRANT_DEFAULT_PROVIDER", fix: "virtualbox, libvirt"},
		{name: "asked for and not there", asks: provider("parallels"),
			id: "provider", verdict: machine.VerdictFailure, why: "macOS only; chosen by flag --provider"},
		{name: "the lab's provider is gone", asks: func(e *examination) { e.Provider, e.Created = "libvirt", true },
			id: "provider", verdict: machine.VerdictFailure, why: "vagrant-libvirt is not installed", fix: "vagrant plugin install vagrant-libvirt"},
		{name: "no libvirtd", on: libvirtd, change: drop("/run/libvirt/libvirt-sock"),
			id: "provider", verdict: machine.VerdictFailure, why: "libvirt's daemon does not run", fix: "start it"},
		{name: "no libvirtd, and systemd", on: libvirtd, change: both(drop("/run/libvirt/libvirt-sock"), set("/run/systemd/system/x", ""), set("/usr/sbin/libvirtd", "")),
			asks: provider("libvirt"),
			id:   "provider", verdict: machine.VerdictFailure, why: "does not run", fix: "$ sudo systemctl start libvirtd"},
		{name: "not in libvirt's group", on: libvirtd, asks: provider("libvirt"), change: func(p *played) {
			p.refuses = map[string]error{"/run/libvirt/libvirt-sock": fmt.Errorf("dial: %w", fs.ErrPermission)}
		}, id: "provider", verdict: machine.VerdictFailure, why: "you may not use /run/libvirt/libvirt-sock", fix: "usermod -aG libvirt"},
		{name: "the modular daemon", on: libvirtd, change: both(drop("/run/libvirt/libvirt-sock"), set("/run/libvirt/virtqemud-sock", "")),
			id: "provider", verdict: machine.VerdictOK, why: "virtqemud-sock"},
		{name: "libvirt elsewhere", on: libvirtd, change: func(p *played) {
			p.env["LIBVIRT_DEFAULT_URI"] = "qemu+ssh://server/system"
			delete(p.files, "/run/libvirt/libvirt-sock")
			p.says["virsh -c qemu+ssh://server/system list --all --name"] = ""
		}, id: "provider", verdict: machine.VerdictOK, why: "not tried"},
		{name: "VirtualBox off PATH on a Mac", change: both(mac("amd64"), func(p *played) {
			p.programs = []string{"vagrant"}
			p.files["/Applications/VirtualBox.app/Contents/MacOS/VBoxManage"] = ""
		}), id: "provider", verdict: machine.VerdictFailure, why: "not on PATH", fix: "export PATH"},
		{name: "Hyper-V", change: both(windows, windowsSays("True \r\n"), func(p *played) {
			p.files[`C:\Windows\System32\vmms.exe`] = ""
			p.administrator = true
		}), asks: provider("hyperv"), id: "lab-network", verdict: machine.VerdictWarning, why: "fixed address", fix: "VirtualBox"},
		{name: "Hyper-V without rights", change: both(windows, func(p *played) { p.files[`C:\Windows\System32\vmms.exe`] = "" }),
			asks: provider("hyperv"), id: "provider", verdict: machine.VerdictFailure, why: "administrator", fix: "administrator's terminal"},

		{name: "another provider", on: libvirtd, change: func(p *played) { p.programs = append(p.programs, "VBoxManage") }, asks: provider("libvirt"),
			id: "other-providers", verdict: machine.VerdictOK, why: "usable: virtualbox; not usable: vmware_desktop (the plugin"},

		{name: "VirtualBox without its module", change: func(p *played) {
			p.says["/usr/bin/VBoxManage --version"] = "WARNING: The vboxdrv kernel module is not loaded. Either there is no module\n" +
				"         available for the current kernel (5.13.19-200.fc34.x86_64) or it failed to\n         load.\n6.1.26r145957\n"
		}, id: "virtualbox", verdict: machine.VerdictFailure, why: "kernel module is not loaded", fix: "vboxconfig"},
		{name: "VirtualBox 7.1 and a Vagrant before it", change: vbox("7.1.4r165100"),
			id: "virtualbox", verdict: machine.VerdictFailure, why: "needs Vagrant 2.4.2 or newer, and this is 2.4.1", fix: "install Vagrant 2.4.2"},
		{name: "VirtualBox 7.1 and a Vagrant that knows it", change: both(vbox("7.1.4r165100"), func(p *played) {
			p.says["/usr/bin/vagrant --version"] = "Vagrant 2.4.2\n"
		}), id: "virtualbox", verdict: machine.VerdictOK, why: "7.1.4"},
		{name: "VirtualBox 7.0 and Debian's Vagrant", change: func(p *played) { p.says["/usr/bin/vagrant --version"] = "Vagrant 2.2.19\n" },
			id: "virtualbox", verdict: machine.VerdictFailure, why: "needs Vagrant 2.3.2"},
		{name: "a VirtualBox of the future", change: vbox("7.3.0r1"), id: "virtualbox", verdict: machine.VerdictWarning, why: "newer than any", fix: "newer Vagrant"},
		{name: "a VirtualBox of the past", change: vbox("5.2.6r120293"), id: "virtualbox", verdict: machine.VerdictWarning, why: "no longer maintained"},
		{name: "VirtualBox of Ubuntu", change: vbox("6.1.50_Ubuntur161033"), id: "virtualbox", verdict: machine.VerdictOK, why: "6.1.50"},
		{name: "VirtualBox 7.0 on Apple Silicon", change: mac("arm64"), id: "virtualbox", verdict: machine.VerdictFailure, why: "Apple Silicon"},

		{name: "no VT-x", change: set("/proc/cpuinfo", "flags\t\t: fpu vme sse\n"),
			id: "virtualization", verdict: machine.VerdictFailure, why: "neither VT-x nor AMD-V", fix: "firmware"},
		{name: "no VT-x, and libvirt", on: libvirtd, change: set("/proc/cpuinfo", "flags\t\t: fpu vme sse\n"),
			id: "virtualization", verdict: machine.VerdictWarning, why: "emulated", fix: "firmware"},
		{name: "AMD-V and no /dev/kvm", on: libvirtd, change: both(set("/proc/cpuinfo", "flags\t\t: svm\n"), drop("/dev/kvm")),
			id: "virtualization", verdict: machine.VerdictWarning, why: "no /dev/kvm", fix: "$ sudo modprobe kvm_amd"},
		{name: "a Mac without", change: both(mac("amd64"), func(p *played) { p.says["sysctl -n kern.hv_support"] = "0\n" }),
			id: "virtualization", verdict: machine.VerdictFailure, why: "hv_support"},
		{name: "Windows without", change: both(windows, windowsSays("False False\r\n")),
			id: "virtualization", verdict: machine.VerdictFailure, why: "firmware", fix: "firmware"},
		{name: "Windows that does not answer", change: both(windows, windowsSays("!exit status 1")),
			id: "virtualization", verdict: machine.VerdictUnknown, why: "exit status 1"},
		{name: "Hyper-V beside VirtualBox", change: both(windows, windowsSays("True \r\n")),
			id: "hyper-v", verdict: machine.VerdictWarning, why: "many times slower", fix: "bcdedit /set hypervisorlaunchtype off"},
		{name: "no Hyper-V", change: both(windows, windowsSays("False True\r\n")), id: "hyper-v", verdict: machine.VerdictOK, why: "does not run"},
		{name: "KVM holds VT-x", change: both(set("/sys/module/kvm_intel/x", ""), set("/sys/module/kvm/parameters/enable_virt_at_load", "Y\n")),
			id: "kvm", verdict: machine.VerdictWarning, why: "kvm_intel holds", fix: "modprobe -r kvm_intel"},
		{name: "KVM before Linux 6.12", change: set("/sys/module/kvm_intel/x", ""), id: "kvm", verdict: machine.VerdictOK, why: "while no machine"},
		{name: "KVM does not hold what VirtualBox 7.2.10 wants", change: both(vbox("7.2.10r1"), set("/sys/module/kvm_amd/x", ""), set("/sys/module/kvm/parameters/enable_virt_at_load", "N\n")),
			id: "kvm", verdict: machine.VerdictWarning, why: "borrows", fix: "remove that option"},

		{name: "no networks.conf", change: drop("/etc/vbox/networks.conf"),
			id: "host-only-range", verdict: machine.VerdictFailure, why: "10.20.20.0/24 is outside 192.168.56.0/21",
			fix: `$ sudo sh -c 'mkdir -p /etc/vbox && printf '\''%b'\'' '\''* 192.168.56.0/21\n* 10.20.20.0/24\n'\'' >>/etc/vbox/networks.conf'`},
		{name: "a networks.conf with another range and no last newline", change: set("/etc/vbox/networks.conf", "# mine\n* 192.168.0.0/16"),
			id: "host-only-range", verdict: machine.VerdictFailure, why: "outside 192.168.0.0/16",
			fix: `$ sudo sh -c 'mkdir -p /etc/vbox && printf '\''%b'\'' '\''\n* 10.20.20.0/24\n'\'' >>/etc/vbox/networks.conf'`},
		{name: "an empty networks.conf", change: set("/etc/vbox/networks.conf", ""),
			id: "host-only-range", verdict: machine.VerdictFailure, why: "no range at all"},
		{name: "a networks.conf that allows half the subnet", change: set("/etc/vbox/networks.conf", "* 10.20.20.0/26\n"),
			id: "host-only-range", verdict: machine.VerdictFailure, why: "outside 10.20.20.0/26"},
		{name: "a networks.conf that Vagrant fails on", change: set("/etc/vbox/networks.conf", "* 10.0.0.0/8, 192.168.0.0/16\n"),
			id: "host-only-range", verdict: machine.VerdictFailure, why: `"10.0.0.0/8,"`, fix: "sudoedit"},
		{name: "everything allowed", change: set("/etc/vbox/networks.conf", "* 0.0.0.0/0 ::/0\n"), id: "host-only-range", verdict: machine.VerdictOK, why: "inside"},
		{name: "VirtualBox before the rule", change: both(vbox("6.1.26r145957"), drop("/etc/vbox/networks.conf")), id: "host-only-range", verdict: machine.VerdictOK, why: "6.1.26"},
		{name: "the first VirtualBox with the rule", change: both(vbox("6.1.28r147628"), drop("/etc/vbox/networks.conf")), id: "host-only-range", verdict: machine.VerdictFailure},
		{name: "VirtualBox 6 on a Mac", change: both(mac("amd64"), vbox("6.1.50r161033")), id: "host-only-range", verdict: machine.VerdictFailure},
		{name: "VirtualBox 7 on a Mac", change: mac("amd64"), id: "host-only-range", verdict: machine.VerdictOK, why: "macOS"},
		{name: "VirtualBox on Windows", change: both(windows, windowsSays("False True")), id: "host-only-range", verdict: machine.VerdictOK, why: "Windows"},

		{name: "the box of an older Vagrant", change: both(drop(boxFile+"/metadata.json"), set(strings.Replace(boxFile, "/amd64", "", 1)+"/metadata.json", "{}")),
			id: "box", verdict: machine.VerdictOK, why: "202404.26.0"},
		{name: "the box for another processor", change: both(drop(boxFile+"/metadata.json"), set(strings.Replace(boxFile, "/amd64", "/arm64", 1)+"/metadata.json", "{}")),
			id: "box", verdict: machine.VerdictUnknown, why: "virtualbox/arm64 only"},
		{name: "the box for another provider", on: libvirtd, id: "box", verdict: machine.VerdictUnknown, why: "it is here for virtualbox/amd64 only"},
		{name: "no box", change: drop(boxFile + "/metadata.json"), id: "box", verdict: machine.VerdictUnknown, why: "downloaded at the first up"},
		{name: "a box elsewhere", change: both(drop(boxFile+"/metadata.json"), func(p *played) { p.env["VAGRANT_HOME"] = "/srv/vagrant" },
			set("/srv/vagrant/boxes/bento-VAGRANTSLASH-ubuntu-24.04/1.0/virtualbox/metadata.json", "{}")), id: "box", verdict: machine.VerdictOK, why: "1.0"},
		{name: "an amd64 box on Apple Silicon", change: both(mac("arm64"), vbox("7.1.4r1")), asks: func(e *examination) { e.Lab.Nodes[0].Box = "ubuntu/jammy64" },
			id: "box", verdict: machine.VerdictFailure, why: "ubuntu/jammy64 is for amd64 processors, and this machine's is arm64", fix: "bento/ubuntu-24.04"},
		{name: "a box for both, and a Vagrant that cannot tell", change: both(mac("arm64"), vbox("7.0.20r1"), func(p *played) {
			p.says["/usr/bin/vagrant --version"] = "Vagrant 2.3.7\n"
		}), id: "box", verdict: machine.VerdictFailure, why: "2.3.7 does not choose", fix: "2.4.0"},
		{name: "a box of unknown processors on Apple Silicon", change: both(mac("arm64"), vbox("7.1.4r1")), asks: func(e *examination) {
			for i := range e.Lab.Nodes {
				e.Lab.Nodes[i].Box = "almalinux/9"
			}
		}, id: "box", verdict: machine.VerdictWarning, why: "arm64 is not known", fix: "bento/ubuntu-24.04"},
		{name: "an arm64 box on a PC", asks: func(e *examination) { e.Lab.Nodes[0].Box = "spox/ubuntu-arm64" }, id: "box", verdict: machine.VerdictFailure, why: "arm64 processors"},

		{name: "too little memory", change: func(p *played) { p.total, p.available = 3<<10, 2<<10 },
			id: "memory", verdict: machine.VerdictFailure, why: "asks for 4.0 GiB, and this machine has 3.0 GiB", fix: "labs.yaml"},
		{name: "memory in use", change: func(p *played) { p.available = 2 << 10 }, id: "memory", verdict: machine.VerdictWarning, why: "2.0 GiB of 16.0 GiB are free", fix: "close"},
		{name: "memory in use by the lab itself", change: func(p *played) { p.available = 2 << 10 }, asks: func(e *examination) { e.Created = true }, id: "memory", verdict: machine.VerdictOK},
		{name: "a small Mac", change: both(mac("amd64"), func(p *played) { p.total, p.available = 5<<10, 0 }), id: "memory", verdict: machine.VerdictWarning, why: "most of the 5.0 GiB"},
		{name: "few processors", change: func(p *played) { p.cpus = 1 }, id: "cpus", verdict: machine.VerdictWarning, why: "master asks for 2", fix: "cpus"},
		{name: "a full disk", change: func(p *played) { p.free = 900 }, id: "disk", verdict: machine.VerdictFailure, why: "only 900 MiB", fix: "room"},
		{name: "little disk", change: func(p *played) { p.free = 4 << 10 }, id: "disk", verdict: machine.VerdictWarning, why: "about 6.0 GiB", fix: "room"},
		{name: "little disk, and the lab is made", change: func(p *played) { p.free = 4 << 10 }, asks: func(e *examination) { e.Created = true }, id: "disk", verdict: machine.VerdictOK},

		{name: "a route in the subnet", change: set("/proc/net/route", routeTable+"tun0\t0000140A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"),
			id: "subnet", verdict: machine.VerdictFailure, why: "10.20.0.0/16 on tun0", fix: "another subnet"},
		{name: "an interface in the subnet", change: func(p *played) {
			p.addrs = append(p.addrs, machine.Network{Interface: "wlan0", Addr: netip.MustParsePrefix("10.20.20.77/24")})
		}, id: "subnet", verdict: machine.VerdictFailure, why: "wlan0"},
		{name: "VirtualBox's own network", change: both(func(p *played) {
			p.addrs = append(p.addrs, machine.Network{Interface: "vboxnet0", Addr: netip.MustParsePrefix("10.20.20.1/24")})
		}, set("/proc/net/route", routeTable+"vboxnet0\t0014140A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")),
			id: "subnet", verdict: machine.VerdictOK, why: "vboxnet0 has it already"},
		{name: "another lab on libvirt", on: libvirtd, change: func(p *played) {
			p.addrs = append(p.addrs, machine.Network{Interface: "virbr1", Addr: netip.MustParsePrefix("10.20.20.1/24")})
		}, id: "subnet", verdict: machine.VerdictFailure, why: "virbr1, a network of libvirt's", fix: "virsh net-list"},
		{name: "this lab on libvirt", on: libvirtd, asks: func(e *examination) { e.Created = true }, change: both(func(p *played) {
			p.addrs = append(p.addrs, machine.Network{Interface: "virbr1", Addr: netip.MustParsePrefix("10.20.20.1/24")})
		}, set("/proc/net/route", routeTable+"virbr1\t0014140A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")),
			id: "subnet", verdict: machine.VerdictOK, why: "the lab's own, on virbr1"},
		{name: "a lab of the sandbox driver", change: both(func(p *played) {
			p.addrs = append(p.addrs, machine.Network{Interface: "dcab-012345678", Addr: netip.MustParsePrefix("10.20.20.1/24")})
		}, set("/sys/class/net/dcab-012345678/ifalias", "dcalab lab dca in /home/ana/first\n")),
			id: "subnet", verdict: machine.VerdictFailure, why: "belongs to dcalab lab dca in /home/ana/first", fix: "dcalab destroy"},
		{name: "an adapter of any name on Windows", change: both(windows, windowsSays("False True"), func(p *played) {
			p.addrs = append(p.addrs, machine.Network{Interface: "Ethernet 3", Addr: netip.MustParsePrefix("10.20.20.1/24")})
		}), id: "subnet", verdict: machine.VerdictWarning, why: "Ethernet 3"},

		{name: "a machine of the very name", change: func(p *played) {
			p.says["/usr/bin/VBoxManage list vms"] = "\"dcalab-dca-0123456789ab-node01\" {5f4d1aaf-2a8b-4d1e-9f0e-4a9f9c2b7c11}\n"
		}, id: "machine-names", verdict: machine.VerdictFailure, why: "dcalab-dca-0123456789ab-node01", fix: "unregistervm"},
		{name: "machines of another lab of the name", on: libvirtd, change: func(p *played) {
			p.says["virsh -c qemu:///system list --all --name"] = "web\ndcalab-dca-ba9876543210-master\n\n"
		}, id: "machine-names", verdict: machine.VerdictWarning, why: "another lab dca", fix: "virsh -c qemu:///system undefine"},
		{name: "machines of a lab whose name begins alike", on: libvirtd, change: func(p *played) {
			p.says["virsh -c qemu:///system list --all --name"] = "dcalab-dca-two-ba9876543210-master\n"
		}, id: "machine-names", verdict: machine.VerdictOK},
		{name: "virsh fails", on: libvirtd, change: func(p *played) {
			p.says["virsh -c qemu:///system list --all --name"] = "error: failed to connect to the hypervisor\n!exit status 1"
		}, id: "machine-names", verdict: machine.VerdictUnknown, why: "failed to connect"},
		{name: "the lab's own machines", change: func(p *played) {
			p.says["/usr/bin/VBoxManage list vms"] = "\"dcalab-dca-0123456789ab-node01\" {5f4d1aaf-2a8b-4d1e-9f0e-4a9f9c2b7c11}\n"
		}, asks: func(e *examination) { e.Created = true }, id: "machine-names", verdict: machine.VerdictOK},

		{name: "somebody else's .vagrant.d", change: func(p *played) { p.locked = []string{"/home/ana/.vagrant.d"} },
			id: "vagrant-home", verdict: machine.VerdictFailure, why: "/home/ana/.vagrant.d", fix: "VAGRANT_HOME"},
		{name: "accents in the path on Windows", change: both(windows, windowsSays("False True"), func(p *played) { p.env["VAGRANT_HOME"] = `C:\Users\João\.vagrant.d` }),
			id: "path", verdict: machine.VerdictWarning, why: "João", fix: `C:\vagrant`},
		{name: "a plain path on Windows", change: both(windows, windowsSays("False True")), id: "path", verdict: machine.VerdictOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := linux()
			if test.on != nil {
				p = test.on()
			}
			if test.change != nil {
				test.change(p)
			}
			e := anExamination()
			if test.asks != nil {
				test.asks(&e)
			}
			c := find(t, examined(t, p, e), test.id)
			if c.Verdict != test.verdict || !strings.Contains(c.Why, test.why) {
				t.Errorf("%s: %s; want %s with %q", c.Verdict, c.Why, test.verdict, test.why)
			}
			want, run := strings.CutPrefix(test.fix, "$ ")
			if !slices.ContainsFunc(c.Fixes, func(f machine.Fix) bool {
				if run {
					return f.Text == want && f.Run != nil
				}
				return strings.Contains(f.Text, want) && f.Run == nil
			}) && test.fix != "" {
				t.Errorf("fixes %+v; want %q", c.Fixes, test.fix)
			}
			if test.verdict == machine.VerdictOK && len(c.Fixes) > 0 {
				t.Errorf("nothing is wrong, and %+v", c.Fixes)
			}
			if err := machine.Preflight([]machine.Check{c}); (err != nil) != (test.verdict == machine.VerdictFailure) || err != nil && trouble.ExitStatus(err) != trouble.ExitRequirement {
				t.Errorf("preflight: %v", err)
			}
		})
	}
}

func TestPickProvider(t *testing.T) {
	all := libvirtd()
	all.programs = append(all.programs, "VBoxManage")
	for _, test := range []struct {
		name                string
		on                  *played
		asked, by, env      string
		want, origin, fails string
	}{
		{name: "the first that is usable", on: all, want: "virtualbox", origin: "what this machine can use"},
		{name: "libvirt where there is no VirtualBox", on: libvirtd(), want: "libvirt", origin: "what this machine can use"},
		{name: "the environment", on: all, env: "libvirt", want: "libvirt", origin: "VAGRANT_DEFAULT_PROVIDER"},
		{name: "labs.yaml over the environment", on: all, asked: "parallels", by: "labs.yaml", env: "libvirt", want: "parallels", origin: "labs.yaml"},
		{name: "no such provider", on: all, asked: "kvm", by: "flag --provider", fails: "flag --provider names it"},
		{name: "none", on: &played{goos: "linux"}, fails: "no provider"},
		{name: "none on Windows", on: &played{goos: "windows"}, fails: "hyperv: Hyper-V is not switched on"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.on.env = map[string]string{"VAGRANT_DEFAULT_PROVIDER": test.env}
			name, origin, err := test.on.host().pickProvider(test.asked, test.by)
			if name != test.want || origin != test.origin || (err != nil) != (test.fails != "") {
				t.Errorf("%q from %q, %v", name, origin, err)
			}
			if err != nil && (!strings.Contains(err.Error(), test.fails) || len(trouble.Advice(err)) == 0) {
				t.Errorf("%v, %q", err, trouble.Advice(err))
			}
		})
	}
}

func TestUsable(t *testing.T) {
	bare := linux()
	bare.programs = []string{"vagrant"}
	without := linux()
	without.programs = []string{"VBoxManage"}
	for _, test := range []struct {
		name  string
		on    *played
		asked string
		want  string
		ok    bool
		why   string
	}{
		{"vagrant with VirtualBox", linux(), "", "virtualbox", true, "can be used"},
		{"vagrant with libvirt", libvirtd(), "", "libvirt", true, "can be used"},
		{"no vagrant", without, "", "", false, "vagrant is not on PATH"},
		{"no provider", bare, "", "", false, "no provider"},
		{"not the one asked for", linux(), "libvirt", "libvirt", false, "vagrant-libvirt is not installed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name, ok, why := test.on.host().usable(test.asked)
			if name != test.want || ok != test.ok || !strings.Contains(why, test.why) {
				t.Errorf("%q, %v, %q", name, ok, why)
			}
			if len(test.on.ran) > 0 {
				t.Errorf("%q was run", test.on.ran)
			}
		})
	}
}

func TestPlugins(t *testing.T) {
	p := linux()
	p.files["/home/ana/.vagrant.d/plugins.json"] = `{"version":"1","installed":{"vagrant-vmware-desktop":{"gem_version":"3.0.4"},"vagrant-libvirt":{}}}`
	p.files["/usr/share/vagrant-plugins/plugins.json"] = `{"version":"1","installed":{}}`
	p.files["/usr/share/vagrant-plugins/plugins.d/vagrant-libvirt.json"] = "{}"
	p.files["/var/lib/vagrant/plugins.json"] = "broken"
	p.files["/home/ana/.vagrant.d/plugins.d/vagrant-parallels.json"] = "{}"
	if got := p.host().plugins("/home/ana/.vagrant.d"); !slices.Equal(got, []string{"vagrant-libvirt", "vagrant-parallels", "vagrant-vmware-desktop"}) {
		t.Errorf("%q", got)
	}
	if s := p.host().provider("vmware_desktop"); s.Usable || !strings.Contains(s.Why, "Utility") {
		t.Errorf("%+v", s)
	}
	p.files["/opt/vagrant-vmware-desktop/bin/vagrant-vmware-utility"] = ""
	if s := p.host().provider("vmware_desktop"); !s.Usable {
		t.Errorf("%+v", s)
	}
}

func TestVagrantsVersionWithoutStartingIt(t *testing.T) {
	for _, test := range []struct {
		name  string
		files []string
		want  string
	}{
		{"Debian", []string{"/usr/share/rubygems-integration/all/gems/vagrant-2.3.4/x", "/usr/share/rubygems-integration/all/gems/vagrant-libvirt-0.11.2/x"}, "2.3.4"},
		{"HashiCorp's", []string{"/opt/vagrant/embedded/gems/gems/vagrant-2.4.9/x"}, "2.4.9"},
		{"both", []string{"/opt/vagrant/embedded/gems/gems/vagrant-2.4.9/x", "/usr/share/rubygems-integration/all/gems/vagrant-2.3.4/x"}, ""},
		{"elsewhere", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := linux()
			for _, f := range test.files {
				p.files[f] = ""
			}
			if got := p.host().installedVagrant(); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			// So up refuses a pair that does not fit, without starting Ruby.
			if test.want == "2.3.4" {
				p.says["/usr/bin/VBoxManage --version"] = "7.1.4r1\n"
				e := anExamination()
				e.Full = false
				if c := find(t, examined(t, p, e), "virtualbox"); c.Verdict != machine.VerdictFailure {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

func TestWhatVirtualBoxPrints(t *testing.T) {
	t.Run("versions", func(t *testing.T) {
		for out, want := range map[string][2]string{
			"7.0.20r163906\n":           {"7.0.20", ""},
			"6.1.50_Ubuntur161033\n":    {"6.1.50", ""},
			"5.2.6r120293\n":            {"5.2.6", ""},
			"":                          {"", ""},
			"VBoxManage: error: oops\n": {"", ""},
			fake(t, "fake-vboxmanage-version-no-module.txt"): {"4.1.24", "VirtualBox's kernel module is not loaded"},
			fake(t, "fake-vboxmanage-version-no-device.txt"): {"4.1.2", "VirtualBox's kernel module is missing (/dev/vboxdrv does not exist)"},
		} {
			if version, complaint := vboxVersion(out); version != want[0] || complaint != want[1] {
				t.Errorf("%q: %q, %q", out, version, complaint)
			}
		}
	})
	t.Run("machines", func(t *testing.T) {
		got := vboxMachines(fake(t, "fake-vboxmanage-list-vms.txt"))
		if want := []string{"vagrant_default_1399047611402_25353", `with "quotes" {in} it`, "<inaccessible>"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

func TestRealHost(t *testing.T) {
	h := realHost()
	if _, total, err := h.Memory(); err != nil || total < 64<<20 {
		t.Errorf("memory %d, %v", total, err)
	}
	dir := t.TempDir()
	if free, err := h.FreeDisk(filepath.Join(dir, "no", "such")); err != nil || free == 0 {
		t.Errorf("disk %d, %v", free, err)
	}
	if err := h.Writable(filepath.Join(dir, "no", "such")); err != nil {
		t.Error(err)
	}
	if names := h.List(dir); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
	if err := h.Connect(filepath.Join(dir, "socket")); err == nil {
		t.Error("connected to nothing")
	}
	if _, err := h.Interfaces(); err != nil {
		t.Error(err)
	}
	if out, err := h.Run(t.Context(), "go", "version"); err != nil || !strings.HasPrefix(out, "go version") {
		t.Errorf("%q, %v", out, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Run(ctx, "go", "version"); !errors.Is(err, context.Canceled) {
		t.Errorf("not stopped: %v", err)
	}
}

func TestAtLeast(t *testing.T) {
	for _, test := range []struct {
		version, least string
		want           bool
	}{
		{"2.4.10", "2.4.9", true}, {"2.4.9", "2.4.10", false}, {"7.0", "7.0.0", true}, {"7.0.0", "7.0", true},
		{"6.1.28", "6.1.28", true}, {"6.1.9", "6.1.28", false}, {"10.0", "9.9.9", true},
	} {
		if got := atLeast(test.version, test.least); got != test.want {
			t.Errorf("%s at least %s: %v", test.version, test.least, got)
		}
	}
}

func FuzzParseNetworksConf(f *testing.F) {
	for _, text := range []string{
		"* 10.0.0.0/8 192.168.0.0/16\n* 2001::/64\n", "*0.0.0.0/0", "# * 10.0.0.0/8\n", "* 10.0.0.0/255.0.0.0", "* 10.0.0.1",
		"* 10.0.0.0/8,192.168.0.0/16", "* 10.0.0.0/255.0.255.0", "*", "\r\n* ::/0\r\n", "* fe80::1%eth0/64", "* 10.0.0.0/33",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ranges, bad := parseNetworksConf(text)
		for _, r := range ranges {
			if !r.IsValid() || r != r.Masked() {
				t.Errorf("%v is no network", r)
			}
		}
		words := 0
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "*"); ok {
				words += len(strings.Fields(rest))
			}
		}
		if len(ranges)+len(bad) != words {
			t.Errorf("%d and %d of %d words", len(ranges), len(bad), words)
		}
	})
}

func examined(t *testing.T, p *played, e examination) []machine.Check {
	t.Helper()
	e.host = p.host()
	return e.checks(t.Context())
}

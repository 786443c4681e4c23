package vagrant

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/machine"
)

// checkVirtualBox is for a VirtualBox that is installed; vagrant is Vagrant's
// version, or empty.
func (e examination) checkVirtualBox(ctx context.Context, vagrant string) []machine.Check {
	program, _ := e.vboxManage()
	out, err := e.Run(ctx, program, "--version")
	c := machine.Check{ID: "virtualbox", What: "VirtualBox"}
	version, complaint := vboxVersion(out)
	switch {
	case complaint != "":
		return []machine.Check{c.Failure(complaint,
			machine.Advise("load the module: sudo modprobe vboxdrv"),
			machine.Advise("if there is none for this kernel, install the kernel's headers, then: sudo /sbin/vboxconfig (Debian and Ubuntu: sudo dpkg-reconfigure virtualbox-dkms)"))}
	case version == "":
		return []machine.Check{c.Failure(fmt.Sprintf("VBoxManage --version: %v: %q", err, lastLine(out)), machine.Advise("reinstall VirtualBox"))}
	}
	checks := []machine.Check{e.checkPair(c, version, vagrant), e.checkVirtualization(ctx, "virtualbox", version)}
	if e.GOOS == "linux" {
		if c, ok := e.checkKVM(version); ok {
			checks = append(checks, c)
		}
	}
	if e.GOOS == "windows" && e.Full {
		checks = append(checks, e.checkHyperV(ctx))
	}
	return append(checks, e.checkHostOnlyRange(version))
}

var vboxVersionLine = regexp.MustCompile(`^(\d+\.\d+\.\d+)(r\d|_|$)`)

// vboxVersion reads what `VBoxManage --version` prints: "7.0.20r163906", or
// "6.1.50_Ubuntur161033", with a warning before it where the kernel module is
// missing. That makes Vagrant refuse (driver/meta.rb, read_version).
func vboxVersion(out string) (version, complaint string) {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if m := vboxVersionLine.FindStringSubmatch(line); m != nil {
			version = m[1]
		}
		if strings.Contains(line, "kernel module is not loaded") || strings.Contains(line, "kernel modules are not loaded") {
			complaint = "VirtualBox's kernel module is not loaded"
		}
		if strings.Contains(line, "/dev/vboxdrv does not exist") {
			complaint = "VirtualBox's kernel module is missing (/dev/vboxdrv does not exist)"
		}
	}
	return version, complaint
}

// vboxMachines reads `VBoxManage list vms`: "name" {uuid}, one a line.
func vboxMachines(out string) []string {
	var names []string
	for line := range strings.Lines(out) {
		if m := vboxMachineLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

var vboxMachineLine = regexp.MustCompile(`^"(.+)" \{[0-9a-fA-F-]+\}$`)

// checkPair tells whether this Vagrant drives this VirtualBox. It knows a
// version of VirtualBox by its first two numbers and refuses others
// (driver/meta.rb); the changelog says since when it knows which.
func (h host) checkPair(c machine.Check, version, vagrant string) machine.Check {
	since := []struct{ virtualbox, vagrant string }{
		{"6.0", "2.2.1"}, {"6.1", "2.2.7"}, {"7.0", "2.3.2"}, {"7.1", "2.4.2"}, {"7.2", "2.4.9"},
	}
	if h.GOOS == "darwin" {
		since[2].vagrant = "2.3.3" // private networks work there since then
	}
	if h.GOOS == "darwin" && h.GOARCH == "arm64" && !atLeast(version, "7.1") {
		return c.Failure("VirtualBox "+version+" does not run on Apple Silicon; 7.1 and newer do",
			machine.Advise("install a newer VirtualBox: https://www.virtualbox.org/wiki/Downloads"))
	}
	last := since[len(since)-1]
	for _, s := range since {
		if !strings.HasPrefix(version, s.virtualbox+".") {
			continue
		}
		if vagrant != "" && !atLeast(vagrant, s.vagrant) {
			return c.Failure(fmt.Sprintf("VirtualBox %s needs Vagrant %s or newer, and this is %s", version, s.vagrant, vagrant),
				machine.Advise("install Vagrant "+s.vagrant+" or newer: "+vagrantSite))
		}
		return c.OK(version)
	}
	if atLeast(version, last.virtualbox) {
		return c.Warning(fmt.Sprintf("VirtualBox %s is newer than any that Vagrant %s is known to drive (up to %s)", version, newestVagrant, last.virtualbox),
			machine.Advise("if vagrant up refuses it, install a newer Vagrant, or VirtualBox "+last.virtualbox))
	}
	return c.Warning("VirtualBox "+version+" is no longer maintained", machine.Advise("install a newer VirtualBox: https://www.virtualbox.org/wiki/Downloads"))
}

// checkKVM checks whether KVM and VirtualBox conflict. Since
// Linux 6.12, KVM takes the processor's virtualization when its module is
// loaded, not when a machine starts, and older VirtualBoxes start none then
// (VERR_VMX_IN_VMX_ROOT_MODE, VERR_SVM_IN_USE); from 7.2.10 on VirtualBox asks
// KVM for it, and requires that (VirtualBox issues 141, 188, 711, 713).
func (h host) checkKVM(version string) (machine.Check, bool) {
	c := machine.Check{ID: "kvm", What: "KVM beside VirtualBox"}
	module := ""
	for _, m := range []string{"kvm_intel", "kvm_amd"} {
		if h.Exists("/sys/module/" + m) {
			module = m
		}
	}
	if module == "" {
		return c, false
	}
	atLoad, err := h.ReadFile("/sys/module/kvm/parameters/enable_virt_at_load")
	if err != nil {
		return c.OK("it lets VirtualBox run while no machine of its own does"), true
	}
	holds := strings.TrimSpace(string(atLoad)) == "Y"
	switch {
	case holds && !atLeast(version, "7.2.2"):
		return c.Warning(module+" holds the processor's virtualization, and VirtualBox "+version+" cannot share it",
			machine.Advise("until the next boot: sudo modprobe -r "+module),
			machine.Advise(`for good, from the next boot: echo 'options kvm enable_virt_at_load=0' | sudo tee /etc/modprobe.d/virtualbox-kvm.conf`)), true
	case !holds && atLeast(version, "7.2.10"):
		return c.Warning("VirtualBox "+version+" borrows the processor's virtualization from KVM, which does not hold it (kvm.enable_virt_at_load=0)",
			machine.Advise("remove that option from /etc/modprobe.d and the kernel's command line, then reboot")), true
	}
	return c.OK("VirtualBox " + version + " gets along with it as it is set"), true
}

// windowsHypervisor asks Windows whether a hypervisor runs below it, and
// whether virtualization is switched on in the firmware (which it cannot see
// while one does).
func (h host) windowsHypervisor(ctx context.Context) (present, firmware bool, err error) {
	out, err := h.Run(ctx, "powershell", "-NoProfile", "-NonInteractive", "-Command",
		`"$((Get-CimInstance Win32_ComputerSystem).HypervisorPresent) $(@((Get-CimInstance Win32_Processor).VirtualizationFirmwareEnabled)[0])"`)
	if err != nil {
		return false, false, fmt.Errorf("ask Windows for its hypervisor: %w: %s", err, lastLine(out))
	}
	f := strings.Fields(lastLine(out))
	if len(f) == 0 {
		return false, false, fmt.Errorf("ask Windows for its hypervisor: no answer")
	}
	return f[0] == "True", len(f) > 1 && f[1] == "True", nil
}

func (h host) checkHyperV(ctx context.Context) machine.Check {
	c := machine.Check{ID: "hyper-v", What: "Hyper-V beside VirtualBox"}
	present, _, err := h.windowsHypervisor(ctx)
	switch {
	case err != nil:
		return c.Unknown(err.Error())
	case present:
		return c.Warning("Hyper-V is running: VirtualBox has to run on top of it, many times slower (the green turtle in its window)",
			machine.Advise("switch it off, as an administrator, then reboot: bcdedit /set hypervisorlaunchtype off (WSL 2 and Docker Desktop stop working; back: auto)"),
			machine.Advise("if it still runs, switch off Core isolation, Memory integrity in Windows Security"),
			machine.Advise("or use it: dcalab with provider hyperv, or WSL 2 with the sandbox driver"))
	}
	return c.OK("it does not run")
}

// networksConf is VirtualBox's list of ranges for host-only networks.
const networksConf = "/etc/vbox/networks.conf"

// hostOnlyDefault is the range where there is no such file.
func hostOnlyDefault() netip.Prefix { return netip.MustParsePrefix("192.168.56.0/21") }

// checkHostOnlyRange applies the rule of VirtualBox 6.1.28 and newer, as
// Vagrant applies it before VirtualBox does
// (plugins/providers/virtualbox/action/network.rb, validate_hostonly_ip!): not
// on Windows, and not on macOS from VirtualBox 7 on.
func (e examination) checkHostOnlyRange(version string) machine.Check {
	c := machine.Check{ID: "host-only-range", What: "host-only range"}
	switch {
	case e.GOOS == "windows":
		return c.OK("VirtualBox allows every range on Windows")
	case e.GOOS == "darwin" && atLeast(version, "7.0"):
		return c.OK("VirtualBox 7 allows every range on macOS")
	case !atLeast(version, "6.1.28"):
		return c.OK("VirtualBox " + version + " allows every range")
	}
	ranges := []netip.Prefix{hostOnlyDefault()}
	// The file replaces the default, so a new one has to repeat it.
	line := "* " + e.Lab.Subnet.Masked().String() + "\n"
	text, err := e.ReadFile(networksConf)
	switch {
	case err == nil:
		var bad []string
		ranges, bad = parseNetworksConf(string(text))
		if len(bad) > 0 {
			return c.Failure(fmt.Sprintf("%s has %q, which is no network: Vagrant fails on it", networksConf, bad[0]),
				machine.Advise("fix that line: sudoedit "+networksConf))
		}
		if len(text) > 0 && !strings.HasSuffix(string(text), "\n") {
			line = "\n" + line
		}
	case e.Exists(networksConf):
		return c.Unknown(err.Error())
	default:
		line = "* " + hostOnlyDefault().String() + "\n" + line
	}
	outside := func(a netip.Addr) bool {
		return !slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	addrs := []netip.Addr{e.Lab.Gateway()}
	for _, n := range e.Lab.Nodes {
		addrs = append(addrs, n.IP)
	}
	if !slices.ContainsFunc(addrs, outside) {
		return c.OK(fmt.Sprintf("%s is inside %s", e.Lab.Subnet, list(ranges)))
	}
	why := fmt.Sprintf("%s is outside %s, and VirtualBox %s allows no other", e.Lab.Subnet, list(ranges), version)
	if len(ranges) == 0 {
		why = fmt.Sprintf("%s allows no range at all, so %s is outside", networksConf, e.Lab.Subnet)
	}
	script := "mkdir -p /etc/vbox && printf '%b' '" + strings.ReplaceAll(line, "\n", `\n`) + "' >>" + networksConf
	return c.Failure(why, machine.Command("sudo", "sh", "-c", script),
		machine.Advise("or give the lab a subnet inside 192.168.56.0/21 in a labs.yaml of its own: dcalab init"))
}

func list(ranges []netip.Prefix) string {
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = r.String()
	}
	return strings.Join(words, ", ")
}

// parseNetworksConf reads VirtualBox's networks.conf as Vagrant does
// (load_net_conf): lines that begin with * hold networks with spaces between,
// all others are passed over. bad are words that are no network.
func parseNetworksConf(text string) (ranges []netip.Prefix, bad []string) {
	for line := range strings.Lines(text) {
		words, ok := strings.CutPrefix(strings.TrimSpace(line), "*")
		if !ok {
			continue
		}
		for _, word := range strings.Fields(words) {
			p, err := parseNetwork(word)
			if err != nil {
				bad = append(bad, word)
				continue
			}
			ranges = append(ranges, p)
		}
	}
	return ranges, bad
}

// parseNetwork takes what Ruby's IPAddr.new takes: an address alone, with a
// length, or with a mask.
func parseNetwork(word string) (netip.Prefix, error) {
	addr, length, ok := strings.Cut(word, "/")
	if !ok {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if mask, err := netip.ParseAddr(length); err == nil {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return netip.Prefix{}, err
		}
		bits, of := net.IPMask(mask.AsSlice()).Size() // 0 of 0: its ones are not all in front
		if a.BitLen() != of {
			return netip.Prefix{}, fmt.Errorf("%s is no mask of %s", length, addr)
		}
		return netip.PrefixFrom(a, bits).Masked(), nil
	}
	p, err := netip.ParsePrefix(word)
	return p.Masked(), err
}

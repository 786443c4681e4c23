package vagrant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// Examination is what the checks of this machine are about.
type Examination struct {
	Lab *lab.Lab
	// Provider that was chosen for the lab. Where it is empty, PickProvider's
	// rules decide; ProviderOrigin is what names that of Lab in place of labs.yaml.
	Provider, ProviderOrigin string
	// ID of the lab, which stands in its machines' names.
	ID string
	// Dir is the folder in which Vagrant runs.
	Dir string
	// Created tells that machines of the lab exist: what is theirs is in
	// nobody's way.
	Created bool
	// Full takes the checks along that start other programs and cost seconds:
	// Vagrant for its version, the provider for its machines.
	Full bool
	// Program is Vagrant; empty means the first on PATH.
	Program string
}

// Examine shows every check of this machine, the slow ones too.
func (d *Driver) Examine(ctx context.Context) []machine.Check { return d.examine(ctx, true) }

// examine makes all checks, or those only that cost milliseconds.
func (d *Driver) examine(ctx context.Context, full bool) []machine.Check {
	// Where it cannot be told, the checks are as strict as for a new lab.
	ids, _ := d.machineIDs()
	return realHost().examine(ctx, Examination{
		Lab: d.cfg.Lab, Provider: d.cfg.Provider, ProviderOrigin: d.cfg.ProviderOrigin, ID: d.cfg.ID, Dir: d.cfg.State.Dir(),
		Created: len(ids) > 0, Full: full, Program: d.cfg.Program,
	})
}

func (h host) examine(ctx context.Context, e Examination) []machine.Check {
	version, found := h.vagrant(ctx, e)
	checks := []machine.Check{found}
	add := func(c ...machine.Check) { checks = append(checks, c...) }

	name, c := h.checkProvider(e)
	add(c)
	if e.Full && name != "" {
		add(h.listProviders(name))
	}
	usable := c.Verdict == machine.VerdictOK
	switch {
	case name == "virtualbox" && usable:
		add(h.checkVirtualBox(ctx, e, version)...)
	case name == "libvirt" && usable:
		add(h.checkVirtualization(ctx, e, name, ""))
	case name == "hyperv" && usable:
		add(machine.Check{ID: "lab-network", What: "the lab's network"}.Warning(
			"Vagrant cannot give a machine of Hyper-V a fixed address: nodes do not get those of labs.yaml",
			machine.Advise("use VirtualBox or VMware, or add a switch and the addresses by hand")))
	}
	if name != "" {
		add(h.checkBoxes(e, name, version)...)
	}
	add(h.checkMemory(e), h.checkCPUs(e), h.checkDisk(e, name), h.checkSubnet(e, name))
	// Before a lab is made, two labs in one network are worth the look.
	if usable && (e.Full || !e.Created) {
		if c, ok := h.checkMachineNames(ctx, e, name); ok {
			add(c)
		}
	}
	add(h.checkHome())
	if c, ok := h.checkPath(e); ok {
		add(c)
	}
	return checks
}

// oldestVagrant is the oldest that dcalab takes; before architectureVagrant it
// does not choose a box by the processor; newestVagrant is named in advice.
const (
	oldestVagrant       = "2.2.0"
	architectureVagrant = "2.4.0"
	newestVagrant       = "2.4.9"
	vagrantSite         = "https://developer.hashicorp.com/vagrant/install"
)

// vagrant finds Vagrant and its version, which is empty where it is not known.
func (h host) vagrant(ctx context.Context, e Examination) (string, machine.Check) {
	c := machine.Check{ID: "vagrant", What: "Vagrant"}
	program, err := h.LookPath(cmp.Or(e.Program, "vagrant"))
	if err != nil {
		return "", c.Failure("vagrant is not on PATH", machine.Advise("install Vagrant: "+vagrantSite))
	}
	version := h.installedVagrant()
	if e.Full {
		out, err := h.Run(ctx, program, "--version")
		asked := vagrantVersion(out)
		if asked == "" {
			why := "vagrant --version does not give one: " + lastLine(out)
			if err != nil {
				why = fmt.Sprintf("vagrant --version: %v: %s", err, lastLine(out))
			}
			return "", c.Failure(why, machine.Advise("install Vagrant anew: "+vagrantSite))
		}
		version = asked
	}
	switch {
	case version == "":
		return "", c.OK(program)
	case !atLeast(version, oldestVagrant):
		return version, c.Failure("Vagrant "+version+" is too old: dcalab wants "+oldestVagrant+" or newer",
			machine.Advise("install a newer Vagrant: "+vagrantSite))
	}
	return version, c.OK(version + " (" + program + ")")
}

var vagrantVersionLine = regexp.MustCompile(`(?m)^Vagrant (\d+\.\d+\.\d+)`)

// vagrantVersion reads what `vagrant --version` prints: "Vagrant 2.3.4".
func vagrantVersion(out string) string {
	if m := vagrantVersionLine.FindStringSubmatch(out); m != nil {
		return m[1]
	}
	return ""
}

// installedVagrant reads the version off the folder that Vagrant is installed
// in, where there is exactly one such folder.
func (h host) installedVagrant() string {
	var found []string
	for _, dir := range []string{
		"/usr/share/rubygems-integration/all/gems", // Debian
		"/usr/share/vagrant/gems/gems",             // Fedora
		"/opt/vagrant/embedded/gems/gems",          // HashiCorp's packages
		`C:\Program Files\Vagrant\embedded\gems\gems`,
		`C:\HashiCorp\Vagrant\embedded\gems\gems`,
	} {
		for _, name := range h.List(dir) {
			if v, ok := strings.CutPrefix(name, "vagrant-"); ok && versionOnly.MatchString(v) {
				found = append(found, v)
			}
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

var versionOnly = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

// atLeast compares dotted numbers.
func atLeast(version, least string) bool {
	v, l := strings.Split(version, "."), strings.Split(least, ".")
	for i := range max(len(v), len(l)) {
		var a, b int
		if i < len(v) {
			a, _ = strconv.Atoi(v[i])
		}
		if i < len(l) {
			b, _ = strconv.Atoi(l[i])
		}
		if a != b {
			return a > b
		}
	}
	return true
}

// checkProvider picks the provider and tells whether it can be used. name is
// empty where there is none.
func (h host) checkProvider(e Examination) (name string, _ machine.Check) {
	c := machine.Check{ID: "provider", What: "provider"}
	name, because := e.Provider, ""
	if name == "" {
		picked, origin, err := h.pickProvider(e.Lab.Provider, cmp.Or(e.ProviderOrigin, "labs.yaml"))
		if err != nil {
			var fixes []machine.Fix
			for _, next := range adviceOf(err) {
				fixes = append(fixes, machine.Advise(next))
			}
			return "", c.Failure(err.Error(), fixes...)
		}
		name, because = picked, "; chosen by "+origin
	}
	p := h.provider(name)
	c.What = "provider " + name
	if !p.Usable {
		return name, c.Failure(p.Why+because, p.Fixes...)
	}
	return name, c.OK(p.Why + because)
}

// listProviders tells which others there are, for a lab that is to use one.
func (h host) listProviders(chosen string) machine.Check {
	c := machine.Check{ID: "other-providers", What: "other providers"}
	var usable, not []string
	for _, p := range h.providers(h.vagrantHome()) {
		switch {
		case p.Name == chosen:
		case p.Usable:
			usable = append(usable, p.Name)
		default:
			not = append(not, p.Name+" ("+p.Why+")")
		}
	}
	why := "not usable: " + strings.Join(not, ", ")
	if len(usable) > 0 {
		why = "usable: " + strings.Join(usable, ", ") + "; " + why
	}
	return c.OK(why)
}

// checkVirtualization looks for what makes virtual machines fast, or possible
// at all: version is VirtualBox's, which does without only before 6.1.
func (h host) checkVirtualization(ctx context.Context, e Examination, provider, version string) machine.Check {
	c := machine.Check{ID: "virtualization", What: "hardware virtualization"}
	firmware := machine.Advise("switch on VT-x or AMD-V (SVM) in the firmware's setup; if this is itself a virtual machine, let its hypervisor pass it on (nested virtualization)")
	switch h.GOOS {
	case "linux":
		if h.GOARCH != "amd64" {
			if h.Exists("/dev/kvm") {
				return c.OK("/dev/kvm")
			}
			return c.Warning("there is no /dev/kvm: machines would be emulated, and take minutes where others take seconds")
		}
		info, err := h.ReadFile("/proc/cpuinfo")
		if err != nil {
			return c.Unknown(err.Error())
		}
		flag := cpuFlag(string(info))
		switch {
		case flag == "" && provider == "libvirt":
			return c.Warning("the processor offers neither VT-x nor AMD-V: machines are emulated, and take minutes where others take seconds", firmware)
		case flag == "" && (version == "" || atLeast(version, "6.1")):
			return c.Failure("the processor offers neither VT-x nor AMD-V, without which VirtualBox starts no 64-bit machine", firmware)
		case flag == "":
			return c.Warning("the processor offers neither VT-x nor AMD-V", firmware)
		case provider == "libvirt" && !h.Exists("/dev/kvm"):
			module := map[string]string{"vmx": "kvm_intel", "svm": "kvm_amd"}[flag]
			return c.Warning("there is no /dev/kvm, though the processor has "+flag+": machines would be emulated",
				machine.Command("sudo", "modprobe", module))
		}
		return c.OK("the processor has " + flag)
	case "darwin":
		out, err := h.Run(ctx, "sysctl", "-n", "kern.hv_support")
		switch strings.TrimSpace(out) {
		case "1":
			return c.OK("the processor has it (kern.hv_support)")
		case "0":
			return c.Failure("the processor offers none (kern.hv_support is 0)", firmware)
		}
		return c.Unknown(fmt.Sprintf("sysctl kern.hv_support: %v", errors.Join(err, errors.New(lastLine(out)))))
	}
	if !e.Full {
		return c.Unknown("asking Windows takes seconds: see dcalab doctor")
	}
	hyperv, inFirmware, err := h.windowsHypervisor(ctx)
	switch {
	case err != nil:
		return c.Unknown(err.Error())
	case hyperv || inFirmware:
		return c.OK("the processor has it")
	}
	return c.Failure("it is switched off in the firmware", firmware)
}

// cpuFlag gives the flag of /proc/cpuinfo that stands for hardware
// virtualization: vmx (Intel) or svm (AMD).
func cpuFlag(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		for _, f := range strings.Fields(value) {
			if f == "vmx" || f == "svm" {
				return f
			}
		}
		return ""
	}
	return ""
}

// mib shows mebibytes.
func mib(n uint64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d MiB", n)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/1024)
}

func (h host) checkMemory(e Examination) machine.Check {
	c := machine.Check{ID: "memory", What: "memory"}
	available, total, err := h.Memory()
	if err != nil {
		return c.Unknown(err.Error())
	}
	available, total = available>>20, total>>20
	var want uint64
	for _, n := range e.Lab.Nodes {
		want += uint64(n.Memory)
	}
	asks := "the lab asks for " + mib(want)
	less := machine.Advise("give the nodes less memory in labs.yaml (a node with Docker wants 512 MiB), or take a smaller lab")
	switch {
	case want > total:
		return c.Failure(fmt.Sprintf("%s, and this machine has %s", asks, mib(total)), less)
	case e.Created:
		return c.OK(fmt.Sprintf("%s; this machine has %s", asks, mib(total)))
	case available == 0 && want > total/4*3:
		return c.Warning(fmt.Sprintf("%s, most of the %s that this machine has", asks, mib(total)), less)
	case available == 0:
		return c.OK(fmt.Sprintf("%s; this machine has %s", asks, mib(total)))
	case want > available:
		return c.Warning(fmt.Sprintf("%s, and %s of %s are free: this machine may swap", asks, mib(available), mib(total)), less,
			machine.Advise("close other programs"))
	}
	return c.OK(fmt.Sprintf("%s; %s of %s are free", asks, mib(available), mib(total)))
}

func (h host) checkCPUs(e Examination) machine.Check {
	c := machine.Check{ID: "cpus", What: "processors"}
	most := slices.MaxFunc(e.Lab.Nodes, func(a, b lab.Node) int { return a.CPUs - b.CPUs })
	if most.CPUs > h.CPUs {
		return c.Warning(fmt.Sprintf("%s asks for %d, and this machine has %d: it will be slow, or not start", most.Name, most.CPUs, h.CPUs),
			machine.Advise("give "+most.Name+" fewer cpus in labs.yaml"))
	}
	return c.OK(fmt.Sprintf("%d, and no node asks for more than %d", h.CPUs, most.CPUs))
}

// What a lab takes on the disk: a machine that is a linked clone, with an
// engine and some images; a box unpacked, once for all machines. Rough figures.
const (
	machineDisk = 2 << 30
	boxDisk     = 3 << 30
)

func (h host) checkDisk(e Examination, provider string) machine.Check {
	c := machine.Check{ID: "disk", What: "free disk"}
	dir, want := h.Home, uint64(len(e.Lab.Nodes))*machineDisk
	if provider == "libvirt" {
		dir = "/var/lib/libvirt/images"
	}
	if e.Created {
		want = 0
	} else {
		for _, box := range boxes(e.Lab) {
			if !h.findBox(box, provider).here {
				want += boxDisk
			}
		}
	}
	free, err := h.FreeDisk(dir)
	if err != nil {
		return c.Unknown(err.Error())
	}
	has := fmt.Sprintf("%s are free at %s", mib(free>>20), dir)
	room := machine.Advise("make room there, or take a smaller lab")
	switch {
	case free < 1<<30:
		return c.Failure("only "+has, room)
	case free < want:
		return c.Warning(fmt.Sprintf("%s, and the lab may take about %s", has, mib(want>>20)), room)
	case want == 0:
		return c.OK(has)
	}
	return c.OK(fmt.Sprintf("%s; the lab takes about %s", has, mib(want>>20)))
}

// hypervisorInterface names interfaces that hypervisors make on the host for
// networks like the lab's: VirtualBox (vboxnet0; "VirtualBox Host-Only Network"
// on Windows), VMware (vmnet1), Parallels (vnic1), and macOS's own for
// VirtualBox 7 (bridge100).
var hypervisorInterface = regexp.MustCompile(`^(vboxnet\d|VirtualBox |vmnet\d|VMware |vnic\d|bridge\d)`)

// checkSubnet looks for networks of the host that overlap the lab's, other
// than the lab's own.
func (h host) checkSubnet(e Examination, provider string) machine.Check {
	c := machine.Check{ID: "subnet", What: "subnet " + e.Lab.Subnet.String()}
	addrs, err := h.Interfaces()
	if err != nil {
		return c.Unknown(err.Error())
	}
	own := netip.PrefixFrom(e.Lab.Gateway(), e.Lab.Subnet.Bits())
	another := machine.Advise("give this lab another subnet in a labs.yaml of its own: dcalab init")
	reused := ""
	type taken struct {
		network netip.Prefix
		name    string
	}
	var all []taken
	for _, a := range addrs {
		if a.Addr == own && (e.Created || hypervisorInterface.MatchString(a.Interface)) {
			// Vagrant takes a host-only network that has the address already.
			reused = a.Interface
			continue
		}
		all = append(all, taken{a.Addr.Masked(), a.Interface})
	}
	if h.GOOS == "linux" {
		text, err := h.ReadFile("/proc/net/route")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return c.Unknown(err.Error())
		}
		for _, r := range machine.ParseRoutes(string(text)) {
			if r.Interface != reused {
				all = append(all, taken{r.Addr, r.Interface})
			}
		}
	}
	for _, t := range all {
		if !t.network.Overlaps(e.Lab.Subnet) {
			continue
		}
		if alias, err := h.ReadFile("/sys/class/net/" + t.name + "/ifalias"); err == nil && strings.HasPrefix(string(alias), "dcalab lab ") {
			return c.Failure(fmt.Sprintf("%s belongs to %s", t.network, strings.TrimSpace(string(alias))),
				machine.Advise("destroy the lab that has it: dcalab destroy, in its folder"), another)
		}
		why := fmt.Sprintf("the host has %s on %s", t.network, t.name)
		if h.GOOS == "windows" && t.network == e.Lab.Subnet {
			// There, host-only adapters can have any name.
			return c.Warning(why+"; it is in the way, unless it is the adapter of "+provider, another)
		}
		if strings.HasPrefix(t.name, "virbr") {
			return c.Failure(why+", a network of libvirt's",
				machine.Advise("destroy the lab that has it, or see whose it is: virsh net-list --all"), another)
		}
		return c.Failure(why, another)
	}
	if reused != "" && !e.Created {
		return c.OK("free; " + reused + " has it already, and will be used")
	}
	if reused != "" {
		return c.OK("the lab's own, on " + reused)
	}
	return c.OK("no route or interface of this machine is in it")
}

// checkMachineNames looks for machines of the provider that have the names of
// this lab's, or were left behind by another lab of this name.
func (h host) checkMachineNames(ctx context.Context, e Examination, provider string) (machine.Check, bool) {
	c := machine.Check{ID: "machine-names", What: "machine names"}
	var names []string
	var remove func(string) machine.Fix
	var running func() []string // where that cannot be told, none
	switch provider {
	case "virtualbox":
		program, _ := h.vboxManage()
		out, err := h.Run(ctx, program, "list", "vms")
		if err != nil {
			return c.Unknown(fmt.Sprintf("VBoxManage list vms: %v: %s", err, lastLine(out))), true
		}
		names = vboxMachines(out)
		running = func() []string {
			out, _ := h.Run(ctx, program, "list", "runningvms")
			return vboxMachines(out)
		}
		remove = func(name string) machine.Fix {
			return machine.Advise("if nobody needs it: VBoxManage unregistervm " + name + " --delete")
		}
	case "libvirt":
		if !h.have("virsh") {
			return c.Unknown("virsh is not installed"), true
		}
		out, err := h.Run(ctx, "virsh", "-c", cmp.Or(h.Getenv("LIBVIRT_DEFAULT_URI"), "qemu:///system"), "list", "--all", "--name")
		if err != nil {
			return c.Unknown(fmt.Sprintf("virsh list: %v: %s", err, lastLine(out))), true
		}
		names = strings.Fields(out)
		running = func() []string {
			out, _ := h.Run(ctx, "virsh", "-c", cmp.Or(h.Getenv("LIBVIRT_DEFAULT_URI"), "qemu:///system"), "list", "--name")
			return strings.Fields(out)
		}
		remove = func(name string) machine.Fix {
			return machine.Advise("if nobody needs it: virsh -c qemu:///system undefine " + name + " --remove-all-storage")
		}
	default:
		return c, false
	}
	if e.Created {
		return c.OK("the lab's machines exist"), true
	}
	prefix := "dcalab-" + e.Lab.Name + "-"
	for _, n := range e.Lab.Nodes {
		if name := prefix + e.ID + "-" + n.Name; slices.Contains(names, name) {
			return c.Failure("there is a machine "+name+" that this lab knows nothing of", remove(name)), true
		}
	}
	// Only those of the form dcalab-LAB-ID-NODE: lab "a" is not lab "a-b".
	theirs := regexp.MustCompile(`^` + regexp.QuoteMeta(prefix) + `[0-9a-f]{12}-[a-z0-9-]+$`)
	for _, name := range names {
		if theirs.MatchString(name) {
			verdict := c.Warning
			if slices.Contains(running(), name) {
				verdict = c.Failure
			}
			return verdict("another lab "+e.Lab.Name+" has machines here ("+name+"): both would want the same addresses",
				machine.Advise("destroy it in its own folder: dcalab destroy"), remove(name)), true
		}
	}
	return c.OK("free"), true
}

func (h host) checkHome() machine.Check {
	c := machine.Check{ID: "vagrant-home", What: "Vagrant's folder"}
	dir := h.vagrantHome()
	if err := h.Writable(dir); err != nil {
		return c.Failure(fmt.Sprintf("nothing can be written to %s: %v", dir, err),
			machine.Advise("see whose it is, and make it yours again: ls -ld "+dir),
			machine.Advise("or set VAGRANT_HOME to another folder"))
	}
	return c.OK(dir)
}

// checkPath warns of what Vagrant's programs trip over on Windows.
func (h host) checkPath(e Examination) (machine.Check, bool) {
	c := machine.Check{ID: "path", What: "paths"}
	if h.GOOS != "windows" {
		return c, false
	}
	for _, dir := range []string{h.vagrantHome(), e.Dir} {
		if strings.ContainsFunc(dir, func(r rune) bool { return r > 127 }) {
			return c.Warning(dir+" has letters that are not ASCII: Vagrant's Ruby often fails on them",
				machine.Advise(`set VAGRANT_HOME to a folder like C:\vagrant, and keep the lab in one like C:\labs`)), true
		}
	}
	return c.OK("plain"), true
}

func lastLine(out string) string {
	out = strings.TrimSpace(out)
	return strings.TrimSpace(out[strings.LastIndexByte(out, '\n')+1:])
}

// boxes of a lab, each once, in the order of its nodes.
func boxes(l *lab.Lab) []string {
	var out []string
	for _, n := range l.Nodes {
		if !slices.Contains(out, n.Box) {
			out = append(out, n.Box)
		}
	}
	return out
}

// boxState is what Vagrant's folder has of a box.
type boxState struct {
	// here: a version for the provider and this machine's processor.
	here    bool
	version string
	// others are the providers (or provider/architecture) that it is there for.
	others []string
}

// findBox looks as Vagrant does (lib/vagrant/box_collection.rb): a version's
// folder has one for each provider, and since 2.4 one for each architecture
// above those.
func (h host) findBox(box, provider string) boxState {
	name := strings.ReplaceAll(box, "/", "-VAGRANTSLASH-")
	if h.GOOS == "windows" {
		name = strings.ReplaceAll(name, ":", "-VAGRANTCOLON-")
	}
	formats := []string{provider}
	if provider == "vmware_desktop" { // the plugin takes the boxes of its ancestors
		formats = append(formats, "vmware_fusion", "vmware_workstation", "vmware")
	}
	dir := h.join(h.vagrantHome(), "boxes", name)
	var s boxState
	see := func(version, at, format, label string) {
		if !h.Exists(h.join(dir, version, at, "metadata.json")) {
			return
		}
		if slices.Contains(formats, format) && (label == "" || label == h.architecture()) {
			s.here = true
			if s.version == "" || atLeast(version, s.version) {
				s.version = version
			}
			return
		}
		s.others = append(s.others, path.Join(format, label))
	}
	for _, version := range h.List(dir) {
		for _, first := range h.List(h.join(dir, version)) {
			see(version, first, first, "")
			for _, second := range h.List(h.join(dir, version, first)) {
				see(version, h.join(first, second), second, first)
			}
		}
	}
	slices.Sort(s.others)
	s.others = slices.Compact(s.others)
	return s
}

// architecture is this machine's, as Vagrant names it.
func (h host) architecture() string {
	return cmp.Or(h.Getenv("VAGRANT_HOST_ARCHITECTURE"), map[string]string{"386": "i386"}[h.GOARCH], h.GOARCH)
}

// checkBoxes looks for the boxes, and refuses those that are known to be for
// another processor before anything is downloaded.
func (h host) checkBoxes(e Examination, provider, version string) []machine.Check {
	var out []machine.Check
	for _, box := range boxes(e.Lab) {
		c := machine.Check{ID: "box", What: "box " + box}
		arch := h.architecture()
		s := h.findBox(box, provider)
		builds := boxArchitectures(box)
		switch {
		case s.here:
			out = append(out, c.OK(s.version+" for "+provider+" is here"))
		case len(builds) > 0 && !slices.Contains(builds, arch):
			out = append(out, c.Failure(fmt.Sprintf("%s is for %s processors, and this machine's is %s", box, strings.Join(builds, " and "), arch),
				machine.Advise("take a box with a build for "+arch+" in labs.yaml: box: bento/ubuntu-24.04 has one")))
		case arch == "arm64" && len(builds) != 1 && version != "" && !atLeast(version, architectureVagrant):
			out = append(out, c.Failure("Vagrant "+version+" does not choose a box by the processor, and would download the one for amd64",
				machine.Advise("install Vagrant "+architectureVagrant+" or newer: "+vagrantSite)))
		case arch != "amd64" && len(builds) == 0:
			out = append(out, c.Warning("it is downloaded at the first up; whether there is one for "+arch+" is not known here",
				machine.Advise("see the box's page, or take bento/ubuntu-24.04, which has one")))
		case len(s.others) > 0:
			out = append(out, c.Unknown("it is here for "+strings.Join(s.others, ", ")+" only; the one for "+provider+" is downloaded at the first up, if there is one"))
		default:
			out = append(out, c.Unknown("it is downloaded at the first up"))
		}
	}
	return out
}

// boxArchitectures tells which processors a box is known to be for: none where
// that is not known. Bento builds its boxes for both (chef/bento, os_pkrvars);
// Ubuntu's, Debian's and CentOS's own, and HashiCorp's, exist for amd64 only.
func boxArchitectures(box string) []string {
	publisher, name, _ := strings.Cut(strings.ToLower(box), "/")
	switch {
	case strings.Contains(name, "arm64") || strings.Contains(name, "aarch64"):
		return []string{"arm64"}
	case strings.Contains(name, "x86_64") || strings.Contains(name, "amd64"):
		return []string{"amd64"}
	case strings.Contains(name, "i386"):
		return []string{"i386"}
	}
	switch publisher {
	case "ubuntu", "debian", "centos", "hashicorp":
		return []string{"amd64"}
	case "bento":
		return []string{"amd64", "arm64"}
	}
	return nil
}

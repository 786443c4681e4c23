package vagrant

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// examination is the checks of a host for a lab.
type examination struct {
	host
	Lab *lab.Lab
	// Provider that was chosen for the lab. Where it is empty, PickProvider's
	// rules decide; ProviderOrigin is what names that of Lab in place of labs.yaml.
	Provider, ProviderOrigin string
	// ID of the lab, part of its machines' names.
	ID string
	// Dir is the folder in which Vagrant runs.
	Dir string
	// Created tells that machines of the lab exist: what is theirs is no conflict.
	Created bool
	// Full includes the checks that start other programs and cost seconds: Vagrant
	// for its version, the provider for its machines.
	Full bool
	// Program is Vagrant; empty means the first on PATH.
	Program string
}

// Examine shows every check of this machine, the slow ones too.
func (d *Driver) Examine(ctx context.Context) []machine.Check { return d.examine(ctx, true) }

// examine makes all checks, or those only that cost milliseconds.
func (d *Driver) examine(ctx context.Context, full bool) []machine.Check {
	// Where that is unknown, the checks are as strict as for a new lab.
	ids, _ := d.dotfile.machineIDs()
	return examination{
		host: realHost(), Lab: d.cfg.Lab, Provider: d.cfg.Provider, ProviderOrigin: d.cfg.ProviderOrigin, ID: d.cfg.ID, Dir: d.cfg.State.Dir(),
		Created: len(ids) > 0, Full: full, Program: d.cfg.Program,
	}.checks(ctx)
}

func (e examination) checks(ctx context.Context) []machine.Check {
	version, found := e.vagrant(ctx)
	checks := []machine.Check{found}
	add := func(c ...machine.Check) { checks = append(checks, c...) }

	name, c := e.checkProvider()
	add(c)
	if e.Full && name != "" {
		add(e.listProviders(name))
	}
	usable := c.Verdict == machine.VerdictOK
	switch {
	case name == "virtualbox" && usable:
		add(e.checkVirtualBox(ctx, version)...)
	case name == "libvirt" && usable:
		add(e.checkVirtualization(ctx, name, ""))
	case name == "hyperv" && usable:
		add(machine.Check{ID: "lab-network", What: "the lab's network"}.Warning(
			"Vagrant cannot give a machine of Hyper-V a fixed address: nodes do not get those of labs.yaml",
			machine.Advise("use VirtualBox or VMware, or add a switch and the addresses by hand")))
	}
	if name != "" {
		add(e.checkBoxes(name, version)...)
	}
	add(e.checkMemory(), e.checkCPUs(), e.checkDisk(name), e.checkSubnet(name))
	// Before a lab is made, two labs in one network are worth the look.
	if usable && (e.Full || !e.Created) {
		if c, ok := e.checkMachineNames(ctx, name); ok {
			add(c)
		}
	}
	add(e.checkHome())
	if c, ok := e.checkPath(); ok {
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
func (e examination) vagrant(ctx context.Context) (string, machine.Check) {
	c := machine.Check{ID: "vagrant", What: "Vagrant"}
	program, err := e.LookPath(cmp.Or(e.Program, "vagrant"))
	if err != nil {
		return "", c.Failure("vagrant is not on PATH", machine.Advise("install Vagrant: "+vagrantSite))
	}
	version := e.installedVagrant()
	if e.Full {
		out, err := e.Run(ctx, program, "--version")
		asked := vagrantVersion(out)
		if asked == "" {
			why := "vagrant --version does not give one: " + lastLine(out)
			if err != nil {
				why = fmt.Sprintf("vagrant --version: %v: %s", err, lastLine(out))
			}
			return "", c.Failure(why, machine.Advise("reinstall Vagrant: "+vagrantSite))
		}
		version = asked
	}
	switch {
	case version == "":
		return "", c.OK(program)
	case !atLeast(version, oldestVagrant):
		return version, c.Failure("Vagrant "+version+" is too old: dcalab needs "+oldestVagrant+" or newer",
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
func (e examination) checkProvider() (name string, _ machine.Check) {
	c := machine.Check{ID: "provider", What: "provider"}
	name, because := e.Provider, ""
	if name == "" {
		picked, origin, err := e.pickProvider(e.Lab.Provider, cmp.Or(e.ProviderOrigin, "labs.yaml"))
		if err != nil {
			var fixes []machine.Fix
			for _, next := range trouble.Advice(err) {
				fixes = append(fixes, machine.Advise(next))
			}
			return "", c.Failure(err.Error(), fixes...)
		}
		name, because = picked, "; chosen by "+origin
	}
	p := e.provider(name)
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
func (e examination) checkPath() (machine.Check, bool) {
	c := machine.Check{ID: "path", What: "paths"}
	if e.GOOS != "windows" {
		return c, false
	}
	for _, dir := range []string{e.vagrantHome(), e.Dir} {
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

package vagrant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/machine"
)

// hypervisorInterface names interfaces that hypervisors make on the host for
// networks like the lab's: VirtualBox (vboxnet0; "VirtualBox Host-Only Network"
// on Windows), VMware (vmnet1), Parallels (vnic1), and macOS's own for
// VirtualBox 7 (bridge100).
var hypervisorInterface = regexp.MustCompile(`^(vboxnet\d|VirtualBox |vmnet\d|VMware |vnic\d|bridge\d)`)

// checkSubnet looks for networks of the host that overlap the lab's, other
// than the lab's own.
func (e examination) checkSubnet(provider string) machine.Check {
	c := machine.Check{ID: "subnet", What: "subnet " + e.Lab.Subnet.String()}
	addrs, err := e.Interfaces()
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
	if e.GOOS == "linux" {
		text, err := e.ReadFile("/proc/net/route")
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
		if alias, err := e.ReadFile("/sys/class/net/" + t.name + "/ifalias"); err == nil && strings.HasPrefix(string(alias), "dcalab lab ") {
			return c.Failure(fmt.Sprintf("%s belongs to %s", t.network, strings.TrimSpace(string(alias))),
				machine.Advise("destroy the lab that has it: dcalab destroy, in its folder"), another)
		}
		why := fmt.Sprintf("the host has %s on %s", t.network, t.name)
		if e.GOOS == "windows" && t.network == e.Lab.Subnet {
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
func (e examination) checkMachineNames(ctx context.Context, provider string) (machine.Check, bool) {
	c := machine.Check{ID: "machine-names", What: "machine names"}
	var names []string
	var remove func(string) machine.Fix
	var running func() []string // none where that is unknown
	switch provider {
	case "virtualbox":
		program, _ := e.vboxManage()
		out, err := e.Run(ctx, program, "list", "vms")
		if err != nil {
			return c.Unknown(fmt.Sprintf("VBoxManage list vms: %v: %s", err, lastLine(out))), true
		}
		names = vboxMachines(out)
		running = func() []string {
			out, _ := e.Run(ctx, program, "list", "runningvms")
			return vboxMachines(out)
		}
		remove = func(name string) machine.Fix {
			return machine.Advise("if nobody needs it: VBoxManage unregistervm " + name + " --delete")
		}
	case "libvirt":
		if !e.have("virsh") {
			return c.Unknown("virsh is not installed"), true
		}
		out, err := e.Run(ctx, "virsh", "-c", cmp.Or(e.Getenv("LIBVIRT_DEFAULT_URI"), "qemu:///system"), "list", "--all", "--name")
		if err != nil {
			return c.Unknown(fmt.Sprintf("virsh list: %v: %s", err, lastLine(out))), true
		}
		names = strings.Fields(out)
		running = func() []string {
			out, _ := e.Run(ctx, "virsh", "-c", cmp.Or(e.Getenv("LIBVIRT_DEFAULT_URI"), "qemu:///system"), "list", "--name")
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
			return verdict("another lab "+e.Lab.Name+" has machines here ("+name+"): both would use the same addresses",
				machine.Advise("destroy it in its own folder: dcalab destroy"), remove(name)), true
		}
	}
	return c.OK("free"), true
}

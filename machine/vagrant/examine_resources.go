package vagrant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// checkVirtualization looks for what makes virtual machines fast, or possible
// at all: version is VirtualBox's, which does without only before 6.1.
func (e examination) checkVirtualization(ctx context.Context, provider, version string) machine.Check {
	c := machine.Check{ID: "virtualization", What: "hardware virtualization"}
	firmware := machine.Advise("switch on VT-x or AMD-V (SVM) in the firmware's setup; if this is itself a virtual machine, let its hypervisor pass it on (nested virtualization)")
	switch e.GOOS {
	case "linux":
		if e.GOARCH != "amd64" {
			if e.Exists("/dev/kvm") {
				return c.OK("/dev/kvm")
			}
			return c.Warning("there is no /dev/kvm: machines would be emulated, and take minutes where others take seconds")
		}
		info, err := e.ReadFile("/proc/cpuinfo")
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
		case provider == "libvirt" && !e.Exists("/dev/kvm"):
			module := map[string]string{"vmx": "kvm_intel", "svm": "kvm_amd"}[flag]
			return c.Warning("there is no /dev/kvm, though the processor has "+flag+": machines would be emulated",
				machine.Command("sudo", "modprobe", module))
		}
		return c.OK("the processor has " + flag)
	case "darwin":
		out, err := e.Run(ctx, "sysctl", "-n", "kern.hv_support")
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
	hyperv, inFirmware, err := e.windowsHypervisor(ctx)
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

func (e examination) checkMemory() machine.Check {
	c := machine.Check{ID: "memory", What: "memory"}
	available, total, err := e.Memory()
	if err != nil {
		return c.Unknown(err.Error())
	}
	available, total = available>>20, total>>20
	var want uint64
	for _, n := range e.Lab.Nodes {
		want += uint64(n.Memory)
	}
	asks := "the lab asks for " + mib(want)
	less := machine.Advise("give the nodes less memory in labs.yaml (a node with Docker needs 512 MiB), or take a smaller lab")
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

func (e examination) checkCPUs() machine.Check {
	c := machine.Check{ID: "cpus", What: "processors"}
	most := slices.MaxFunc(e.Lab.Nodes, func(a, b lab.Node) int { return a.CPUs - b.CPUs })
	if most.CPUs > e.CPUs {
		return c.Warning(fmt.Sprintf("%s asks for %d, and this machine has %d: it will be slow, or not start", most.Name, most.CPUs, e.CPUs),
			machine.Advise("give "+most.Name+" fewer cpus in labs.yaml"))
	}
	return c.OK(fmt.Sprintf("%d, and no node asks for more than %d", e.CPUs, most.CPUs))
}

// What a lab takes on the disk: a machine that is a linked clone, with an
// engine and some images; a box unpacked, once for all machines. Rough figures.
const (
	machineDisk = 2 << 30
	boxDisk     = 3 << 30
)

func (e examination) checkDisk(provider string) machine.Check {
	c := machine.Check{ID: "disk", What: "free disk"}
	dir, want := e.Home, uint64(len(e.Lab.Nodes))*machineDisk
	if provider == "libvirt" {
		dir = "/var/lib/libvirt/images"
	}
	if e.Created {
		want = 0
	} else {
		for _, box := range boxes(e.Lab) {
			if !e.findBox(box, provider).here {
				want += boxDisk
			}
		}
	}
	free, err := e.FreeDisk(dir)
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

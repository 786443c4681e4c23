package sandbox

import (
	"strings"

	"github.com/dcalab/dcalab/machine"
)

// wsl is the version of the Windows Subsystem for Linux that this host is: 1 or
// 2, and 0 where it is none.
type wsl int

// wslOf reads it from the kernel's release (/proc/sys/kernel/osrelease):
// "4.4.0-19041-Microsoft" is WSL1, which has no Linux kernel;
// "5.15.153.1-microsoft-standard-WSL2", at first without "-WSL2", is WSL2. A
// kernel that somebody built for WSL2 and named otherwise counts as none.
func wslOf(osrelease string) wsl {
	name := strings.ToLower(osrelease)
	switch {
	case strings.Contains(name, "microsoft-standard"), strings.Contains(name, "wsl2"):
		return 2
	case strings.Contains(name, "microsoft"):
		return 1
	}
	return 0
}

// check tells which WSL this is. Nodes need no systemd.
func (w wsl) check(osrelease string, systemd bool) machine.Check {
	c := machine.Check{ID: "wsl", What: "Windows Subsystem for Linux"}
	if w == 1 {
		return c.Failure("this is WSL1, which has no Linux kernel: no namespaces, cgroups or overlays",
			machine.Advise("in PowerShell, make it WSL2 (wsl --list gives the name): wsl --set-version DISTRO 2"))
	}
	with := "with systemd"
	if !systemd {
		with = "without systemd, which nodes do not need"
	}
	return c.OK("WSL2, kernel " + strings.TrimSpace(osrelease) + ", " + with)
}

// modules are the fixes for a driver that the kernel lacks: otherwise, but in
// WSL2, whose kernel and modules come with WSL and not from the distribution.
func (w wsl) modules(otherwise ...machine.Fix) []machine.Fix {
	if w == 0 {
		return otherwise
	}
	return []machine.Fix{machine.Advise("the kernel is Microsoft's, and newer ones have more modules; in PowerShell: wsl --update, then wsl --shutdown")}
}

// memory are the fixes for too little of it, beside those of every host.
func (w wsl) memory() []machine.Fix {
	if w == 0 {
		return nil
	}
	return []machine.Fix{machine.Advise(`give WSL more than its half of the computer's memory: in %UserProfile%\.wslconfig, below [wsl2], memory=8GB; then in PowerShell: wsl --shutdown`)}
}

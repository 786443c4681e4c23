package vagrant

import "github.com/dcalab/dcalab/trouble"

// processorCauses are those in which the processor, or who holds it, does not
// let a virtual machine run, and the lack of memory.
func processorCauses() []cause {
	return []cause{
		{
			ID: "vagrant-hyperv-in-the-way", What: "Hyper-V holds the processor's virtualisation",
			Classes: []string{"HypervVirtualBoxError"},
			Text:    `Hyper-V and VirtualBox cannot be used together|VERR_NEM_VM_CREATE_FAILED|VERR_NEM_MISSING_KERNEL_API|VERR_SUPDRV_NO_RAW_MODE_HYPER_V_ROOT|Raw-mode is unavailable courtesy of Hyper-V|WHvCapabilityCodeHypervisorPresent is FALSE`,
			Next: say(
				"use Hyper-V itself as the provider, as administrator",
				"or switch it off, as administrator, and restart: bcdedit /set hypervisorlaunchtype off (WSL 2, Docker Desktop and memory integrity then do not run; \"auto\" switches it on again)",
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-vtx-taken", What: "another hypervisor holds the processor's virtualisation",
			Text: `VERR_VMX_IN_VMX_ROOT_MODE|VERR_SVM_IN_USE|VT-x is being used by another hypervisor|initialize KVM: Device or resource busy`,
			Next: on(
				[]string{
					"stop the other one's machines (KVM: virsh list; VirtualBox: VBoxManage list runningvms)",
					"for VirtualBox, unload KVM: sudo modprobe -r kvm_intel || sudo modprobe -r kvm_amd; from Linux 6.12 on it holds the processor always, unless the kernel starts with kvm.enable_virt_at_load=0",
					"or use libvirt as the provider, which lives with KVM",
				},
				[]string{"stop the other one (Docker Desktop, VMware, Parallels), and try again"},
				[]string{"stop the other one (VMware, an emulator), and try again", "if none runs, Hyper-V holds it: bcdedit /set hypervisorlaunchtype off, as administrator, and restart"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-vtx-off", What: "the processor's virtualisation is switched off in the firmware (BIOS, UEFI)",
			Text: `VERR_VMX_MSR_ALL_VMX_DISABLED|VERR_VMX_MSR_VMX_DISABLED|VERR_VMX_MSR_VMXON_DISABLED|VERR_SVM_DISABLED|(VT-x|AMD-V|SVM) is disabled in the BIOS`,
			Next: say("switch on VT-x (Intel) or SVM (AMD) in the firmware's setup, then power the computer off and on", "where that cannot be done: driver: sandbox in labs.yaml, on Linux"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-vtx-missing", What: "there is no hardware virtualisation here",
			Text: `VERR_VMX_NO_VMX|VERR_SVM_NO_SVM|VERR_NEM_NOT_AVAILABLE|VT-x is not available|AMD-V is not available`,
			Next: on(
				[]string{"see whether the processor has it: grep -Ec 'vmx|svm' /proc/cpuinfo (0: switched off in the firmware, or this is a virtual machine whose host does not pass it on)", "without it: driver: sandbox in labs.yaml"},
				[]string{"a Mac with Apple silicon needs VirtualBox 7.1 or later, or another provider, and boxes for arm64"},
				[]string{"switch on VT-x (Intel) or SVM (AMD) in the firmware's setup", "if it is on, Hyper-V holds it: bcdedit /set hypervisorlaunchtype off, as administrator, and restart"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-architecture", What: "the box is for another kind of processor than this machine's",
			Machine: true,
			Text:    `VBOX_E_PLATFORM_ARCH_NOT_SUPPORTED|platform architecture \w+ is not supported on|unsupported configuration: Emulator '[^']*' does not support (arch|os)|could not find capabilities for arch=`,
			Next:    say("give the node a box that exists for this machine's processor (Apple silicon and other arm64: one with arm64 among its architectures), in labs.yaml", "then recreate the node: dcalab destroy NODE, dcalab up NODE"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-kvm", What: "KVM cannot be used",
			Text: `Could not access KVM kernel module|failed to initialize kvm|could not find capabilities for domaintype=kvm|does not support virt type 'kvm'|Domain requires KVM, but it is not available|KVM is not available|/dev/kvm: (Permission denied|No such file)`,
			Next: say(
				"see whether it is there: ls -l /dev/kvm; if not, load it: sudo modprobe kvm_intel || sudo modprobe kvm_amd",
				"if it is not allowed: sudo usermod -aG kvm \"$USER\", then log in again (for libvirt's own processes: the group of /dev/kvm must be kvm)",
				"if there is no hardware virtualisation here: driver: sandbox in labs.yaml",
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-cpu-model", What: "this processor is not what the machine's configuration asks for",
			Text: `guest and host CPU are not compatible|the CPU is incompatible with host CPU|guest CPU doesn't match specification|CPU mode '[^']*' for .* is not supported by hypervisor|host doesn't support requested feature|unsupported configuration: CPU model`,
			Next: say("see what libvirt thinks of this processor: virsh -c qemu:///system domcapabilities", "if the machine came from another computer, or the processor was changed, recreate it: dcalab destroy, then dcalab up"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-memory", What: "there is not enough memory",
			Text: `VERR_NO_MEMORY|VERR_NO_LOW_MEMORY|VERR_HM_NO_MEMORY|VERR_PGM_.*NO_MEMORY|cannot set up guest memory|unable to map backing store for guest RAM|Cannot allocate memory|Not enough memory (in the system )?to start|Out of memory condition`,
			Next: on(
				[]string{"see what is free: free -h; what runs: dcalab status, virsh list, VBoxManage list runningvms", "close something, or halt another lab (dcalab halt --lab OTHER), or give the nodes less memory in labs.yaml"},
				[]string{"see what is free: Activity Monitor; what runs: dcalab status", "close something, or halt another lab (dcalab halt --lab OTHER), or give the nodes less memory in labs.yaml"},
				[]string{"see what is free: Task Manager; what runs: dcalab status", "close something, or halt another lab (dcalab halt --lab OTHER), or give the nodes less memory in labs.yaml"},
			),
			Exit: trouble.ExitRequirement,
		},
	}
}

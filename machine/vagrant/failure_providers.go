package vagrant

import (
	"cmp"
	"net/netip"

	"github.com/dcalab/dcalab/trouble"
)

// providerCauses are those in which a provider is not there, is not what this
// Vagrant can use, or may not do what it is asked for.
func providerCauses() []cause {
	return []cause{
		{
			ID: "vagrant-virtualbox-missing", What: "VirtualBox is not installed, or not on PATH",
			Classes: []string{"VirtualBoxNotDetected", "VBoxManageNotFoundError"},
			Text:    "could not detect VirtualBox!|The \"VBoxManage\" command or one of its dependencies could not be found",
			Next: on(
				[]string{"install VirtualBox with the package manager of this system (Debian, Ubuntu: sudo apt install virtualbox), or from virtualbox.org", "or use another provider: dcalab doctor says which this machine has"},
				[]string{"install it: brew install --cask virtualbox", "or use another provider: dcalab doctor says which this machine has"},
				[]string{"install it: winget install Oracle.VirtualBox", "then log out and in again, so that PATH has it"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-virtualbox-modules", What: "the kernel has no modules of VirtualBox",
			Classes: []string{"VirtualBoxKernelModuleNotLoaded"},
			Text:    `VirtualBox is complaining that the kernel module is not loaded|vboxdrv kernel module is not loaded|VirtualBox kernel modules? (are|is) not loaded|Kernel driver not installed|VERR_VM_DRIVER_NOT_INSTALLED`,
			Next: on(
				[]string{"load them: sudo modprobe -a vboxdrv vboxnetadp vboxnetflt", "if there are none for this kernel, build them: sudo apt install linux-headers-$(uname -r) && sudo /sbin/vboxconfig", "with Secure Boot they must be signed: mokutil --sb-state tells whether it is on"},
				[]string{"allow the extension of Oracle America, Inc. in System Settings, Privacy & Security, and restart"},
				[]string{"repair the installation: run VirtualBox's installer again, as administrator, and restart"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-virtualbox-extension-blocked", What: "the system does not let VirtualBox's drivers in",
			Text: `failed to open /dev/vboxnetctl`,
			Next: on(
				[]string{"load the drivers: sudo modprobe -a vboxdrv vboxnetadp vboxnetflt", "if they cannot be loaded, build them for this kernel: sudo /sbin/vboxconfig"},
				[]string{"allow the extension of Oracle America, Inc. in System Settings, Privacy & Security, and restart", "if it is allowed already, load it again: sudo \"/Library/Application Support/VirtualBox/LaunchDaemons/VirtualBoxStartup.sh\" restart"},
				[]string{"repair the installation: run VirtualBox's installer again, as administrator, and restart"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-virtualbox-version", What: "this Vagrant does not know this version of VirtualBox",
			Classes: []string{"VirtualBoxInvalidVersion", "VirtualBoxBrokenVersion040214"},
			Text:    `version of VirtualBox installed that is not supported by this version of Vagrant`,
			Next: say(
				"see both versions, and whether VirtualBox warns of something before its own: VBoxManage --version; vagrant --version",
				"install a newer Vagrant from developer.hashicorp.com/vagrant (2.4.2 and later know VirtualBox 7.1, 2.4.9 and later 7.2), or a VirtualBox that this one knows",
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-virtualbox-broken", What: "VirtualBox is installed and does not work",
			Classes: []string{"VirtualBoxInstallIncomplete", "VBoxManageLaunchError", "VirtualBoxVersionEmpty", "VirtualBoxMachineFolderNotFound", "VirtualBoxNoName"},
			Text:    `VirtualBox is complaining that the installation is incomplete|There was an error running VBoxManage\.|calls to detect the version are returning empty`,
			Next: on(
				[]string{"see VirtualBox's own message: VBoxManage --version", "install virtualbox-dkms and the kernel's headers (Debian, Ubuntu), or install VirtualBox again"},
				[]string{"see VirtualBox's own message: VBoxManage --version", "install VirtualBox again, and restart"},
				[]string{"see VirtualBox's own message: & \"$Env:VBOX_MSI_INSTALL_PATH\\VBoxManage.exe\" --version", "install VirtualBox again, as administrator, and restart"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-virtualbox-user", What: "the machine belongs to another user of this computer",
			Classes: []string{"VirtualBoxUserMismatch"}, Machine: true,
			Text: `The VirtualBox VM was created with a user that doesn't match`,
			Next: say("run dcalab as the user who made the lab (with sudo if it was made with sudo, without it if not)", "or let that user destroy it: dcalab destroy"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-host-only-range", What: "VirtualBox refuses the lab's addresses",
			Classes: []string{"VirtualBoxInvalidHostSubnet"},
			Text:    `host-only network is not within the allowed ranges.*?Address: ([0-9.]*)|E_ACCESSDENIED.*EnableStaticIPConfig`,
			Next:    hostOnlyRange,
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-host-only-interface", What: "VirtualBox has no host-only interface for the lab",
			Classes: []string{"NetworkNotFound"},
			Text:    `Failed to create the host-only adapter|VERR_INTNET_FLT_IF_NOT_FOUND|VERR_INTNET_FLT_IF_FAILED|VERR_SUPDRV_COMPONENT_NOT_FOUND|The host network interface with the given name could not be found|is not a Host-Only Adapter interface`,
			Next: on(
				[]string{"load the drivers of its networks: sudo modprobe -a vboxnetadp vboxnetflt", "see the interfaces that it has: VBoxManage list hostonlyifs"},
				[]string{"allow the extension of Oracle America, Inc. in System Settings, Privacy & Security, and restart", "see the interfaces that it has: VBoxManage list hostonlyifs; VBoxManage list hostonlynets"},
				[]string{"in Network Connections (ncpa.cpl), disable and enable the VirtualBox Host-Only adapter, and see that its VirtualBox NDIS6 Bridged Networking Driver is ticked", "if there is none, run VirtualBox's installer again, as administrator"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-network-taken", What: "another network already uses the lab's subnet",
			Classes: []string{"NetworkCollision", "NetworkingHostOnlyCollision", "VMNetDeviceRouteConflict", "NetworkDHCPAlreadyAttached"},
			Text:    `The specified host network collides with a non-hostonly network|The host only network with the IP '[^']*' would collide|its routes collide with another device`,
			Next:    say("see what has it: dcalab doctor", "free it (a VPN, another hypervisor's network, another lab), or give this lab another subnet in labs.yaml"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-provider-plugin", What: "Vagrant lacks the provider's plugin",
			Classes: []string{"ProviderNotFound", "ProviderNotFoundSuggestion"},
			Text:    `The provider '([^']+)' could not be found, but was requested`,
			Next:    providerPlugin,
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-vmware-utility", What: "the Vagrant VMware Utility does not answer",
			Classes: []string{"DriverAPICertificateError", "DriverAPIKeyError", "DriverAPIConnectionFailed", "DriverAPIRequestUnexpectedError", "DriverAPIInvalidResponse", "UtilityUpgradeRequired"},
			Text:    `Failed to connect the Vagrant VMware Utility service|load the utility service key file|version of the Vagrant VMware utility is not supported|Vagrant VMware Utility driver`,
			Next: on(
				[]string{"install it from developer.hashicorp.com/vagrant/install/vmware", "start it: sudo systemctl start vagrant-vmware-utility"},
				[]string{"install it: brew install --cask vagrant-vmware-utility", "start it: sudo launchctl load -w /Library/LaunchDaemons/com.vagrant.vagrant-vmware-utility.plist"},
				[]string{"install it from developer.hashicorp.com/vagrant/install/vmware", "start it, as administrator: net start vagrant-vmware-utility"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-vmware-missing", What: "VMware is not installed, or not in a state to run",
			Classes: []string{"VMRunNotFound", "WorkstationUpgradeRequired", "FusionUpgradeRequired", "FeatureNotSupported", "DriverReadVersionFailed", "DriverAPIVMwareVersionDetectionError", "DriverAPIVMwarePathsDetectionError", "VMwareLinuxServiceWontStart"},
			Text:    "The `vmrun` binary could not be found|license that doesn't allow you to use the installed version of (Workstation|Fusion)|The VMware Linux services aren't running",
			Next: on(
				[]string{"install VMware Workstation Pro, and start it once to accept its terms", "build its kernel modules: sudo vmware-modconfig --console --install-all"},
				[]string{"install VMware Fusion, and start it once to accept its terms"},
				[]string{"install VMware Workstation Pro, and start it once to accept its terms"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-parallels-missing", What: "Parallels Desktop Pro is not installed",
			Classes: []string{"ParallelsNotDetected", "ParallelsUnsupportedEdition", "ParallelsUnsupportedVersion", "ParallelsInstallIncomplete", "ParallelsInvalidVersion", "MacOSXRequired"},
			Text:    `could not detect Parallels Desktop|edition of Parallels Desktop for Mac installed that is not supported|version of Parallels Desktop for Mac installed that is not supported|Parallels provider works only on macOS`,
			Next: on(
				[]string{"it exists for macOS only; use another provider: dcalab doctor says which this machine has"},
				[]string{"install Parallels Desktop, Pro or Business edition: the standard one has no prlctl", "or use another provider: dcalab doctor says which this machine has"},
				[]string{"it exists for macOS only; use another provider: dcalab doctor says which this machine has"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-hyperv-admin", What: "Hyper-V needs an administrator",
			Classes: []string{"AdminRequired", "SystemAccessRequired"},
			Text:    `Hyper-V provider requires that Vagrant be run with administrative privileges|Hyper-V access check has failed`,
			Next:    say("open the terminal with \"Run as administrator\", and run the same command there"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-hyperv-off", What: "Hyper-V is not switched on",
			Classes: []string{"PowerShellFeaturesDisabled", "PowerShellRequired", "PowerShellNotFound", "PowerShellInvalidVersion"},
			Text:    `The Hyper-V cmdlets for PowerShell are not available|Failed to locate the powershell executable|Please make sure "powershell\.exe" is available|version of powershell currently installed on this host is less`,
			Next:    say("switch it on, in PowerShell as administrator: Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All", "then restart; Windows' Home edition has no Hyper-V, VirtualBox runs there"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-hyperv-switch", What: "Hyper-V has no virtual switch for the lab",
			Classes: []string{"NoSwitches"},
			Text:    `There are no virtual switches created for Hyper-V`,
			Next:    say("make one, in PowerShell as administrator: New-VMSwitch -Name dcalab -SwitchType Internal", "the Default Switch of Windows 10 and later serves too, with addresses of its own choice"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-hyperv-elsewhere", What: "Hyper-V exists on Windows only",
			Classes: []string{"WindowsRequired"},
			Text:    `The Hyper-V provider only works on Windows`,
			Next:    say("use another provider: dcalab doctor says which this machine has"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-wsl", What: "Vagrant does not leave the Windows Subsystem for Linux by itself",
			Classes: []string{"WSLVagrantAccessError", "WSLVirtualBoxWindowsAccessError", "WSLVagrantVersionMismatch", "WSLRootFsNotFoundError"},
			Text:    `will not operate outside the Windows Subsystem for Linux|VirtualBox provider from the Windows Subsystem for Linux without access|does not match this version of Vagrant running within the Windows Subsystem`,
			Next: say(
				"run dcalab and Vagrant in Windows itself (PowerShell): the simplest",
				"or, in WSL, let Vagrant use Windows' VirtualBox: export VAGRANT_WSL_ENABLE_WINDOWS_ACCESS=1, the same version of Vagrant on both sides, and the lab in a folder below /mnt/c",
				"or run the lab inside WSL without virtual machines: driver: sandbox in labs.yaml",
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-other-provider", What: "the machine was made with another provider",
			Classes: []string{"ActiveMachineWithDifferentProvider"}, Machine: true,
			Text: `An active machine was found with a different provider.*?Active provider: (\w+)`,
			Next: func(f failure) []string {
				before := "the one before"
				if len(f.found) > 1 && f.found[1] != "" {
					before = f.found[1]
				}
				return []string{"go on with " + before + ": name it as the provider again", "or recreate the lab: dcalab destroy, then dcalab up"}
			},
			Exit: trouble.ExitRefused,
		},
		{
			ID: "vagrant-no-provider", What: "Vagrant has no provider that works here",
			Classes: []string{"NoDefaultProvider"},
			Text:    `No usable default provider could be found`,
			Next:    say("see what each provider lacks: dcalab doctor", "without virtual machines, on Linux: driver: sandbox in labs.yaml"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-provider-unusable", What: "the provider cannot be used here",
			Classes: []string{"ProviderNotUsable"},
			Next:    say("see what each provider lacks: dcalab doctor"),
			Exit:    trouble.ExitRequirement,
		},
	}
}

// hostOnlyRange lets the lab's own /24 in and keeps VirtualBox's default,
// which holds only while the file does not exist.
func hostOnlyRange(f failure) []string {
	subnet := "10.20.20.0/24"
	if len(f.found) > 1 {
		if a, err := netip.ParseAddr(f.found[1]); err == nil {
			subnet = netip.PrefixFrom(a, 24).Masked().String()
		}
	}
	if f.GOOS == "windows" {
		return []string{"give the lab a subnet inside 192.168.56.0/21 in labs.yaml, and recreate it: dcalab destroy, then dcalab up"}
	}
	return []string{
		"allow the lab's subnet: sudo mkdir -p /etc/vbox && echo '* " + subnet + " 192.168.56.0/21' | sudo tee -a /etc/vbox/networks.conf",
		"or give the lab a subnet inside 192.168.56.0/21 in labs.yaml",
	}
}

func providerPlugin(f failure) []string {
	provider := f.Provider
	if len(f.found) > 1 {
		provider = f.found[1]
	}
	switch provider {
	case "vmware_desktop", "vmware_fusion", "vmware_workstation":
		return []string{"install it: vagrant plugin install vagrant-vmware-desktop", "it also needs the Vagrant VMware Utility, from developer.hashicorp.com/vagrant/install/vmware"}
	case "parallels":
		return []string{"install it: vagrant plugin install vagrant-parallels"}
	case "libvirt":
		return []string{"install it: vagrant plugin install vagrant-libvirt (Debian, Ubuntu: sudo apt install vagrant-libvirt, if Vagrant came from there too)"}
	case "virtualbox", "hyperv":
		return []string{"Vagrant brings this one along; see what went wrong with it: vagrant plugin list"}
	}
	return []string{"see the plugins that there are: vagrant plugin list", "install the one that brings " + cmp.Or(provider, "the provider") + ", or use another provider: dcalab doctor says which this machine has"}
}

package vagrant

import "github.com/dcalab/dcalab/trouble"

// machineCauses are those of one machine: its name, its boot, the way into it.
func machineCauses() []cause {
	return []cause{
		{
			ID: "vagrant-ssh-refused-key", What: "the machine does not accept the key",
			Classes: []string{"SSHAuthenticationFailed", "SSHKeyTypeNotSupported", "SSHInsertKeyUnsupported", "SSHKeyTypeNotSupportedByServer"}, Machine: true,
			// Before the boot timeout, which is how Vagrant ends when a guest refuses.
			Text: `Warning: Authentication failure\. Retrying|SSH authentication failed!|Authentication failed for user|uses an unsupported encryption type`,
			Next: say("the key that it knows is not the one that Vagrant kept, as after a snapshot, or a first start cut short: recreate the machine: dcalab destroy NODE, dcalab up NODE", "an old Vagrant and a new system may share no kind of key: vagrant --version (2.4 makes ed25519 keys)"),
			Exit: trouble.ExitFailure,
		},
		{
			ID: idBootTimeout, What: "the machine did not answer in time",
			Classes: []string{"VMBootTimeout", "StartTimeout"}, Machine: true,
			Text: `Timed out while waiting for the machine to boot|timed out while trying to start the VMware machine`,
			Next: say("wait a minute and go on: dcalab up; a machine that boots slowly is taken as it is", "watch it boot in the provider's window (VirtualBox, virt-manager, Hyper-V Manager): it says why it stops", "if it never does, recreate it: dcalab destroy NODE, dcalab up NODE"),
			Exit: trouble.ExitUnfinished,
		},
		{
			ID: "vagrant-ssh-key-permissions", What: "the machine's private key can be read by others, or belongs to another user",
			Classes: []string{"SSHKeyBadPermissions", "SSHKeyBadOwner", "CopyPrivateKeyFailed"},
			Text:    `private key to connect to (this box|the machine) via SSH (has invalid permissions|must be owned)|UNPROTECTED PRIVATE KEY FILE`,
			Next: on(
				[]string{"take it back, in the folder of labs.yaml: sudo chown -R \"$USER\" .dcalab ~/.vagrant.d && find .dcalab -name private_key -exec chmod 600 {} +", "a file system without permissions (USB stick, /mnt/c in WSL) cannot hold keys: move the lab's folder to another"},
				[]string{"take it back, in the folder of labs.yaml: sudo chown -R \"$USER\" .dcalab ~/.vagrant.d && find .dcalab -name private_key -exec chmod 600 {} +", "a file system without permissions (USB stick) cannot hold keys: move the lab's folder to another"},
				[]string{"in the file's properties, Security, leave only yourself, as its owner; or recreate the node: dcalab destroy NODE, dcalab up NODE"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-ssh-lost", What: "the connection to the machine was lost",
			Classes: []string{"SSHConnectionRefused", "SSHConnectionAborted", "SSHConnectionReset", "SSHConnectionTimeout", "SSHDisconnected", "SSHHostDown", "SSHNoRoute", "SSHNoExitStatus", "SSHChannelOpenFail", "SSHConnectEACCES", "NetSSHException"}, Machine: true,
			Text: `SSH connection was (refused|aborted|reset|unexpectedly closed)|Vagrant timed out while attempting to connect via SSH|SSH connection was unexpectedly closed`,
			Next: say("go on: dcalab up", "if it happens again, watch the machine in the provider's window; too little memory and a stopped machine look like this"),
			Exit: trouble.ExitUnfinished,
		},
		{
			ID: "vagrant-ssh-client", What: "there is no OpenSSH client here",
			Classes: []string{"SSHUnavailable", "SSHUnavailableWindows", "SSHIsPuttyLink"},
			Text:    "`ssh` (binary could not be found|executable not found)|is a PuTTY Link SSH client",
			Next: on(
				[]string{"install it (Debian, Ubuntu): sudo apt install openssh-client"},
				[]string{"macOS has it: see that /usr/bin is in PATH"},
				[]string{"install it, in PowerShell as administrator: Add-WindowsCapability -Online -Name OpenSSH.Client~~~~0.0.1.0", "and see that it comes before others in PATH: where.exe ssh"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-not-running", What: "the machine does not run",
			Classes: []string{"SSHNotReady", "VMNotCreatedError", "VMNotRunningError", "MachineGuestNotReady", "NoDomainError"}, Machine: true,
			Text: `reporting that it is not yet ready for SSH|VM must be (created before running this command|running to open SSH)|No domain found|Domain not found`,
			Next: say("see its state: dcalab status", "start it, or recreate it: dcalab up"),
			Exit: trouble.ExitFailure,
		},
		{
			ID: "vagrant-no-address", What: "the machine got no address",
			Classes: []string{"NoIpAddressError", "IPAddrTimeout", "CannotGetSSHInfo"}, Machine: true,
			Text: `No IP address found|failed to determine your machine's IP address|Waiting for domain to get an IP address.*(Fog::Errors::TimeoutError|wait_for timeout)|The specified wait_for timeout`,
			Next: on(
				[]string{"see whether it booted, and got one: virsh -c qemu:///system list; virsh -c qemu:///system net-dhcp-leases vagrant-libvirt", "a firewall that stops DHCP on the bridge (ufw, firewalld, Docker's rules) looks like this: sudo systemctl restart libvirtd puts libvirt's rules back", "then continue: dcalab up"},
				[]string{"watch it boot in the provider's window", "then continue: dcalab up"},
				[]string{"watch it boot in Hyper-V Manager; its switch must have a DHCP server (the Default Switch has), and the box Hyper-V's integration services", "then continue: dcalab up"},
			),
			Exit: trouble.ExitUnfinished,
		},
		{
			ID: "vagrant-boot-died", What: "the machine stopped while it booted",
			Classes: []string{"VMBootBadState"}, Machine: true,
			Text: `entered an invalid state while waiting for it to boot|The VM session was aborted|has terminated unexpectedly during startup|The machine is in the '(gurumeditation|aborted|poweroff)' state`,
			Next: say("start it in the provider's window: it says more there", "on Apple silicon, a box for amd64 ends like this: take one that has arm64, in labs.yaml", "on Linux, after an update of the kernel: sudo /sbin/vboxconfig; then dcalab up"),
			Exit: trouble.ExitFailure,
		},
		{
			ID: "vagrant-name-taken", What: "another machine has the name",
			Classes: []string{"VirtualBoxNameExists", "VMNameExists", "DomainNameExists", "CloneFolderExists"}, Machine: true,
			Text: `another VM with that name already exists|virtual machine with the name '[^']*' already exists|VirtualBox machine with the name|Machine settings file '[^']*' already exists|of domain about to create is already taken|domain '[^']*' already exists with uuid|Could not rename the directory`,
			Next: on(
				[]string{"see whose it is: VBoxManage list vms; virsh -c qemu:///system list --all", "if it is left from this lab, remove it: VBoxManage unregistervm NAME --delete; virsh -c qemu:///system undefine NAME --remove-all-storage", "if only a folder of the name is left in ~/'VirtualBox VMs', remove that; then dcalab up"},
				[]string{"see whose it is: VBoxManage list vms; prlctl list --all", "if it is left from this lab, remove it: VBoxManage unregistervm NAME --delete; prlctl delete NAME", "if only a folder of the name is left in ~/'VirtualBox VMs', remove that; then dcalab up"},
				[]string{"see whose it is: VBoxManage list vms; Get-VM", "if it is left from this lab, remove it: VBoxManage unregistervm NAME --delete; Remove-VM NAME", "if only a folder of the name is left in \"VirtualBox VMs\", remove that; then dcalab up"},
			),
			Exit: trouble.ExitRefused,
		},
		{
			ID: "vagrant-inaccessible", What: "the machine was deleted or moved behind Vagrant's back",
			Classes: []string{"VMInaccessible", "VirtualBoxConfigNotFound", "VMNotFoundError", "DriverMissingVMX", "DestroyInvalidState", "VirtualBoxGuestPropertyNotFound"}, Machine: true,
			Text: `Your VM has become "inaccessible|Could not find a registered machine|VBOX_E_OBJECT_NOT_FOUND.*FindMachine|unable to locate the configuration file for the requested VirtualBox VM|The VM is inaccessible`,
			Next: say("remove what is left of it in the provider's window (VirtualBox shows it as inaccessible)", "then recreate it: dcalab destroy NODE, dcalab up NODE"),
			Exit: trouble.ExitFailure,
		},
		{
			ID: "vagrant-session", What: "VirtualBox itself holds the machine",
			Text:    `is already locked (by|for) a session|is locked for (reading|writing) by another task|VBOX_E_INVALID_OBJECT_STATE.*Lock(Machine|Type)`,
			Machine: true,
			Next: on(
				[]string{"close the machine's window and settings in VirtualBox, and try again", "if it stays, end what holds it: pgrep -a VBoxHeadless shows the process; VBoxManage startvm NAME --type emergencystop lets go of it"},
				[]string{"close the machine's window and settings in VirtualBox, and try again", "if it stays, end what holds it: VBoxManage startvm NAME --type emergencystop"},
				[]string{"close the machine's window and settings in VirtualBox, and try again", "if it stays, end VBoxHeadless.exe in Task Manager"},
			),
			Exit: trouble.ExitRefused,
		},
		{
			ID: "vagrant-port", What: "a port that Vagrant forwards is taken",
			Classes: []string{"ForwardPortCollision", "ForwardPortAutolistEmpty", "ForwardedPortsCollideWithExistingNAT"}, Machine: true,
			Text: `cannot forward the specified ports on this VM|couldn't be auto-corrected to a new port|would collide with existing forwarded ports|VERR_NAT_REDIR_SETUP`,
			Next: on(
				[]string{"see who listens: ss -ltnp; ports 2200 to 2250 and 2222 are the ones that Vagrant takes for SSH", "stop it, or halt other machines (vagrant global-status shows them), and: dcalab up"},
				[]string{"see who listens: lsof -nP -iTCP -sTCP:LISTEN; ports 2200 to 2250 and 2222 are the ones that Vagrant takes for SSH", "stop it, or halt other machines (vagrant global-status shows them), and: dcalab up"},
				[]string{"see who listens: netstat -ano -p tcp; ports 2200 to 2250 and 2222 are the ones that Vagrant takes for SSH", "stop it, or halt other machines (vagrant global-status shows them), and: dcalab up"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-synced-folder", What: "a folder was to be shared with the machine",
			Classes: []string{"NFSBadExports", "NFSCantReadExports", "NFSClientNotInstalledInGuest", "NFSDupePerms", "NFSExportsFailed", "NFSMountFailed", "NFSNoGuestIP", "NFSNoHostIP", "NFSNoHostonlyNetwork", "NFSNoNetwork", "NFSNotSupported", "NoDefaultSyncedFolderImpl", "SyncedFolderUnusable", "VirtualBoxMountFailed", "VirtualBoxMountNotSupportedBSD", "ParallelsMountFailed", "LinuxMountFailed", "SharedFolderCreateFailed", "RSyncError", "RSyncNotFound", "RSyncNotInstalledInGuest", "GuestMissingHGFS"}, Machine: true,
			Text: `NFS is reporting that your exports file is invalid|Mounting NFS shared folders failed|machine doesn't support NFS|unable to mount (VirtualBox|Parallels Desktop) shared folders|Failed to mount folders in Linux guest|"rsync" (could not be found|was not detected)|synced folder type '[^']*' is reporting as unusable`,
			Next: say("dcalab shares none; the wish comes from ~/.vagrant.d/Vagrantfile or from the box: see config.vm.synced_folder in the first", "the machine runs anyway: dcalab up continues"),
			Exit: trouble.ExitFailure,
		},
		{
			ID: "vagrant-guest", What: "Vagrant could not set up the system in the machine",
			Classes: []string{"GuestNotDetected", "GuestCapabilityNotFound", "GuestCapabilityInvalid", "GuestExplicitNotDetected", "NetworkTypeNotSupported", "NetworkManagerNotInstalled", "NetplanNoAvailableRenderers", "SSHBadExitStatus", "SSHBadExitStatusMuted", "CantReadMACAddresses", "ShellExpandFailed", "SSHInvalidShell"}, Machine: true,
			Text: `guest operating system of the machine could not be detected|The following SSH command responded with a non-zero exit status`,
			Next: say("look inside: dcalab vagrant -- ssh NODE", "if it is the box that is odd, take another in labs.yaml, and: dcalab destroy NODE, dcalab up NODE"),
			Exit: trouble.ExitFailure,
		},
	}
}

package vagrant

import "github.com/dcalab/dcalab/trouble"

// libvirtCauses are those of libvirt, its networks and its storage.
func libvirtCauses() []cause {
	return []cause{
		{
			ID: "vagrant-libvirt-denied", What: "libvirt does not let this user in",
			Text: `libvirt-sock(-ro)?': Permission denied|no polkit agent available|access denied by policy|authentication unavailable|authentication failed: polkit`,
			Next: say("join its group: sudo usermod -aG libvirt \"$USER\", then log out and in again", "see that it works: virsh -c qemu:///system list"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-libvirt-down", What: "libvirt does not run",
			Text: `libvirt-sock(-ro)?': (No such file or directory|Connection refused)|(virtqemud|virtnetworkd|virtstoraged|virtlogd)-sock|Cannot recv data: Connection reset|End of file while reading data`,
			Next: say("start it: sudo systemctl enable --now libvirtd (without systemd: sudo service libvirtd start)", "if it is not installed (Debian, Ubuntu): sudo apt install libvirt-daemon-system qemu-system-x86", "see that it works: virsh -c qemu:///system list"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-libvirt-connection", What: "Vagrant cannot connect to libvirt",
			Classes: []string{"FogLibvirtConnectionError"},
			Text:    `Error while connecting to Libvirt`,
			Next:    say("see what libvirt says itself: virsh -c qemu:///system list", "see what each provider lacks: dcalab doctor"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-libvirt-network-taken", What: "another network already uses the addresses of a network of the lab",
			Text: `Network is already in use by interface|Failed to add IP address \S+ to \S+: (File exists|Address already in use)|error creating bridge interface \S+: File exists|failed to create listening socket for .*Address already in use|bridge name '[^']*' already in use`,
			Next: say("see the networks of libvirt and of this machine: virsh -c qemu:///system net-list --all; ip -brief address", "remove the one that is in the way (virsh net-destroy NAME, virsh net-undefine NAME; VirtualBox's: VBoxManage hostonlyif remove NAME)", "or give the lab another subnet in labs.yaml"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-libvirt-network-other", What: "libvirt has a network of this name that differs from what the lab needs",
			Classes: []string{"NetworkNameAndAddressMismatch", "DHCPMismatch", "NetworkNotAvailableError", "ManagementNetworkError"},
			Text:    `Address \S+ does not match with network name|exists but does not have dhcp|Error in specification of management network`,
			Next:    say("it may be left from a lab whose subnet was changed; see it: virsh -c qemu:///system net-list --all; virsh -c qemu:///system net-dumpxml NAME", "remove it when no machine uses it: virsh -c qemu:///system net-destroy NAME; virsh -c qemu:///system net-undefine NAME"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-libvirt-network-down", What: "a network of libvirt cannot be started",
			Classes: []string{"CreateNetworkError", "ActivateNetworkError", "AutostartNetworkError"},
			Text:    `Network '[^']+' is not active|network '[^']+' is not active|Failed to (find path for|run) dnsmasq|dnsmasq(' binary| binary)?: No such file|Failed to (apply|initialize) firewall|Error while activating network|Error while setting up autostart on network|Error occurred while creating new network`,
			Next: say(
				"start it and see the error: virsh -c qemu:///system net-start NAME (virsh -c qemu:///system net-list --all shows the names)",
				"libvirt needs dnsmasq and iptables (Debian, Ubuntu): sudo apt install dnsmasq-base iptables",
				"after a change of the firewall: sudo systemctl restart libvirtd",
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-libvirt-pool", What: "libvirt has no storage pool for the machines",
			Classes: []string{"NoStoragePool", "CreatingStoragePoolError"},
			Text:    `No usable storage pool found|Storage pool not found|error while creating Libvirt storage pool|storage pool '[^']*' is not active|virStoragePoolCreate failed`,
			Next: say(
				"see the pools: virsh -c qemu:///system pool-list --all",
				"make and start the usual one: virsh -c qemu:///system pool-define-as default dir --target /var/lib/libvirt/images && virsh -c qemu:///system pool-start default && virsh -c qemu:///system pool-autostart default",
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-libvirt-image-denied", What: "QEMU may not read the machine's disk",
			Text: `could not open disk image \S+: Permission denied|Could not open '[^']+': Permission denied|Cannot access (backing|storage) file '[^']+'.*Permission denied|cannot chown `,
			Next: say("every folder above the pool must let QEMU's user through (chmod o+x), and /var/lib/libvirt/images always does: virsh -c qemu:///system pool-dumpxml default shows the folder", "with SELinux: sudo restorecon -R /var/lib/libvirt/images"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-libvirt-leftover", What: "a disk of an earlier machine is left in libvirt's storage",
			Classes: []string{"DomainVolumeExists", "NoDomainVolume", "FogCreateDomainVolumeError"}, Machine: true,
			Text: `Volume for domain is already created|storage volume '[^']+' exists already|storage vol(ume)? '?[^' ]+'? already exists|Volume for domain is missing`,
			Next: say("see it: virsh -c qemu:///system vol-list default", "if no machine uses it (virsh -c qemu:///system list --all): virsh -c qemu:///system vol-delete NAME --pool default", "then: dcalab up"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-libvirt-box-image", What: "the box's disk image is gone from libvirt's storage, or was never whole",
			Classes: []string{"NoBoxVolume", "BadBoxImage", "ImageUploadError", "FogCreateVolumeError"},
			Text:    `Volume for box image is missing|Error while uploading image to storage pool|Cannot access (backing|storage) file '[^']+'.*No such file|query the box image details`,
			Next:    say("see what is there: virsh -c qemu:///system vol-list default", "remove the box's volume (its name ends in _box_image…; virsh -c qemu:///system vol-delete NAME --pool default), and make the nodes anew: dcalab destroy, then dcalab up"),
			Exit:    trouble.ExitRequirement,
		},
	}
}

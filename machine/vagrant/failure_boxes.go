package vagrant

import "github.com/dcalab/dcalab/trouble"

// boxCauses are those of finding, downloading and unpacking boxes, and of
// where they are kept.
func boxCauses() []cause {
	return []cause{
		{
			ID: "vagrant-disk-full", What: "the disk is full",
			Text: `No space left on device|VERR_DISK_FULL|not enough free (disk )?space|not enough space on the disk|Failure writing output to destination|ENOSPC|Disk quota exceeded`,
			Next: on(
				[]string{"see what is free: df -h ~/.vagrant.d /var/lib/libvirt/images ~/'VirtualBox VMs'", "remove boxes of old versions: vagrant box prune", "boxes can live elsewhere: export VAGRANT_HOME=/some/bigger/place"},
				[]string{"see what is free: df -h ~", "remove boxes of old versions: vagrant box prune", "boxes can live elsewhere: export VAGRANT_HOME=/some/bigger/place"},
				[]string{"see what is free: Get-PSDrive -PSProvider FileSystem", "remove boxes of old versions: vagrant box prune", "boxes can live elsewhere: setx VAGRANT_HOME D:\\vagrant"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-tls", What: "the box's server is not trusted",
			Text: `SSL certificate problem|SSL: no alternative certificate|unable to get local issuer certificate|schannel: .*(certificate|revocation)|certificate verify failed`,
			Next: say("see that this computer's clock is right", "behind a proxy that intercepts TLS, give Vagrant its certificate: export SSL_CERT_FILE=/path/to/proxy.pem (Windows: setx SSL_CERT_FILE C:\\path\\proxy.pem)"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-offline", What: "the box's server cannot be reached",
			Text: `Could not resolve (host|proxy)|Couldn't resolve host|Failed to connect to \S+ port|Connection timed out after|Resolving timed out|Network is unreachable|No route to host - connect`,
			Next: say("see that this computer is online, and what it sets for proxies: HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "or bring the box on a disk: vagrant box add --name NAME FILE.box, then dcalab up"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-download-broken", What: "the download of a box broke off",
			Text: `transfer closed with|Operation too slow|Operation timed out after|Connection reset by peer|Recv failure|Send failure|was not closed cleanly|Empty reply from server|SSL_ERROR_SYSCALL|unexpected eof while reading|partial file`,
			Next: say("run the same command again: the download goes on where it stopped", "if it stalls again, bring the box on a disk: vagrant box add --name NAME FILE.box"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-box-server", What: "the box's server has trouble, or limits requests",
			Text: `The requested URL returned error: (5\d\d|429|401|403)`,
			Next: say("try again in some minutes", "if it goes on, see the box's page on portal.cloud.hashicorp.com: a private one needs vagrant cloud auth login"),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-box-missing", What: "there is no such box",
			Classes: []string{"BoxAddShortNotFound", "BoxNotFound", "BoxServerNotSet", "BoxFileNotExist"},
			Text:    `The requested URL returned error: 404|Couldn't open file |The box '[^']+' does not exist|could not be found or could not be accessed in the remote catalog`,
			Next:    say("see that its name in labs.yaml is right: portal.cloud.hashicorp.com/vagrant/discover lists the public ones", "those on this machine: vagrant box list"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-box-provider", What: "the box does not exist for this provider",
			Classes: []string{"BoxAddNoMatchingProvider", "BoxNotFoundWithProvider", "BoxProviderDoesntMatch"},
			Text:    `doesn't support the provider you requested|isn't installed for the provider|attempted to add doesn't match the provider`,
			Next:    say("take a box that does, in labs.yaml (bento/ubuntu-24.04 exists for virtualbox, vmware_desktop, parallels; generic/ boxes for libvirt and hyperv too)", "or another provider: dcalab doctor says which this machine has"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-box-architecture", What: "the box does not exist for this machine's processor",
			Classes: []string{"BoxAddNoArchitectureSupport", "BoxAddNoMatchingArchitecture", "BoxNotFoundWithProviderArchitecture"},
			Text:    `doesn't support the requested architecture|isn't installed for the architecture`,
			Next:    say("take a box that does, in labs.yaml: its page on portal.cloud.hashicorp.com lists providers and architectures (amd64, arm64)", "on Apple silicon and other arm64 machines, bento/ubuntu-24.04 and bento/debian-12 have arm64"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-box-version", What: "the box does not exist in this version",
			Classes: []string{"BoxAddNoMatchingVersion", "BoxAddNoMatchingProviderVersion", "BoxNotFoundWithProviderAndVersion", "BoxVersionInvalid"},
			Text:    `no available version that matches the constraints|with provider '[^']+' could not be found`,
			Next:    say("see the versions that there are: vagrant box outdated; vagrant box list", "recreate the node with one of them: dcalab destroy NODE, dcalab up NODE"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-box-checksum", What: "the downloaded box does not match its checksum",
			Classes: []string{"BoxChecksumMismatch", "DownloaderChecksumError"},
			Text:    `checksum of the downloaded box did not match|calculated checksum of the requested file does not match`,
			Next:    say("run the same command again: Vagrant has thrown away what it got", "if it comes again, something on the way changes downloads (a proxy, a mirror), or the box was published wrong: use another network, or another box"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-box-broken", What: "the box is damaged",
			Classes: []string{"BoxUnpackageFailure", "BoxVerificationFailed", "BoxMetadataCorrupted", "BoxMetadataMalformed", "BoxMetadataFileNotFound", "BoxMetadataMissingRequiredFields", "BoxMetadataMalformedVersion", "VMImportFailure", "VMCloneFailure", "VMCreateMasterFailure", "BoxInvalid", "BoxImageNotFound", "BoxIDNotFound", "BoxVMXFileNotFound", "BoxFormatMissingAttribute", "NoBoxVirtualSizeSet", "NoBoxFormatSet", "WrongBoxFormatSet"},
			Text:    `The box failed to unpackage properly|metadata associated with the box '[^']+' appears (corrupted|to be missing)|The metadata for the box was malformed|VM import failed|VM cloning failed|Appliance read failed|Appliance import failed`,
			Next:    say("download it again: vagrant box remove NAME (vagrant box list shows the names), then dcalab up", "see that the disk is not full"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-download", What: "a download failed",
			Classes: []string{"DownloaderError", "BoxMetadataDownloadError", "DownloaderInterrupted"},
			Text:    `An error occurred while downloading the remote file|error while downloading the metadata for this box`,
			Next:    say("run the same command again: the download goes on where it stopped", "or bring the box on a disk: vagrant box add --name NAME FILE.box"),
			Exit:    trouble.ExitRequirement,
		},
	}
}

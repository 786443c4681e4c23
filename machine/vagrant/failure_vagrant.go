package vagrant

import "github.com/dcalab/dcalab/trouble"

// vagrantCauses are those of Vagrant itself: its locks, its plugins, its
// folders, and the Ruby in Vagrantfiles.
func vagrantCauses() []cause {
	return []cause{
		{
			ID: idLocked, What: "another Vagrant is at work on it",
			Classes: []string{"MachineActionLockedError", "MachineLocked", "EnvironmentLockedError", "SingleMachineLock", "VagrantLocked", "DownloadAlreadyInProgress", "DownloadAlreadyInProgressError"}, Machine: true,
			Text: `another process is already executing an action on the machine|can't use the requested machine because it is locked|this lock is being held by another instance of Vagrant|Another instance of Vagrant is running operations|The requested Vagrant action is locked|Download to global Vagrant location already in progress`,
			Next: on(
				[]string{"wait until it ends, and try again", "if there should be none, one was left behind, and the lock goes with it: pgrep -af 'ruby.*vagrant' shows it, kill PID ends it"},
				[]string{"wait until it ends, and try again", "if there should be none, one was left behind, and the lock goes with it: pgrep -fl vagrant shows it, kill PID ends it"},
				[]string{"wait until it ends, and try again", "if there should be none, one was left behind, and the lock goes with it: end ruby.exe in Task Manager"},
			),
			Exit: trouble.ExitRefused,
		},
		{
			ID: "vagrant-plugin-conflict", What: "Vagrant's plugins do not go together",
			Classes: []string{"PluginInstallVersionConflict", "BundlerError", "SourceSpecNotFound", "PluginSourceError"},
			Text:    `failed to properly resolve required dependencies|can't be installed due to the version conflicts|Could not find compatible versions|conflicting dependencies|Bundler, the underlying system used to manage Vagrant plugins`,
			Next:    say("see the plugins: vagrant plugin list", "bring them up to date: vagrant plugin update", "or reinstall them all: vagrant plugin expunge --reinstall --force"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-plugin-broken", What: "a plugin of Vagrant does not load",
			Classes: []string{"PluginLoadError", "PluginInitError", "PluginStateFileParseError", "PluginInstallFailed", "PluginMissingLibrary", "PluginNeedsDeveloperTools", "PluginMissingRubyDev"},
			Text:    `The plugins failed to (load|initialize)|Failed to parse the state file "[^"]*plugins\.json"|unable to load one or more plugins|cannot load such file -- vagrant-`,
			Next:    say("see the plugins: vagrant plugin list", "repair them: vagrant plugin repair; if that fails: vagrant plugin expunge --reinstall --force"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-plugin-missing", What: "a Vagrantfile needs a plugin that is not installed",
			Classes: []string{"PluginMissingLocalError", "PluginNotInstalled", "PluginGemNotFound"},
			Text:    `missing plugins required by the currently loaded Vagrantfile|project local plugins configured for this project which are not installed|Unknown configuration section '([^']+)'`,
			Next: func(f failure) []string {
				of := ""
				if len(f.found) > 1 && f.found[1] != "" {
					of = " (config." + f.found[1] + ")"
				}
				return []string{
					"dcalab's own Vagrantfile needs none: it is ~/.vagrant.d/Vagrantfile (or the one in VAGRANT_HOME) or the box's" + of,
					"install the plugin (vagrant plugin install NAME), or take the line out of that file",
				}
			},
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-version", What: "a Vagrantfile or its folder needs another Vagrant",
			Classes: []string{"VagrantVersionBad", "HomeDirectoryLaterVersion", "HomeDirectoryUnknownVersion"},
			Text:    `requires the Vagrant version to satisfy|a newer version of Vagrant was run on this machine|in a structure Vagrant doesn't understand|private method .load' called for nil`,
			Next:    say("see which one runs: vagrant --version", "install a newer one, or take the line (require_version, configure(\"3\")) out of ~/.vagrant.d/Vagrantfile"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-vagrantfile", What: "a Vagrantfile is wrong",
			Classes: []string{"VagrantfileSyntaxError", "VagrantfileLoadError", "VagrantfileNameError", "ConfigInvalid", "ConfigUpgradeErrors", "TriggersNoBlockGiven", "TriggersBadExitCodes"},
			Text:    `There is a syntax error in the following Vagrantfile|There was an error loading a Vagrantfile|There are errors in the configuration of this machine|Vagrantfile:\d+:in `,
			Next:    say("dcalab's own is rewritten each time; the other one is ~/.vagrant.d/Vagrantfile (or the one in VAGRANT_HOME): fix the line that is named above, or move the file away"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-home", What: "Vagrant cannot write to its folders",
			Classes: []string{"HomeDirectoryNotAccessible", "LocalDataDirectoryNotAccessible", "MachineFolderNotAccessible", "EnvironmentNonExistentCWD", "VagrantfileWriteError"},
			Text:    `home directory you specified is not accessible|local environment-specific state is not accessible|does not have permission to read the following path|in .mkdir': .*dir_s_mkdir|(Permission denied|Read-only file system) @ (dir_s_mkdir|rb_sysopen|rb_file_s_rename)`,
			Next: on(
				[]string{"take them back (a run with sudo may have made them root's), in the folder of labs.yaml: sudo chown -R \"$USER\" ~/.vagrant.d .dcalab", "see that VAGRANT_HOME, if it is set, names a folder that exists and is yours: echo $VAGRANT_HOME"},
				[]string{"take them back (a run with sudo may have made them root's), in the folder of labs.yaml: sudo chown -R \"$USER\" ~/.vagrant.d .dcalab", "see that VAGRANT_HOME, if it is set, names a folder that exists and is yours: echo $VAGRANT_HOME"},
				[]string{"see that %USERPROFILE%\\.vagrant.d is yours, and that VAGRANT_HOME, if it is set, names a folder that exists: echo %VAGRANT_HOME%"},
			),
			Exit: trouble.ExitRequirement,
		},
		{
			ID: "vagrant-index", What: "Vagrant's list of machines is damaged",
			Classes: []string{"CorruptMachineIndex", "DotfileUpgradeJSONError"},
			Text:    `The machine index which stores all required information`,
			Next:    say("move the file that is named in the log away; Vagrant begins a new one, and finds each lab's machines again when it is used in their folder", "then: dcalab status"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-terminal", What: "Vagrant wants to ask something",
			Classes: []string{"UIExpectsTTY", "DestroyRequiresForce"},
			Text:    `interface with the UI in a way that requires a TTY|Destroy doesn't have a TTY`,
			Next:    say("let it ask, and answer: dcalab vagrant -- up", "Hyper-V asks for a switch where it has several, and for a password where folders are shared"),
			Exit:    trouble.ExitRequirement,
		},
		{
			ID: "vagrant-interrupted", What: "Vagrant was interrupted",
			Classes: []string{"VagrantInterrupt", "UploaderInterrupted"},
			Text:    `Vagrant exited after cleanup due to external interrupt`,
			Next:    say("see the state of the machines: dcalab status", "go on: dcalab up"),
			Exit:    trouble.ExitInterrupted,
		},
	}
}

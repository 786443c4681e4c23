package cmd

import (
	"embed"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/cmd/hint"
)

// What the help of the commands has beside their own words: a transcript of
// each, and what it touches.

// The transcripts are recorded from real nodes, and compared with them, by
// TestExamples in e2e: swarm_bootstrap.txt is that of dcalab swarm bootstrap.
//
//go:embed examples
var transcripts embed.FS

// touchesKey is the annotation that holds what a command touches, indented as
// the help shows it. (A function in the template would be a global of cobra's.)
const touchesKey = "touches"

// touches says what each command reads and changes, by its path.
func touches() map[string]string {
	const (
		// Every command that changes a lab.
		logged = `
Kept in .dcalab/LAB: the lock while it works, and the log.`
		// Every command that asks nodes.
		asks = `
Vagrant driver: the Vagrantfile in .dcalab/LAB, dcalab's notes there on how
machines are reached, and the log, where Vagrant has to be asked.`
		// What up and start make in a node.
		ready = `
In each node: the engine (installed, configured and started where that is
missing), the docker group, the host name, /etc/hosts.`
		// What the script for a shell does with each TAB.
		completes = `Nothing: it prints. What the shell makes of it runs dcalab with each TAB, which
reads labs.yaml, and asks no node.`
	)
	return map[string]string{
		"up": `The lab's machines, made and started. On this machine, the sandbox driver makes
links, iptables rules, cgroups, /run/dcalab/ID and, for the nodes' disks,
/var/lib/dcalab/ID, all the lab's own; Vagrant
and its provider make theirs, and keep boxes.` + ready + `
.dcalab/LAB: keys, ssh_config, record, log. The list of labs in your
state folder. With --swarm also what dcalab swarm bootstrap touches; with
--prune the machines, and the places in the swarm, of nodes that labs.yaml no
longer has.`,
		"start": `The named machines, or all: they are started; no disk is replaced.` + ready + `
.dcalab/LAB: ssh_config, log. The list of labs in your state folder.`,
		"halt": `The named machines, or all: engines stop, the power goes off. Disks stay.` + logged,
		"destroy": `The named machines with their disks, and their places in the swarm. Without
names: all machines, all snapshots, the lab's networks and keys, .dcalab/LAB but
for its log and lock, and the lab's entry in the list of labs. labs.yaml,
Docker contexts and ~/.ssh/config stay as they are.`,
		"vagrant": `Whatever that command of Vagrant's touches. dcalab itself writes
.dcalab/LAB/Vagrantfile anew.`,
		"doctor": `Nothing: it reads this machine's settings, makes files for a moment to see that
it can, asks Vagrant and its provider for versions and machines, and the nodes
that run for their swarm. With --fix, what the commands marked (--fix) touch;
each is shown before it runs.`,
		"snapshot save": `All machines: those that run are halted, and started again. Their disks are
copied: into /var/lib/dcalab (sandbox), or as snapshots of the provider's
(Vagrant).` + logged,
		"snapshot restore": `All machines: they are halted, their disks replaced, and all of them started.
Clocks of nodes that are wrong are set. What was written on the nodes since the
snapshot is lost.` + logged,
		"snapshot list":   `Nothing: it reads the lab's list of snapshots.`,
		"snapshot delete": `The copies of the disks of this snapshot. No node.` + logged,
		"reset": `The engine of every node: /var/lib/docker is emptied, with the swarm,
containers, images, volumes and networks in it, and the engine restarted.
daemon.json and all other files of the nodes stay.` + logged,
		"prune": `All that is left of labs whose folder is gone: their machines with their disks,
snapshots and networks, and their entries in the list of labs.`,
		"list": `Reads labs.yaml, the folders of labs and, of sandbox labs, which nodes run; with
--refresh it asks Vagrant as well. Changes only its own list in your state
folder, where entries are out of date.`,
		"status": `Reads the state of the machines, and asks every engine over SSH; with --view
also the managers' engine logs. Changes nothing in the lab.` + asks,
		"wait": `Reads the state of the machines, and asks every engine over SSH, again and
again. Changes nothing in the lab.` + asks,
		"swarm bootstrap": `The nodes' engines: membership, roles, labels, availability, and the settings
of the swarm. No machine, no service. A node of another swarm only where
--take-over names it.` + logged,
		"swarm leave": `The membership of the named nodes, and their entries in the swarm's list. Their
tasks move. No machine.` + logged,
		"swarm dissolve": `The membership of every node. Services, secrets, configs and overlay networks
are lost; machines, images and volumes stay.` + logged,
		"swarm token": `Reads the token from a manager. With --rotate, the swarm's token for that role
is replaced. The token is written nowhere.` + logged,
		"swarm unlock":     `The engines of managers that are locked: each is given the key, in memory alone.`,
		"swarm unlock-key": `Reads the key from a manager. Changes nothing, and writes it nowhere.`,
		"promote":          `The role of the named nodes in the swarm.` + logged,
		"demote":           `The role of the named nodes in the swarm.` + logged,
		"join": `The named nodes' engines: membership, role, labels, availability; old entries
of theirs in the swarm's list go.` + logged,
		"remove": `The membership of the named nodes, and their entries in the swarm's list. Their
tasks move. No machine.` + logged,
		"drain":      `The availability of the named nodes in the swarm; tasks move.` + logged,
		"pause":      `The availability of the named nodes in the swarm. No task.` + logged,
		"activate":   `The availability of the named nodes in the swarm.` + logged,
		"label set":  `The labels of the named nodes in the swarm, not those of labs.yaml.` + logged,
		"label list": `Nothing: it asks a manager for the swarm's node list.`,
		"label rm":   `The labels of the named nodes in the swarm, not those of labs.yaml.` + logged,
		"ssh":        `By itself nothing; on the node, what you do there.` + asks,
		"exec":       `By itself nothing; on the nodes, what the command does there.` + asks,
		"cp":         `The files and folders at the destination, on nodes or here. Sources are read.`,
		"logs": `Reads the engine's log on the node, with sudo. With --bundle it asks every
node, and writes FILE, which must not exist.`,
		"image load": `The images in the engines of the named nodes, or of all. The Docker of this
machine is read; an image from it lies among the temporary files while it is
loaded.` + logged,
		"image list": `Nothing: it asks every engine over SSH.`,
		"ssh-config": `Nothing: it asks the driver how the nodes are reached.` + asks,
		"context create": `Docker's contexts (~/.docker/contexts): one is added, or moved to another node.
~/.ssh/config: five lines in front. .dcalab/LAB/ssh_config. No node.`,
		"context rm": `Docker's contexts: the lab's goes. ~/.ssh/config: the lab's five lines go with
its last context. No node.`,
		"env":                   `Nothing: it prints. What the shell makes of it holds in that shell alone.`,
		"init":                  `labs.yaml in this folder, where there is none.`,
		"config validate":       `Nothing: it reads labs.yaml.`,
		"config view":           `Nothing: it reads labs.yaml, flags and the environment.`,
		"config schema":         `Nothing: it prints.`,
		"render":                `Nothing: it reads labs.yaml and prints.`,
		"version":               `Nothing: it prints.`,
		"completion bash":       completes,
		"completion zsh":        completes,
		"completion fish":       completes,
		"completion powershell": completes,
	}
}

const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{with index .Annotations "touches"}}Touches:
{{.}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`

// teach adds to the help of all commands below root.
func teach(root *cobra.Command) {
	root.SetHelpTemplate(helpTemplate)
	all := touches()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		_, path, _ := strings.Cut(c.CommandPath(), " ")
		if text, ok := all[path]; ok {
			if c.Annotations == nil {
				c.Annotations = map[string]string{}
			}
			c.Annotations[touchesKey] = indented(text)
		}
		if text, err := fs.ReadFile(transcripts, "examples/"+exampleFile(c)); err == nil {
			example := indented(strings.TrimRight(string(text), "\n"))
			if more := others(c.Example, example); more != "" {
				example += "\n\n" + more
			}
			c.Example = example
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
}

// others are the lines of examples that a transcript does not show.
func others(examples, transcript string) string {
	var lines []string
	for line := range strings.SplitSeq(examples, "\n") {
		if !strings.Contains(transcript+"\n", "$ "+strings.TrimSpace(line)+"\n") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// exampleFile is the name of the file with the command's transcript: of a
// group, which does nothing by itself, that of the command in it which most
// people come for.
func exampleFile(c *cobra.Command) string {
	name := hint.Path(c)
	switch name {
	case "":
		name = c.Name()
	case "swarm":
		name = "swarm bootstrap"
	case "snapshot":
		name = "snapshot save"
	case "image":
		name = "image load"
	case "context":
		name = "context create"
	case "label":
		name = "label set"
	case "config":
		name = "config validate"
	}
	return strings.ReplaceAll(name, " ", "_") + ".txt"
}

// indented puts two spaces in front of each line that is not empty.
func indented(text string) string {
	return strings.ReplaceAll("  "+strings.ReplaceAll(text, "\n", "\n  "), "\n  \n", "\n\n")
}

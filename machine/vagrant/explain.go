package vagrant

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
)

var _ machine.Explainer = (*Driver)(nil)

// Explain gives the Vagrant commands for a deed, which are typed in the lab's
// folder; where there is none yet, it is made first.
func (d *Driver) Explain(deed machine.Deed) runbook.Runbook {
	nodes := deed.Nodes
	whole := len(nodes) == 0
	if whole {
		nodes = d.cfg.Lab.NodeNames()
	}
	named := func(words ...string) string { return vagrantLine(append(words, nodes...)...) }
	l := d.enter(deed.Act == machine.ActUp, deed.Flags)
	here := func(text, why string) { l = append(l, runbook.Command{Text: text, Why: why}) }
	switch deed.Act {
	case machine.ActUp, machine.ActStart:
		up := []string{"up"}
		if d.cfg.Provider != "" {
			up = append(up, "--provider", d.cfg.Provider)
		}
		why := "boots what is halted, as it was"
		if len(deed.New) > 0 {
			why = "makes what is absent, boots what is halted"
		}
		here(named(up...), why)
		for _, n := range d.cfg.Lab.Nodes {
			if slices.Contains(deed.New, n.Name) {
				l = append(l, explainNames(d.cfg.Lab, n)...)
			}
		}
	case machine.ActHalt:
		here(named("halt"), "shuts down gracefully, keeps the disks")
	case machine.ActKill:
		here(named("halt", "--force"), "cuts the power")
	case machine.ActDestroy:
		here(named("destroy", "--force"), "removes the machines and their disks")
		if whole {
			here(`rm -rf "${VAGRANT_DOTFILE_PATH:-.vagrant}"`, "Vagrant's own notes on the machines")
		}
	case machine.ActStatus:
		here("vagrant status", "")
	case machine.ActSave:
		here(vagrantLine("snapshot", "save", snapshotID(deed.Snapshot)), "keeps the disk of every machine of the folder")
	case machine.ActRestore:
		here(vagrantLine("snapshot", "restore", "--no-start", "--no-provision", snapshotID(deed.Snapshot)), "gives every machine the disk that was kept")
	case machine.ActDelete:
		for _, n := range nodes {
			here(vagrantLine("snapshot", "delete", n, snapshotID(deed.Snapshot)), "")
		}
	case machine.ActList:
		here("vagrant snapshot list", "those of dcalab begin with "+snapshotID(""))
	}
	return l
}

// ExplainCommand is for a person's own arguments to Vagrant.
func (d *Driver) ExplainCommand(args ...string) runbook.Runbook {
	return append(d.enter(false, nil), runbook.Command{Text: vagrantLine(args...)})
}

func vagrantLine(args ...string) string {
	return runbook.Line(append([]string{"vagrant"}, args...)...)
}

// enter leads to the folder in which Vagrant knows the lab's machines, and
// tells how to make it where that is wanted and there is none, with dcalab and
// these flags.
func (d *Driver) enter(first bool, flags []string) runbook.Runbook {
	dir := runbook.Line(d.cfg.State.Dir())
	l := runbook.Runbook{{Text: "cd " + dir, Why: "the folder of the lab's Vagrantfile"}}
	if _, err := os.Stat(d.cfg.State.Vagrantfile()); err != nil && first {
		l = runbook.Runbook{
			{Text: "mkdir -p " + dir + " && cd " + dir, Why: "a folder for the Vagrantfile"},
			{Text: runbook.Line(slices.Concat([]string{"dcalab"}, flags, []string{"--lab", d.cfg.Lab.Name, "render"})...) + " >Vagrantfile", Why: "or write one of your own"},
		}
	}
	// They would lead Vagrant elsewhere; dcalab sets them itself.
	var astray []string
	for _, key := range []string{"VAGRANT_CWD", "VAGRANT_VAGRANTFILE", "VAGRANT_DOTFILE_PATH"} {
		if os.Getenv(key) != "" {
			astray = append(astray, key)
		}
	}
	if len(astray) > 0 {
		l = append(l, runbook.Command{Text: "unset " + strings.Join(astray, " "), Why: "they lead Vagrant to another folder"})
	}
	if set := d.Dotfile(); set != "" {
		l = append(l, runbook.Command{Text: "export " + set, Why: "where Vagrant keeps its notes on the machines"})
	}
	return l
}

// Dotfile is the variable of the environment that leads Vagrant to its own
// folder for the lab; empty where there is none yet. What is typed then Vagrant
// notes beside the Vagrantfile, and dcalab takes it over.
func (d *Driver) Dotfile() string {
	if _, err := os.Stat(d.dotfile.path()); err != nil {
		return ""
	}
	return "VAGRANT_DOTFILE_PATH=" + runbook.Line(d.dotfile.path())
}

// loginLine is how a person gets onto a node with Vagrant.
func (d *Driver) loginLine(node string) string {
	shell := strings.TrimSpace(d.Dotfile() + " " + vagrantLine("ssh", node))
	return runbook.Line("cd", d.cfg.State.Dir()) + " && " + shell
}

// explainNames is what setNames does to a new machine.
func explainNames(l *lab.Lab, n lab.Node) runbook.Runbook {
	full := l.Hostname(n)
	lines := machine.HostsLines(l)
	return runbook.Runbook{
		{Node: n.Name, Text: runbook.Line("sudo", "hostnamectl", "set-hostname", full)},
		{
			Node: n.Name, Why: "every node by its name",
			Text: fmt.Sprintf("%s | sudo tee -a /etc/hosts", runbook.Line(append([]string{"printf", `%s\n`}, strings.Split(strings.TrimSpace(lines), "\n")...)...)),
		},
	}
}

package sandbox

import (
	"strings"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
)

var _ machine.Explainer = (*Driver)(nil)

// Explain says, as comments of the shell, that no plain command does it, and
// what Vagrant would be told where the nodes were virtual machines: a node of
// this driver is made of namespaces, mounts, links and cgroups.
func (d *Driver) Explain(deed machine.Deed) runbook.Runbook {
	nodes := deed.Nodes
	if len(nodes) == 0 {
		nodes = d.cfg.Lab.NodeNames()
	}
	which := strings.Join(nodes, " ")
	l := runbook.Runbook{
		{Text: "# the nodes of the sandbox driver are namespaces on this machine, and no plain"},
		{Text: "# command does this to them; where they are virtual machines, it is:"},
	}
	if deed.File != "" {
		return explainFile(deed, d.snapshotPath(deed.Snapshot), which)
	}
	add := func(line string) { l = append(l, runbook.Command{Text: "#   vagrant " + line}) }
	switch deed.Act {
	case machine.ActUp, machine.ActStart:
		add("up " + which)
	case machine.ActHalt:
		add("halt " + which)
	case machine.ActKill:
		add("halt --force " + which)
	case machine.ActDestroy:
		add("destroy --force " + which)
	case machine.ActStatus:
		add("status")
	case machine.ActSave:
		add("snapshot save " + deed.Snapshot)
	case machine.ActRestore:
		add("snapshot restore --no-start --no-provision " + deed.Snapshot)
	case machine.ActDelete:
		for _, n := range nodes {
			add("snapshot delete " + n + " " + deed.Snapshot)
		}
	case machine.ActList:
		add("snapshot list")
	}
	return l
}

// explainFile says what dcalab does to a snapshot's file, besides its checks.
func explainFile(deed machine.Deed, folder, which string) runbook.Runbook {
	const tar = "#   sudo tar --xattrs --xattrs-include='*' --acls --numeric-owner "
	file := runbook.Line(deed.File)
	l := runbook.Local("# a snapshot of the sandbox driver is a folder of root's, and its file a tar archive of")
	if deed.Act == machine.ActExport {
		return append(l, runbook.Local("# that, with a manifest and sums; the archive alone is:",
			tar+"--create --gzip --file disks.tar.gz --directory "+folder+" "+which)...)
	}
	return append(l, runbook.Local("# that; dcalab checks every entry, and lets in the key of this lab and no other:",
		"#   tar --extract --file "+file+" disks.tar.gz",
		tar+"--extract --gzip --file disks.tar.gz --directory "+folder)...)
}

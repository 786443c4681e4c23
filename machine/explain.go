package machine

import "github.com/dcalab/dcalab/runbook"

// Deed is one call of a driver's method, as it is shown in a runbook.
type Deed struct {
	Act Act
	// Nodes that it is done to, by short name; none means all of the lab.
	Nodes []string
	// New are those of Nodes that do not exist yet; for ActUp.
	New []string
	// Snapshot is the name of one, for the acts on snapshots.
	Snapshot string
	// File is what a snapshot is exported to, or imported from.
	File string
	// Flags are those with which dcalab finds the lab's settings from every
	// folder, beside --lab; for ActUp.
	Flags []string
}

// Act names a method of a Driver or of a Snapshotter.
type Act string

// The acts that a driver can tell of.
const (
	ActUp      Act = "up"
	ActStart   Act = "start"
	ActHalt    Act = "halt"
	ActKill    Act = "kill"
	ActDestroy Act = "destroy"
	ActStatus  Act = "status"
	ActSave    Act = "save snapshot"
	ActRestore Act = "restore snapshot"
	ActDelete  Act = "delete snapshot"
	ActList    Act = "list snapshots"
	ActExport  Act = "export snapshot"
	ActImport  Act = "import snapshot"
)

// Explainer is a Driver that can tell what a person types to have the same
// done. Telling needs neither rights nor anything installed, asks nobody and
// changes nothing.
type Explainer interface {
	// Explain gives the commands for one deed: those that are typed on this
	// machine first, then those on each node, in the lab's order.
	Explain(Deed) runbook.Runbook
}

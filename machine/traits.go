package machine

// Traits is what a driver declares about itself, so that nobody has to go by
// its name. They do not change while the program runs, and asking for them
// touches nothing.
type Traits struct {
	// NeedsRoot: Up, Start, Halt, Destroy and snapshots work for root only.
	// Everything else works for the user whom the lab belongs to.
	NeedsRoot bool
	// PerUser: machines belong to whoever runs the driver, so that it must not
	// be run through sudo. It excludes NeedsRoot.
	PerUser bool
	// Systemd: in a node, services are those of systemd.
	Systemd bool
	// Boxes: nodes are virtual machines, made of the box and run by the provider
	// that labs.yaml names. Nodes of other drivers are made with an engine, and
	// with their user in the docker group.
	Boxes bool
	// Private: nodes' addresses are not reached from this machine, but for what
	// Endpoint leads to.
	Private bool
	// SlowStatus: Status may cost seconds, and is left out where an answer is
	// only nice to have.
	SlowStatus bool
	// Login gives the line of shell that a person types to get onto a node, from
	// whatever folder; nil where that is plain ssh with the lab's ssh_config.
	Login func(node string) string
}

package docker

import (
	"runtime"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
)

var _ machine.Explainer = (*Driver)(nil)

// Explain shows the commands of Docker that make and remove the container. What
// is done to nodes in it, no plain command does.
func (d *Driver) Explain(deed machine.Deed) runbook.Runbook {
	whole := len(deed.Nodes) == 0 || len(deed.Nodes) == len(d.cfg.Lab.Nodes)
	var l runbook.Runbook
	switch {
	case deed.Act == machine.ActUp && len(deed.New) == len(d.cfg.Lab.Nodes):
		image := imageFor(runtime.GOARCH)
		l = runbook.Local("docker image inspect "+image, runbook.Line(append([]string{program}, d.host.containerArgs(image)...)...))
		l[0].Why = "where it is missing it is built, from a Dockerfile that dcalab has in itself"
		l[1].Why = "the lab is in this container, whose capabilities are those that nodes need"
		l = append(l, runbook.Local(
			runbook.Line(program, "container", "cp", "dcalab-linux", d.cfg.container()+":"+dcalabInside),
			runbook.Line(program, "container", "start", d.cfg.container()),
		)...)
	case deed.Act == machine.ActDestroy && whole:
		return runbook.Local(
			runbook.Line(program, "container", "rm", "--force", "--volumes", d.cfg.container()),
			runbook.Line(program, "volume", "rm", "--force", d.cfg.container()),
		)
	}
	return append(l, runbook.Local(
		"# the nodes are namespaces in the lab's container, and no plain command does",
		"# this to them; look around in it:",
		runbook.Line(program, "exec", "--interactive", "--tty", d.cfg.container(), "bash"),
	)...)
}

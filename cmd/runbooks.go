package cmd

import (
	"context"
	"errors"
	"slices"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
)

// here is a runbook of lines that are typed on this machine.
func here(lines ...string) runbook.Runbook { return runbook.Local(lines...) }

// onEach is a runbook of the same lines on each of the nodes.
func onEach(nodes []lab.Node, lines ...string) runbook.Runbook {
	return runbook.On(names(nodes), lines...)
}

// systemd tells whether the engines of the lab's nodes are started by systemd,
// as far as it can be told without asking them.
func (s *session) systemd() bool { return s.Driver().Traits().Systemd }

// sshLine runs a command line on a node from this machine. ssh joins its words
// with spaces, and the node's shell reads them.
func (s *session) sshLine(node, command string) string {
	return runbook.Line("ssh", "-F", s.State().SSHConfig(), node, command)
}

// manager is a node on which commands on the swarm can be typed, as labs.yaml
// has it; nobody is asked.
func (s *session) manager() []lab.Node {
	for _, n := range s.Lab().Nodes {
		if n.Role == lab.RoleManager {
			return []lab.Node{n}
		}
	}
	return nil
}

// managersOf are the managers that labs.yaml wants.
func managersOf(s *session) []lab.Node {
	return slices.DeleteFunc(slices.Clone(s.Lab().Nodes), func(n lab.Node) bool { return n.Role != lab.RoleManager })
}

// statusRunbook is how a person looks at the lab.
func statusRunbook(s *session, view bool) runbook.Runbook {
	if view {
		l := onEach(managersOf(s), "docker node ls")
		for _, n := range managersOf(s) {
			terms := "sudo journalctl --no-pager -u docker | grep -o 'term=[0-9]*\\|term [0-9]*' | tail -n 1"
			if !s.systemd() {
				terms = "sudo grep -o 'term=[0-9]*\\|term [0-9]*' /var/log/docker.log | tail -n 1"
			}
			l = append(l, runbook.Command{Node: n.Name, Text: terms, Why: "the raft term that it knows"})
		}
		return l.ByNode()
	}
	l := s.ExplainMachines(machine.Deed{Act: machine.ActStatus})
	for _, n := range s.manager() {
		l = append(l,
			runbook.Command{Node: n.Name, Text: "docker node ls", Why: "on a manager: answers while there is a quorum"},
			runbook.Command{Node: n.Name, Text: "docker service ls", Why: "on a manager: published ports"})
	}
	return append(l, onEach(s.Lab().Nodes, "docker info -f '{{.Name}} {{.ServerVersion}} {{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}'")...)
}

// execRunbook runs a command line on nodes.
func execRunbook(s *session, nodes []lab.Node, command string) runbook.Runbook {
	var lines []string
	for _, n := range nodes {
		lines = append(lines, runbook.Line("ssh", "-n", "-F", s.State().SSHConfig(), n.Name, command))
	}
	return here(lines...)
}

// loadRunbook brings images into nodes. source is the argument of image load.
func loadRunbook(s *session, source string, file bool, nodes []lab.Node) runbook.Runbook {
	var l runbook.Runbook
	from := "docker save " + runbook.Line(source) + " | "
	into := ""
	switch {
	case source == demoSource:
		l = here("# dcalab itself builds the demo image; of another one of yours, IMAGE:")
		from = "# docker save IMAGE | "
	case source == "-":
		from, into = "", " <FILE.tar"
	case file:
		from, into = "", " <"+runbook.Line(source)
	}
	for _, n := range nodes {
		l = append(l, runbook.Command{Text: from + s.sshLine(n.Name, "docker load") + into})
	}
	return l
}

// warnNotRunning tells of nodes of a dry run that could not be asked.
func (s *session) warnNotRunning(ctx context.Context, nodes []lab.Node) error {
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range nodes {
		if err := labsession.NotRunning(n.Name, machines[n.Name]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(nodes) {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		s.warn(oneLine(err))
	}
	return nil
}

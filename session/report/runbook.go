package report

import (
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
)

// Runbook is how a person sees the same as Observe tells. Nobody is asked.
func Runbook(s *session.Session) runbook.Runbook {
	l := s.ExplainMachines(machine.Deed{Act: machine.ActStatus})
	for _, name := range managers(s)[:min(1, len(managers(s)))] {
		l = append(l,
			runbook.Command{Node: name, Text: "docker node ls", Why: "on a manager: answers while there is a quorum"},
			runbook.Command{Node: name, Text: "docker service ls", Why: "on a manager: published ports"})
	}
	return append(l, runbook.On(s.Lab().NodeNames(), "docker info -f '{{.Name}} {{.ServerVersion}} {{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}'")...)
}

// BeliefsRunbook is how a person sees the same as ObserveBeliefs tells.
func BeliefsRunbook(s *session.Session) runbook.Runbook {
	l := runbook.On(managers(s), "docker node ls")
	for _, name := range managers(s) {
		terms := "sudo journalctl --no-pager -u docker | grep -o 'term=[0-9]*\\|term [0-9]*' | tail -n 1"
		if !s.Driver().Traits().Systemd {
			terms = "sudo grep -o 'term=[0-9]*\\|term [0-9]*' /var/log/docker.log | tail -n 1"
		}
		l = append(l, runbook.Command{Node: name, Text: terms, Why: "the raft term that it knows"})
	}
	return l.ByNode()
}

// LabelsRunbook is how a person sees the labels of these nodes.
func LabelsRunbook(s *session.Session, nodes []lab.Node) runbook.Runbook {
	var lines []string
	for _, n := range nodes {
		lines = append(lines, "docker node inspect --format '{{.Spec.Labels}}' "+s.Lab().Hostname(n))
	}
	return runbook.On(managers(s)[:min(1, len(managers(s)))], lines...)
}

// managers are the nodes that labs.yaml calls managers.
func managers(s *session.Session) (names []string) {
	for _, n := range s.Lab().Nodes {
		if n.Role == lab.RoleManager {
			names = append(names, n.Name)
		}
	}
	return names
}

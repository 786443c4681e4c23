package timeline

import (
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
)

// Runbook is how a person sees much of the same: what raft says in the engines' logs,
// and what the leader tells of the swarm.
func Runbook(s *session.Session) runbook.Runbook {
	log := "sudo tail -n 0 -F /var/log/docker.log"
	if s.Driver().Traits().Systemd {
		log = "sudo journalctl -u docker -n 0 -f"
	}
	var l runbook.Runbook
	for _, n := range s.Lab().Nodes {
		if n.Role == lab.RoleManager {
			l = append(l,
				runbook.Command{Node: n.Name, Text: log + " | grep module=raft", Why: "elections, as this manager's engine tells them"},
				runbook.Command{Node: n.Name, Text: "docker events --filter scope=swarm", Why: "nodes, services and networks, without tasks"})
		}
	}
	return l
}

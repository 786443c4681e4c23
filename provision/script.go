package provision

import (
	"embed"
	"time"

	"github.com/dcalab/dcalab/node"
)

// The scripts run on the nodes with any POSIX sh and take what they need as
// arguments.
//
//go:embed scripts/*.sh
var scripts embed.FS

// script is one of them, with the time that it may take on this node.
func script(c *node.Conn, name string) node.Script {
	return node.Script{Name: name, Text: scriptText(name), Within: within(c.Timeouts(), name)}
}

// within tells how long a script may take.
func within(t node.Timeouts, script string) time.Duration {
	switch script {
	case "certificate.sh", "clock.sh", "swarm-look.sh":
		return t.Answer
	case "apt-prepare.sh", "apt-install.sh", "dnf-prepare.sh", "dnf-install.sh", "service.sh", "swarm-state.sh", "reset.sh":
		return t.Work
	}
	return t.Ready
}

func scriptText(name string) string {
	text, err := scripts.ReadFile("scripts/" + name)
	if err != nil {
		panic("no script " + name) // a programmer's error: they are embedded
	}
	return string(text)
}

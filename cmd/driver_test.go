package cmd

import (
	"context"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	labsession "github.com/dcalab/dcalab/session"
)

// useDriver gives a session of a test another driver.
func (s *session) useDriver(d machine.Driver) {
	parts := s.Parts()
	parts.Driver = d
	s.Session = labsession.Of(labsession.Settings{}, parts)
}

// standIn is a driver of which a test says what it does.
type standIn struct {
	machine.Driver
	status map[string]machine.Status
	look   func() // at every Status
}

func (standIn) Name() string { return lab.DriverVagrant }

func (standIn) Traits() machine.Traits {
	login := func(node string) string { return "cd lab && vagrant ssh " + node }
	return machine.Traits{PerUser: true, Systemd: true, Boxes: true, Login: login}
}

func (d standIn) Status(context.Context) (map[string]machine.Status, error) {
	if d.look != nil {
		d.look()
	}
	return d.status, nil
}

func (standIn) Endpoint(_ context.Context, name string) (node.Endpoint, error) {
	return node.Endpoint{Node: name, Network: "tcp", Address: "127.0.0.1:22", User: "vagrant", IdentityFile: "/key", HostKeyAlias: name}, nil
}

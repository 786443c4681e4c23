// Package forward carries ports of this machine to where a lab's services answer.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/trouble"
)

// Port is a port of this machine, and the one of nodes that it leads to.
type Port struct {
	Local, Port uint16
	Nodes       []lab.Node // the first that takes a connection gets it
	Service     string     // that publishes it; empty where nobody asked
}

// Address is where it is on this machine.
func (p Port) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p.Local))) }

func (p Port) String() string {
	text := fmt.Sprintf("%s → port %d of %s", p.Address(), p.Port, strings.Join(lab.Names(p.Nodes), ", "))
	if p.Service != "" {
		text += " (service " + p.Service + ")"
	}
	return text
}

// Parse reads ports as they are typed: 8080, or 8081:8080 for another one here. They lead
// nowhere yet.
func Parse(words []string) ([]Port, error) {
	var out []Port
	for _, word := range words {
		here, there, both := strings.Cut(word, ":")
		if !both {
			there = here
		}
		local, errL := strconv.ParseUint(here, 10, 16)
		port, errP := strconv.ParseUint(there, 10, 16)
		if errL != nil || errP != nil || local == 0 || port == 0 {
			return nil, trouble.Usage(fmt.Sprintf("%q is no port", word), "a port, 1 to 65535: dcalab forward 8080", "another one here: dcalab forward 8081:8080")
		}
		p := Port{Local: uint16(local), Port: uint16(port)}
		if slices.ContainsFunc(out, func(o Port) bool { return o.Local == p.Local }) {
			return nil, trouble.Usage(fmt.Sprintf("127.0.0.1:%d is named twice", p.Local), fmt.Sprintf("another one here: dcalab forward %d:%d", other(p.Local), p.Port))
		}
		out = append(out, p)
	}
	return out, nil
}

// other is a port that is easy to remember, beside one.
func other(port uint16) uint16 {
	if port < 50000 {
		return port + 10000
	}
	return port - 10000
}

// Published gives each port the nodes on which a service publishes it;
// without ports, it is all that are published.
func Published(ctx context.Context, s *session.Session, ports []Port) ([]Port, error) {
	r, err := report.Observe(ctx, s, report.Options{})
	if err != nil {
		return nil, err
	}
	var numbers []uint16
	for _, p := range ports {
		numbers = append(numbers, p.Port)
	}
	targets, err := r.Targets(s.Lab(), numbers...)
	if err != nil {
		return nil, err
	}
	out := make([]Port, len(targets))
	for i, t := range targets {
		out[i] = Port{Local: t.Port, Port: t.Port, Nodes: t.Nodes, Service: t.Service}
		if len(ports) > 0 {
			out[i].Local = ports[i].Local
		}
	}
	return out, nil
}

// Runbook is the same by ssh.
func Runbook(s *session.Session, ports []Port) runbook.Runbook {
	var typed runbook.Runbook
	for _, p := range ports {
		to := p.Nodes[0]
		typed = append(typed, runbook.Local(runbook.Line("ssh", "-F", s.State().SSHConfig(), "-N", "-L", fmt.Sprintf("%s:%s:%d", p.Address(), to.IP, p.Port), to.Name))...)
	}
	return typed
}

// Run carries connections until ctx ends, or one port cannot any more. ready is called
// once all ports are listened to; failed is told of connections that no node took, by
// several goroutines.
func Run(ctx context.Context, s *session.Session, ports []Port, ready func(), failed func(Port, error)) error {
	told := make([]lab.Forwarded, len(ports))
	for i, p := range ports {
		told[i] = lab.Forwarded{Local: p.Address(), Port: int(p.Port)}
	}
	end, err := s.State().Forward(ctx, told)
	if errors.Is(err, lab.ErrForwarding) {
		return &trouble.Error{
			ID: "forward-runs", What: "forward ports of lab " + s.Lab().Name, Err: err, Exit: trouble.ExitRefused,
			Next: []string{"stop it with Ctrl-C where it runs", "one can carry several ports: dcalab forward 8080 9090"},
		}
	}
	if err != nil {
		return err
	}
	return errors.Join(carry(ctx, s, ports, ready, failed), end())
}

func carry(ctx context.Context, s *session.Session, ports []Port, ready func(), failed func(Port, error)) error {
	listeners := make([]net.Listener, len(ports))
	for i, p := range ports {
		l, err := p.listen(ctx)
		if err != nil {
			return err
		}
		defer l.Close()
		listeners[i] = l
	}
	ready()
	pool := s.NewPool()
	defer pool.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(ports))
	for i, p := range ports {
		one := session.Forward{Listener: listeners[i], Port: p.Port, Nodes: p.Nodes}
		go func() { ended <- one.Serve(ctx, pool, func(err error) { failed(p, err) }) }()
	}
	var errs []error
	for range ports {
		errs = append(errs, <-ended)
		cancel()
	}
	return errors.Join(errs...)
}

func (p Port) listen(ctx context.Context) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.Address())
	if err == nil {
		return l, nil
	}
	e := &trouble.Error{
		ID: "port-taken", What: "listen at " + p.Address(), Err: err, Exit: trouble.ExitRefused,
		Next: []string{fmt.Sprintf("another port here: dcalab forward %d:%d", other(p.Local), p.Port)},
	}
	if errors.Is(err, fs.ErrPermission) {
		e.Why = "you may not listen there; ports below 1024 are root's"
	}
	return nil, e
}

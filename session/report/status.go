// Package report is what is known of a lab, as data: its status, what each of
// its managers believes, the ports and services, and the list of all labs. The
// types are those that -o json prints; their keys are a promise.
package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/doctor"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// Status is what `dcalab status -o json` prints.
type Status struct {
	Lab    string       `json:"lab" yaml:"lab"`
	Driver string       `json:"driver" yaml:"driver"`
	Nodes  []Node       `json:"nodes" yaml:"nodes"`
	Quorum swarm.Quorum `json:"quorum" yaml:"quorum"`
	// Services and Ports that they publish; none where the swarm cannot be asked.
	Services []Service `json:"services" yaml:"services"`
	Ports    []Port    `json:"ports" yaml:"ports"`
	// Faults of dcalab break that there are, as the lab's list has them.
	Faults []Fault `json:"faults" yaml:"faults"`
	// Ailments are what is wrong with the swarm, or soon will be.
	Ailments []swarm.Problem `json:"ailments" yaml:"ailments"`
	Warnings []string        `json:"warnings" yaml:"warnings"`

	// View is what it was made of.
	View swarm.View `json:"-" yaml:"-"`
}

// Node is a node of a Status.
type Node struct {
	Name     string `json:"name" yaml:"name"`
	Hostname string `json:"hostname" yaml:"hostname"`
	// IP is the address that the node has in the swarm, else that of labs.yaml.
	IP string `json:"ip" yaml:"ip"`
	// Machine is running, halted, absent or unknown.
	Machine machine.Status `json:"machine" yaml:"machine"`
	// Engine is the engine's version, empty when it does not answer.
	Engine string     `json:"engine" yaml:"engine"`
	Swarm  Membership `json:"swarm" yaml:"swarm"`
	Error  string     `json:"error" yaml:"error"`
	// CertificateExpires is when the node's swarm certificate runs out (RFC
	// 3339, UTC), empty where it could not be read.
	CertificateExpires string `json:"certificate_expires" yaml:"certificate_expires"`
	// CertificateDaysLeft is the days until then, to the nearest day; null where
	// it is not known, 0 also when it is over.
	CertificateDaysLeft *int `json:"certificate_days_left" yaml:"certificate_days_left"`
}

// Membership is a node's place in the swarm.
type Membership struct {
	State        swarm.State `json:"state" yaml:"state"`
	ID           string      `json:"id" yaml:"id"`
	Cluster      string      `json:"cluster" yaml:"cluster"`
	Role         lab.Role    `json:"role" yaml:"role"`
	Leader       bool        `json:"leader" yaml:"leader"`
	Reachability string      `json:"reachability" yaml:"reachability"`
	Availability string      `json:"availability" yaml:"availability"`
	Status       string      `json:"status" yaml:"status"`
}

// The states of a node whose engine is not down, and did not answer.
const (
	Electing swarm.State = "electing" // a manager: it answers a ping, and waits for a leader
	Waiting  swarm.State = "waiting"  // it answers a ping, and what was asked hangs
	Asking   swarm.State = "asking"   // in a live view: no answer yet
)

// Options of Observe. The zero value is all nodes.
type Options struct {
	// Nodes are the only ones to be shown; the whole lab is asked all the same.
	Nodes []string
	// Advise completes the commands of dcalab in a text; nil leaves them.
	Advise func(string) string
}

func (o Options) advise(text string) string {
	if o.Advise == nil {
		return text
	}
	return o.Advise(text)
}

// Observe asks every machine and every engine once.
func Observe(ctx context.Context, s *session.Session, o Options) (Status, error) {
	v, engines, err := s.Observe(ctx)
	if err != nil {
		return Status{}, err
	}
	defer engines.Close()
	if err := ctx.Err(); err != nil {
		return Status{}, err
	}
	v = session.Settled(v, engines.Machines)
	r, err := statusOf(ctx, s, v, engines.Machines, o)
	if err != nil {
		return r, err
	}
	var asking sync.WaitGroup
	asking.Go(func() { r.addServices(ctx, s, engines) })
	now := time.Now()
	problems, certificates := doctor.Problems(ctx, v, engines, now)
	r.Ailments = append(r.Ailments, problems...)
	for i, n := range r.Nodes {
		if has, ok := certificates[n.Name]; ok {
			days := has.DaysLeft(now)
			r.Nodes[i].CertificateExpires, r.Nodes[i].CertificateDaysLeft = has.Until.UTC().Format(time.RFC3339), &days
		}
	}
	for _, p := range r.Ailments {
		for i, line := range p.Fix {
			p.Fix[i] = o.advise(line)
		}
	}
	asking.Wait()
	r.only(o.Nodes)
	return r, nil
}

// only leaves out all nodes but those that are named, if any are.
func (r *Status) only(names []string) {
	if len(names) > 0 {
		r.Nodes = slices.DeleteFunc(r.Nodes, func(n Node) bool { return !slices.Contains(names, n.Name) })
	}
}

// statusOf puts what the engines said beside what runs.
func statusOf(ctx context.Context, s *session.Session, v swarm.View, machines map[string]machine.Status, o Options) (Status, error) {
	r := Status{
		Lab: s.Lab().Name, Driver: s.Driver().Name(), Quorum: v.Quorum, View: v,
		Nodes: []Node{}, Services: []Service{}, Ports: []Port{}, Ailments: []swarm.Problem{}, Warnings: []string{},
	}
	var err error
	if r.Faults, err = known(s, time.Now()); err != nil {
		r.Faults, r.Warnings = []Fault{}, append(r.Warnings, trouble.OneLine(err))
	}
	for i, f := range r.Faults {
		r.Faults[i].Advice = o.advise("dcalab heal " + f.ID)
	}
	for _, n := range v.Nodes {
		nr := Node{
			Name: n.Name, Hostname: n.Hostname, IP: n.Addr.String(),
			Machine: machines[n.Name], Engine: n.Engine,
			Swarm: Membership{
				State: stateOf(n, v), ID: n.NodeID, Cluster: n.Cluster, Role: n.Role, Leader: n.Leader,
				Reachability: string(n.Reachability), Availability: string(n.Availability), Status: string(n.Status),
			},
		}
		if !n.State.Answered() {
			nr.Engine = "" // the version that the swarm remembers is no sign of life
		}
		if n.Err != nil {
			nr.Error = o.advise(trouble.OneLine(n.Err))
		}
		if has := v.Engaged(n.Name); has != "" && has != nr.IP {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: the swarm has it at %s, and labs.yaml says %s; put labs.yaml back, or make the node anew: dcalab destroy %s, then dcalab up --swarm",
				n.Name, has, nr.IP, n.Name))
			nr.IP = has
		}
		r.Nodes = append(r.Nodes, nr)
	}
	if err := s.SameSubnet(); err != nil {
		r.Warnings = append(r.Warnings, trouble.OneLine(err))
	}
	orphans, err := s.OrphanWarnings(ctx)
	if err != nil {
		return r, err
	}
	r.Warnings = append(append(r.Warnings, orphans...), v.Warnings...)
	for i, w := range r.Warnings {
		r.Warnings[i] = o.advise(w)
	}
	return r, nil
}

// stateOf is a node's state as it is told.
func stateOf(n swarm.NodeView, v swarm.View) swarm.State {
	switch {
	case n.Electing() && !v.Quorum.HasQuorum:
		return Electing
	case errors.Is(n.Err, swarm.ErrNotYet):
		return Asking
	case n.State == swarm.StateEngineDown && errors.Is(n.Err, engine.ErrHangs):
		return Waiting
	}
	return n.State
}

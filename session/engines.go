package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// Engines are the engines of a lab's nodes, connected where they can be.
type Engines struct {
	// Pool has the connections that they are reached over.
	Pool *Pool
	// Machines is the status of each, where it was asked for; nil where all were
	// connected already.
	Machines map[string]machine.Status
	// Targets are the nodes as swarm wants them, in the lab's order. One that
	// cannot be reached carries the reason.
	Targets []swarm.Target

	clients map[string]*engine.Client
}

// Engines connects to every node of the lab at once. Nodes that the pool is
// connected to are not dialled; nil is a new one. The engines take it over: Close
// closes it.
func (s *Session) Engines(ctx context.Context, p *Pool) (*Engines, error) {
	return s.enginesWith(ctx, p, nil)
}

// AllEngines is Engines for what is asked about the swarm: orphans may be in it,
// and manage it.
func (s *Session) AllEngines(ctx context.Context, p *Pool) (*Engines, error) {
	orphans, err := s.Orphans(ctx)
	if err != nil {
		return nil, err
	}
	return s.enginesWith(ctx, p, orphans)
}

func (s *Session) enginesWith(ctx context.Context, p *Pool, orphans map[string]machine.Status) (*Engines, error) {
	if p == nil {
		p = s.NewPool()
	}
	nodes := s.with(orphans)
	var missing []lab.Node
	for _, n := range nodes {
		if p.live(n.Name) == nil {
			missing = append(missing, n)
		}
	}
	var machines map[string]machine.Status
	if len(missing) > 0 {
		status, err := s.driver.Status(ctx)
		if err != nil {
			return nil, err
		}
		machines = map[string]machine.Status{}
		maps.Copy(machines, status)
		maps.Copy(machines, orphans)
	}
	failed := map[string]error{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, n := range missing {
		all.Go(func() {
			if _, err := p.dial(ctx, n.Name, machines[n.Name]); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[n.Name] = err
			}
		})
	}
	all.Wait()
	e, err := s.connectedEngines(p, machines, orphans, failed)
	if err != nil {
		_ = p.Close()
	}
	return e, err
}

// EnginesOf gives the engines of the nodes that a pool is connected to, without
// connecting to any other: machines says what is known of these. The pool stays
// the caller's, who calls Release in place of Close.
func (s *Session) EnginesOf(p *Pool, machines map[string]machine.Status) (*Engines, error) {
	return s.connectedEngines(p, machines, nil, nil)
}

func (s *Session) connectedEngines(p *Pool, machines, orphans map[string]machine.Status, failed map[string]error) (*Engines, error) {
	e := &Engines{Pool: p, Machines: machines, clients: map[string]*engine.Client{}}
	for _, n := range s.with(orphans) {
		t := swarm.TargetFor(s.lab, n)
		_, t.Orphan = orphans[n.Name]
		t.Dissolved = s.record.Dissolved
		switch conn := p.Held(n.Name); {
		case failed[n.Name] != nil:
			t.Unreachable = failed[n.Name]
		case conn == nil:
			t.Unreachable = NotRunning(n.Name, machines[n.Name])
		default:
			client, err := engine.New(n.Name, conn.DialEngine)
			if err != nil {
				e.Release()
				return nil, err
			}
			e.clients[n.Name] = client
			t.Engine, t.Certificate = client, CertificateOf(conn)
		}
		e.Targets = append(e.Targets, t)
	}
	return e, nil
}

// Observe connects to the nodes, also to orphans, and asks every engine. The
// caller closes the engines.
func (s *Session) Observe(ctx context.Context) (swarm.View, *Engines, error) {
	return s.observeOver(ctx, s.NewPool())
}

func (s *Session) observeOver(ctx context.Context, p *Pool) (swarm.View, *Engines, error) {
	e, err := s.AllEngines(ctx, p)
	if err != nil {
		return swarm.View{}, nil, err
	}
	return e.Cluster(swarm.Options{}).Observe(ctx), e, nil
}

// Settled corrects what the swarm's list says by what this machine knows: one
// whose machine does not run does not lead.
func Settled(v swarm.View, machines map[string]machine.Status) swarm.View {
	for _, n := range v.Nodes {
		if m := machines[n.Name]; n.Leader && (m == machine.StatusHalted || m == machine.StatusAbsent) {
			return v.WithoutLeader()
		}
	}
	return v
}

// Await observes, over new connections each time, until conditions hold that
// depend on which machines run; tell is told what is missing. The engines are
// those of the last look, for the caller to close: there are some where a
// condition does not hold in the end (*swarm.UnmetError), too.
func (s *Session) Await(ctx context.Context, tell Reporter, conditions ...func(running func(node string) bool) swarm.Condition) (swarm.View, *Engines, error) {
	var e *Engines
	cluster := swarm.New(nil, swarm.Options{
		Reconnect: func(ctx context.Context) ([]swarm.Target, error) {
			if e != nil {
				e.Close()
			}
			var err error
			if e, err = s.AllEngines(ctx, nil); err != nil {
				return nil, err
			}
			return e.Targets, nil
		},
		Waiting: func(missing []string) { tell.Detail("", "waiting for "+strings.Join(missing, "; ")) },
	})
	var all []swarm.Condition
	for _, c := range conditions {
		all = append(all, c(func(node string) bool { return e.Machines[node] == machine.StatusRunning }))
	}
	v, err := cluster.Await(ctx, swarm.ElectionTimeout, all...)
	var unmet *swarm.UnmetError
	if err != nil && !errors.As(err, &unmet) && e != nil {
		e.Close()
		e = nil
	}
	return v, e, err
}

// Cluster is the lab's swarm, by way of these engines.
func (e *Engines) Cluster(o swarm.Options) *swarm.Cluster { return swarm.New(e.Targets, o) }

// Client is that of a node's engine; nil where the node was not reached.
func (e *Engines) Client(name string) *engine.Client { return e.clients[name] }

// Close lets go of the engines, and ends the connections.
func (e *Engines) Close() {
	e.Release()
	if e.Pool != nil {
		_ = e.Pool.Close()
	}
}

// Release lets go of the engines, and leaves the connections.
func (e *Engines) Release() {
	for _, c := range e.clients {
		_ = c.Close()
	}
}

// NoneReachable is an error where no node at all could be reached: nothing is
// known then of what there would be to do.
func (e *Engines) NoneReachable() error {
	var why []string
	for _, t := range e.Targets {
		if t.Unreachable == nil {
			return nil
		}
		why = append(why, t.Unreachable.Error())
	}
	return &trouble.Error{ID: "nobody-answers", What: "no node answers", Why: strings.Join(why, "; "), Next: []string{"bring the machines up: dcalab up"}}
}

// CertificateOf reads a node's own certificate, as swarm.Target wants it.
func CertificateOf(c *node.Conn) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) { return provision.Certificate(ctx, c) }
}

// Machines is the status of every machine of labs.yaml's nodes.
func (s *Session) Machines(ctx context.Context) (map[string]machine.Status, error) {
	return s.driver.Status(ctx)
}

// Orphans are the machines of the lab that labs.yaml no longer has: a node was
// taken out of it, or has another name now.
func (s *Session) Orphans(ctx context.Context) (map[string]machine.Status, error) {
	lister, ok := s.driver.(machine.OrphanLister)
	if !ok || !s.created {
		return nil, nil
	}
	return lister.Orphans(ctx)
}

// OrphanWarnings is a line for each machine that labs.yaml no longer has.
func (s *Session) OrphanWarnings(ctx context.Context) ([]string, error) {
	orphans, err := s.Orphans(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(orphans)) {
		state := "exists"
		switch orphans[name] {
		case machine.StatusRunning:
			state = "runs"
		case machine.StatusHalted:
			state = "is halted"
		}
		out = append(out, fmt.Sprintf("the machine of %s %s, and labs.yaml no longer has %s: dcalab up --prune removes it in order, or put it back in labs.yaml", name, state, name))
	}
	return out, nil
}

// with are the lab's nodes, and orphans as nodes without a role.
func (s *Session) with(orphans map[string]machine.Status) []lab.Node {
	nodes := slices.Clone(s.lab.Nodes)
	for _, name := range slices.Sorted(maps.Keys(orphans)) {
		nodes = append(nodes, lab.Node{Name: name, Role: lab.RoleNone})
	}
	return nodes
}

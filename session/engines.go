package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

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
	// Machines is the status of each; one that is connected runs.
	Machines map[string]machine.Status
	// Targets are the nodes as package swarm takes them, in the lab's order. One that
	// cannot be reached carries the reason.
	Targets []swarm.Target

	orphans bool // they are reached as well
	clients map[string]*engine.Client
}

// Engines connects to every node of the lab at once. Nodes that the pool is
// connected to are not dialled; nil is a new one. The engines take it over: Close
// closes it.
func (s *Session) Engines(ctx context.Context, p *Pool) (*Engines, error) {
	return s.newEngines(p, false).connected(ctx)
}

// AllEngines is Engines for what is asked about the swarm: orphans may be in it,
// and manage it.
func (s *Session) AllEngines(ctx context.Context, p *Pool) (*Engines, error) {
	return s.newEngines(p, true).connected(ctx)
}

// Unconnected are AllEngines before the first look of Await, which connects.
func (s *Session) Unconnected() *Engines { return s.newEngines(nil, true) }

func (s *Session) newEngines(p *Pool, orphans bool) *Engines {
	if p == nil {
		p = s.NewPool()
	}
	return &Engines{Pool: p, orphans: orphans}
}

func (e *Engines) connected(ctx context.Context) (*Engines, error) {
	if err := e.connect(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// connect makes the connections that are missing.
func (e *Engines) connect(ctx context.Context) error {
	s := e.Pool.session
	nodes := slices.Clone(s.lab.Nodes)
	var orphans map[string]machine.Status
	if e.orphans {
		var err error
		if orphans, err = s.Orphans(ctx); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(orphans)) {
		nodes = append(nodes, lab.Node{Name: name, Role: lab.RoleNone})
	}
	failed := map[string]error{}
	var mu sync.Mutex
	machines, err := e.Pool.reach(ctx, nodes, orphans, func(i int, _ *node.Conn, err error) {
		mu.Lock()
		defer mu.Unlock()
		failed[nodes[i].Name] = err
	})
	if err != nil {
		return err
	}
	return e.set(nodes, machines, failed, func(name string) bool { return orphans[name] != "" })
}

// EnginesOf gives the engines of the nodes that a pool is connected to, without
// connecting to any other: machines says what is known of these. The pool stays
// the caller's, who calls Release in place of Close.
func (s *Session) EnginesOf(p *Pool, machines map[string]machine.Status) (*Engines, error) {
	e := s.newEngines(p, false)
	return e, e.set(s.lab.Nodes, machines, nil, func(string) bool { return false })
}

// set makes the targets of the nodes that the pool is connected to now.
func (e *Engines) set(nodes []lab.Node, machines map[string]machine.Status, failed map[string]error, orphan func(string) bool) error {
	e.Release()
	e.Machines, e.Targets, e.clients = machines, nil, map[string]*engine.Client{}
	s := e.Pool.session
	for _, n := range nodes {
		t := swarm.TargetFor(s.lab, n)
		t.Orphan, t.Dissolved = orphan(n.Name), s.record.Dissolved
		switch conn := e.Pool.Held(n.Name); {
		case failed[n.Name] != nil:
			t.Unreachable = failed[n.Name]
		case conn == nil:
			t.Unreachable = NotRunning(n.Name, machines[n.Name])
		default:
			client, err := engine.New(n.Name, conn.DialEngine)
			if err != nil {
				e.Release()
				return err
			}
			e.clients[n.Name] = client
			t.Engine, t.Disk = client.Swarm, provision.SwarmData{Conn: conn}
		}
		e.Targets = append(e.Targets, t)
	}
	return nil
}

// Certificate reads on a node in which time its swarm certificate is good. An error for
// which errors.Is(err, fs.ErrNotExist) holds means that it has none.
func Certificate(ctx context.Context, c *node.Conn) (swarm.Validity, error) {
	return swarm.Age(ctx, provision.SwarmData{Conn: c})
}

// Observe connects to the nodes, also to orphans, and asks every engine. The
// caller closes the engines.
func (s *Session) Observe(ctx context.Context) (swarm.View, *Engines, error) {
	e, err := s.AllEngines(ctx, nil)
	if err != nil {
		return swarm.View{}, nil, err
	}
	return e.Cluster(swarm.Options{}).Observe(ctx), e, nil
}

// Await observes until conditions hold, and connects before each look where a
// connection is missing: machines may start and stop meanwhile. waiting is told
// before each pause what is missing. For the error see swarm.Cluster.Await.
func (e *Engines) Await(ctx context.Context, timeout time.Duration, waiting func(missing []string), conditions ...swarm.Condition) (swarm.View, error) {
	return swarm.New(nil, swarm.Options{Waiting: waiting, Reconnect: func(ctx context.Context) ([]swarm.Target, error) {
		err := e.connect(ctx)
		return e.Targets, err
	}}).Await(ctx, timeout, conditions...)
}

// Running tells whether a node's machine ran at the last look.
func (e *Engines) Running(node string) bool { return e.Machines[node] == machine.StatusRunning }

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
		out = append(out, fmt.Sprintf("the machine of %s %s, and labs.yaml no longer has %s: dcalab up --prune removes it gracefully, or put it back in labs.yaml", name, state, name))
	}
	return out, nil
}

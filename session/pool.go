package session

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// Pool keeps connections to nodes of a lab, one a node, each made when it is
// first needed, and made anew where it has ended. Its methods may be called
// from several goroutines at once.
type Pool struct {
	session *Session
	mu      sync.Mutex
	conns   map[string]*node.Conn
	turns   map[string]chan struct{} // to connect to a node: one at a time
}

// NewPool makes a pool without a connection, which the caller closes. A session
// may have several: one for each of the things that it is opened for.
func (s *Session) NewPool() *Pool {
	return &Pool{session: s, conns: map[string]*node.Conn{}, turns: map[string]chan struct{}{}}
}

// Keep puts a connection into the pool, which closes it.
func (p *Pool) Keep(c *node.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.conns[c.Name()]; old != nil && old != c {
		_ = old.Close()
	}
	p.conns[c.Name()] = c
}

// Held gives the connection to a node that there is, even if it has ended; nil
// where none was made.
func (p *Pool) Held(name string) *node.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[name]
}

// live is Held for a connection that has not ended.
func (p *Pool) live(name string) *node.Conn {
	c := p.Held(name)
	if c == nil {
		return nil
	}
	select {
	case <-c.Done():
		return nil
	default:
		return c
	}
}

// All gives the connections that there are, by the nodes' names.
func (p *Pool) All() map[string]*node.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.conns)
}

// Close ends all connections, and leaves the pool empty.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, c := range p.conns {
		errs = append(errs, c.Close())
	}
	clear(p.conns)
	return errors.Join(errs...)
}

// Conn gives the connection to a node of a lab that exists. The pool closes it.
func (p *Pool) Conn(ctx context.Context, name string) (*node.Conn, error) {
	if err := p.session.MustExist(); err != nil {
		return nil, err
	}
	if c := p.live(name); c != nil {
		return c, nil
	}
	return p.dial(ctx, name, func() (machine.Status, error) {
		machines, err := p.session.driver.Status(ctx)
		return machines[name], err
	})
}

// ConnTo is Conn where the caller has just asked for the status of the node's machine.
func (p *Pool) ConnTo(ctx context.Context, name string, is machine.Status) (*node.Conn, error) {
	if c := p.live(name); c != nil {
		return c, nil
	}
	return p.dial(ctx, name, func() (machine.Status, error) { return is, nil })
}

// turn is the node's place for one that connects to it.
func (p *Pool) turn(name string) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turns[name] == nil {
		p.turns[name] = make(chan struct{}, 1)
	}
	return p.turns[name]
}

// dial connects to a node, and keeps the connection; it gives the one that another
// call has made meanwhile.
func (p *Pool) dial(ctx context.Context, name string, status func() (machine.Status, error)) (*node.Conn, error) {
	turn := p.turn(name)
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c := p.live(name); c != nil {
		return c, nil
	}
	is, err := status()
	if err != nil {
		return nil, err
	}
	c, err := p.session.Dial(ctx, name, is)
	if err != nil {
		return nil, err
	}
	p.Keep(c)
	return c, nil
}

// Reach connects to each of the nodes at once. then is called for each as soon
// as it is reached, or is known not to be; Reach waits for all these calls. The
// machines are asked about once, where a connection is missing.
func (p *Pool) Reach(ctx context.Context, nodes []lab.Node, then func(i int, c *node.Conn, err error)) {
	_, _ = p.reach(ctx, nodes, nil, then)
}

// reach is Reach, and gives the status of the machines; orphans are those that
// the driver's Status leaves out. The error is the driver's.
func (p *Pool) reach(ctx context.Context, nodes []lab.Node, orphans map[string]machine.Status, then func(i int, c *node.Conn, err error)) (map[string]machine.Status, error) {
	machines := map[string]machine.Status{}
	held := make([]*node.Conn, len(nodes))
	for i, n := range nodes {
		held[i] = p.live(n.Name)
	}
	var unknown error
	if slices.Contains(held, nil) {
		var status map[string]machine.Status
		status, unknown = p.session.driver.Status(ctx)
		maps.Copy(machines, status)
		maps.Copy(machines, orphans)
	}
	var all sync.WaitGroup
	for i, n := range nodes {
		c, err, status := held[i], unknown, machines[n.Name]
		if c != nil {
			err, machines[n.Name] = nil, machine.StatusRunning
		}
		all.Go(func() {
			if c == nil && err == nil {
				c, err = p.dial(ctx, n.Name, func() (machine.Status, error) { return status, nil })
			}
			then(i, c, err)
		})
	}
	all.Wait()
	return machines, unknown
}

// Each calls do for every node at once, and gives why it failed, or could not be
// called, by the node's name.
func (p *Pool) Each(ctx context.Context, nodes []lab.Node, do func(context.Context, lab.Node, *node.Conn) error) map[string]error {
	var mu sync.Mutex
	failed := map[string]error{}
	p.Reach(ctx, nodes, func(i int, c *node.Conn, err error) {
		if err == nil {
			err = do(ctx, nodes[i], c)
		}
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed[nodes[i].Name] = err
		}
	})
	return failed
}

// own is the pool of Conn and Select.
func (s *Session) own() *Pool {
	s.once.Do(func() { s.pool = s.NewPool() })
	return s.pool
}

// Conn gives the connection to a node, which lasts until Close.
func (s *Session) Conn(ctx context.Context, name string) (*node.Conn, error) {
	return s.own().Conn(ctx, name)
}

// DialOptions are those for the lab's nodes.
func (s *Session) DialOptions() node.Options {
	return node.Options{KnownHosts: s.state.KnownHosts(), AgentSocket: s.settings.getenv("SSH_AUTH_SOCK")}
}

// Dial opens a connection to a node whose machine has this status. The caller
// closes it.
func (s *Session) Dial(ctx context.Context, name string, status machine.Status) (*node.Conn, error) {
	if err := NotRunning(name, status); err != nil {
		return nil, err
	}
	ep, err := s.driver.Endpoint(ctx, name)
	if err != nil {
		return nil, err
	}
	return node.Dial(ctx, ep, s.DialOptions())
}

// NotRunning is why a machine that does not run cannot be asked; nil for one
// that does.
func NotRunning(node string, status machine.Status) error {
	switch status {
	case machine.StatusRunning:
		return nil
	case machine.StatusHalted:
		return &trouble.Error{ID: "node-halted", Where: node, Why: "its machine is halted", Next: []string{"dcalab start " + node}}
	case machine.StatusAbsent:
		return &trouble.Error{ID: "node-absent", Where: node, Why: "its machine is not created", Next: []string{"dcalab up " + node}, Err: swarm.ErrAbsent}
	default:
		return &trouble.Error{ID: "node-unknown", Where: node, Why: "the state of its machine is not known"}
	}
}

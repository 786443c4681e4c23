package timeline

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm/raft"
)

const (
	// machinePause is between two looks at the machines, and slowPause where a look
	// costs seconds.
	machinePause = time.Second
	slowPause    = 10 * time.Second
)

// Listen tells what happens in a lab, in one order, until ctx ends, which is no
// error. It begins with how things are. Nodes that boot, halt, join and leave
// meanwhile come and go with it. tell is called by one goroutine at a time.
func Listen(ctx context.Context, s *session.Session, tell func(Event)) error {
	l := &listener{
		session: s, pool: s.NewPool(), tell: tell,
		machines: map[string]machine.Status{}, logs: map[string]raft.State{}, names: map[string]string{}, busy: map[string]bool{}, failed: map[string]string{},
	}
	defer l.pool.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer l.nodes.Wait()
	defer cancel()
	l.nameNodes(ctx)
	pause := machinePause
	if s.Driver().Traits().SlowStatus {
		pause = slowPause
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		l.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type listener struct {
	session *session.Session
	pool    *session.Pool
	nodes   sync.WaitGroup

	mu       sync.Mutex // of what follows, and of tell
	tell     func(Event)
	machines map[string]machine.Status
	unknown  string                // why the machines' status is not known
	logs     map[string]raft.State // by node
	names    map[string]string     // of nodes, by their ids in the swarm
	leader   uint64                // raft id, and the term that it won
	term     uint64
	busy     map[string]bool   // nodes that are listened to
	failed   map[string]string // why logs cannot be read
}

// say tells an event that has just happened. The caller holds the lock.
func (l *listener) say(e Event) {
	e.Time = time.Now()
	l.tell(e)
}

// nameNodes learns the ids of the nodes, where there is a swarm that tells them.
func (l *listener) nameNodes(ctx context.Context) {
	v, engines, err := l.session.Observe(ctx)
	if err != nil {
		return
	}
	defer engines.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range v.Nodes {
		if n.NodeID != "" {
			l.names[n.NodeID] = n.Name
		}
	}
}

// look asks for the machines, and listens to nodes that it does not listen to yet.
func (l *listener) look(ctx context.Context) {
	status, err := l.session.Driver().Status(ctx)
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if l.unknown != err.Error() {
			l.unknown = err.Error()
			l.say(Event{Source: SourceMachine, Kind: KindMachine, Machine: machine.StatusUnknown, Text: l.unknown})
		}
		return
	}
	l.unknown = ""
	for _, n := range l.session.Lab().Nodes {
		is := status[n.Name]
		if l.machines[n.Name] != is {
			l.machines[n.Name] = is
			l.say(Event{Source: SourceMachine, Kind: KindMachine, Node: n.Name, Machine: is})
		}
		if is == machine.StatusRunning && !l.busy[n.Name] {
			l.busy[n.Name] = true
			l.nodes.Go(func() {
				l.listen(ctx, n.Name)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.busy[n.Name] = false
			})
		}
	}
}

// listen listens to one node, as long as its connection lasts.
func (l *listener) listen(ctx context.Context, name string) {
	c, err := l.pool.Conn(ctx, name)
	if err != nil {
		return // it boots, or is halted just now: at the next look
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch watching
	defer watch.stop()
	err = raft.Follow(ctx, c, func(s raft.State) {
		l.log(name, s)
		if s == (raft.State{}) {
			watch.stop()
		} else if s.Term > 0 {
			watch.start(ctx, func(ctx context.Context) { l.watch(ctx, c, name) })
		}
	})
	var failed *node.RunError
	if errors.As(err, &failed) { // else the connection has ended
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.failed[name] != failed.Stderr {
			l.failed[name] = failed.Stderr
			l.say(Event{Source: SourceRaft, Kind: KindFailed, Node: name, Text: err.Error()})
		}
	}
}

// watching is the one watch of a node's.
type watching struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func (w *watching) start(ctx context.Context, watch func(context.Context)) {
	if w.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	w.cancel, w.ended = cancel, make(chan struct{})
	go func() {
		defer close(w.ended)
		watch(ctx)
	}()
}

func (w *watching) stop() {
	if w.cancel == nil {
		return
	}
	w.cancel()
	<-w.ended
	w.cancel = nil
}

// watch watches the cluster as a manager sees it. An engine that was restarted is
// watched anew, as long as the node is a manager.
func (l *listener) watch(ctx context.Context, c *node.Conn, name string) {
	for ctx.Err() == nil {
		_ = raft.Watch(ctx, c, func() {}, func(change raft.Change) { l.change(name, change) })
		select {
		case <-ctx.Done():
		case <-c.Done():
			return
		case <-time.After(machinePause):
		}
	}
}

// log tells what is new in a manager's log.
func (l *listener) log(name string, now raft.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, known := l.logs[name]
	e := Event{Source: SourceRaft, Node: name}
	switch {
	case now == raft.State{}:
		if !known {
			return // a worker
		}
		delete(l.logs, name)
		e.Kind = KindLeft
		l.say(e)
		return
	case !known || before.ID != now.ID:
		e.Kind = KindState
	case before.Term != now.Term || before.Vote != now.Vote:
		e.Kind = KindTerm
	default:
		e.Kind = KindLog
	}
	l.logs[name] = now
	if now.Node != "" {
		l.names[now.Node] = name
	}
	e.Raft = l.raft(now)
	l.say(e)
	var all []raft.State
	for _, s := range l.logs {
		all = append(all, s)
	}
	if id, term, ok := raft.Won(all); ok && (term > l.term || l.leader == 0) {
		l.leader, l.term = id, term
		l.say(Event{Source: SourceRaft, Kind: KindLeader, Node: l.manager(id), Raft: &Raft{Term: term}})
	}
}

func (l *listener) raft(s raft.State) *Raft {
	r := &Raft{Term: s.Term, Commit: s.Commit, LastTerm: s.Last.Term, LastIndex: s.Last.Index}
	if s.Vote != 0 {
		r.Vote = l.manager(s.Vote)
	}
	return r
}

// manager names one by its id in raft.
func (l *listener) manager(id uint64) string {
	for name, s := range l.logs {
		if s.ID == id {
			return name
		}
	}
	return strconv.FormatUint(id, 16)
}

// change tells a change that a manager has applied.
func (l *listener) change(name string, c raft.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Kind == raft.KindNode && l.names[c.ID] == "" {
		for _, n := range l.session.Lab().Nodes {
			if c.Name == l.session.Lab().Hostname(n) || c.Name == n.Name {
				l.names[c.ID] = n.Name
			}
		}
	}
	on := l.names[c.Node]
	if c.Kind == raft.KindNode {
		on = l.names[c.ID]
	}
	l.say(Event{Source: SourceSwarm, Kind: KindChange, Node: name, Change: &Change{Version: c.Version, Action: c.Action, Object: c.Object, On: on}})
}

package timeline

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/raft"
)

// A new leader takes calls some seconds after it was elected.
const (
	stockPause = 2 * time.Second
	stockTries = 5
)

// stocktaking is one from before the engines are asked.
type stocktaking struct {
	number int                    // which of those that are wanted
	before map[string]raft.Change // what was known
}

// wantStock has stock taken, unless it was. The caller holds the lock.
func (l *listener) wantStock() {
	if l.taken == l.wanted {
		return
	}
	select {
	case l.stock <- struct{}{}:
	default:
	}
}

// takeStock tells which nodes, services and tasks there are, as soon as a leader can be
// asked, and again where changes of them may have been missed.
func (l *listener) takeStock(ctx context.Context) {
	for tries := 0; ; tries++ {
		l.tellStock(ctx)
		l.mu.Lock()
		again := l.taken != l.wanted && l.leader != 0 && tries < stockTries
		l.mu.Unlock()
		pause := time.Duration(math.MaxInt64)
		if again {
			pause = stockPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		case <-l.stock:
			tries = 0
		}
	}
}

// tellStock asks the engines, and tells what there is if a manager has answered.
func (l *listener) tellStock(ctx context.Context) {
	s, wanted := l.beginStock()
	if !wanted {
		return
	}
	v, engines, err := l.session.Observe(ctx)
	if err != nil {
		return
	}
	defer engines.Close()
	l.mu.Lock()
	for _, n := range v.Nodes {
		if n.NodeID != "" {
			l.names[n.NodeID] = n.Name
		}
	}
	leader := l.manager(l.leader)
	l.mu.Unlock()
	if at := slices.IndexFunc(v.Nodes, func(n swarm.NodeView) bool { return n.Name == leader }); at > 0 { // who leads knows what is gone
		v.Nodes[0], v.Nodes[at] = v.Nodes[at], v.Nodes[0]
	}
	for _, n := range v.Nodes {
		client := engines.Client(n.Name)
		if client == nil || !n.Control || n.State != swarm.StateMember {
			continue
		}
		if found, err := stockOf(ctx, client); err == nil {
			l.endStock(s, n.Name, found)
			return
		}
	}
}

func (l *listener) beginStock() (s stocktaking, wanted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return stocktaking{l.wanted, maps.Clone(l.known)}, l.taken != l.wanted
}

// endStock tells what was found, and which of what was known before the engines were asked
// is gone. Where another stocktaking was wanted meanwhile, it may be of before that, and
// nothing is told: the next one is under way.
func (l *listener) endStock(s stocktaking, manager string, found []raft.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.number != l.wanted {
		return
	}
	l.taken = s.number
	for _, c := range found {
		delete(s.before, objectKey(c))
		l.tellChange(manager, KindState, c)
	}
	if manager != l.manager(l.leader) { // it may be cut off, and not know of all that there is
		return
	}
	for _, key := range slices.Sorted(maps.Keys(s.before)) {
		if c, still := l.known[key]; still { // nobody has told meanwhile that it is gone
			c.Action = raft.ActionRemove
			l.tellChange(manager, KindChange, c)
		}
	}
}

func objectKey(c raft.Change) string { return string(c.Kind) + " " + c.ID }

// know keeps what is told of an object that stock is taken of: not networks, and not tasks
// that are of no service, which engines do not list. The caller holds the lock.
func (l *listener) know(c raft.Change) {
	switch {
	case c.Kind == raft.KindNetwork, c.Kind == raft.KindTask && c.Service == "":
	case c.Action == raft.ActionRemove:
		delete(l.known, objectKey(c))
	default:
		l.known[objectKey(c)] = c
	}
}

// stockOf is what there is in the cluster, in the words of its changes.
func stockOf(ctx context.Context, client *engine.Client) ([]raft.Change, error) {
	nodes, err := client.Swarm.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	services, err := client.Services.List(ctx)
	if err != nil {
		return nil, err
	}
	tasks, err := client.Swarm.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	var out []raft.Change
	add := func(version uint64, o raft.Object) {
		out = append(out, raft.Change{Version: version, Action: raft.ActionUpdate, Object: o})
	}
	for _, n := range nodes {
		role := "worker"
		if n.IsManager() {
			role = "manager"
		}
		add(n.Version, raft.Object{
			Kind: raft.KindNode, ID: n.ID, Name: n.Hostname, State: string(n.Status), Message: n.StatusMessage,
			Role: role, Desired: string(n.Role), Availability: string(n.Availability),
		})
	}
	for _, s := range services {
		o := raft.Object{Kind: raft.KindService, ID: s.ID, Name: s.Name, State: s.Update, Message: s.UpdateMessage, Replicas: s.Replicas}
		for _, p := range s.Published {
			o.Ports = append(o.Ports, raft.Port{Protocol: p.Protocol, Target: uint64(p.Target), Published: uint64(p.Published), Host: p.Host}) //nolint:gosec // they are ports
		}
		add(s.Version, o)
	}
	for _, t := range tasks {
		add(t.Version, raft.Object{
			Kind: raft.KindTask, ID: t.ID, Name: t.Name, State: t.State, Desired: t.Desired, Service: t.ServiceID, Node: t.NodeID, Message: t.Message,
		})
	}
	return out, nil
}

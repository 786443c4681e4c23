package swarm

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dcalab/dcalab/lab"
)

// Watch observes targets again and again. Each engine is asked on its own, so
// that one that hangs holds up nobody else's answer. The zero Watch is ready.
// Look is called by one goroutine.
type Watch struct {
	mu     sync.Mutex
	nodes  map[string]*watched
	asking sync.WaitGroup
}

// watched is a node's newest answer, and the question under way.
type watched struct {
	engine Engine // that the answer came from
	fact   fact
	at     time.Time     // when the answer came; zero where there was none
	busy   chan struct{} // closed by the answer; nil where nobody asks
}

// Wait waits for the questions under way; they end with the context of the Look
// that asked them.
func (w *Watch) Wait() { w.asking.Wait() }

// ErrNotYet is why a node has no state yet: a node was asked for the first time, and has not answered yet.
var ErrNotYet = errors.New("no answer yet")

// Look asks every engine that is not being asked already, and gives what is
// known after patience, or when all have answered. What is older than this
// look is in old, with the time it is from; a node that cannot be asked is
// never old.
func (w *Watch) Look(ctx context.Context, targets []Target, patience time.Duration) (v View, old map[string]time.Time) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	over := false
	wait := func(busy <-chan struct{}) {
		if over || busy == nil {
			return
		}
		select {
		case <-busy:
		case <-limit.C:
			over = true
		case <-ctx.Done():
			over = true
		}
	}
	busy := w.ask(ctx, targets, func(Target, fact) bool { return true })
	for _, b := range busy {
		wait(b)
	}
	facts, _ := w.gather(targets)
	// A node that no list holds may have joined after the list was read.
	newcomer := false
	for _, f := range facts {
		newcomer = newcomer || f.answered() && f.info.NodeID != "" && clusterListing(f.info.NodeID, facts) == ""
	}
	if newcomer {
		for _, b := range w.ask(ctx, targets, func(_ Target, f fact) bool { return f.listed }) {
			wait(b)
		}
	}
	facts, old = w.gather(targets)
	return classify(labNodes(targets), facts, nil), old
}

// ask begins to ask those of the targets that which wants, and gives what
// tells of each answer.
func (w *Watch) ask(ctx context.Context, targets []Target, which func(Target, fact) bool) []<-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nodes == nil {
		w.nodes = map[string]*watched{}
	}
	var out []<-chan struct{}
	for _, t := range targets {
		n := w.nodes[t.Name]
		if n == nil || n.engine != t.Engine {
			n = &watched{engine: t.Engine, fact: fact{err: ErrNotYet, reached: true}}
			w.nodes[t.Name] = n
		}
		if t.Engine == nil {
			n.fact, n.at = probe(ctx, t), time.Now()
			continue
		}
		if n.busy == nil && which(t, n.fact) {
			done := make(chan struct{})
			n.busy = done
			w.asking.Go(func() { w.one(ctx, t, n, done) })
		}
		if n.busy != nil {
			out = append(out, n.busy)
		}
	}
	return out
}

// one asks one node.
func (w *Watch) one(ctx context.Context, t Target, n *watched, done chan struct{}) {
	f := probe(ctx, t)
	w.mu.Lock()
	all := []fact{f}
	for _, other := range w.nodes {
		all = append(all, other.fact)
	}
	w.mu.Unlock()
	// Which swarm it is in does not change while it waits for a leader.
	if known := remembered(n.fact); known != (identity{}) && (!f.answered() || f.info.NodeID == known.NodeID) {
		f.cert = known
	}
	if t.Disk != nil && f.cert == (identity{}) && needsCertificate(f, all) {
		f.cert, f.noCert = readCertificate(ctx, t)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n.fact, n.at, n.busy = f, time.Now(), nil
	close(done)
}

// remembered is what an answer tells of who a node is; only a manager with a
// leader tells it without its certificate.
func remembered(f fact) identity {
	if f.info.Control && f.info.ClusterID != "" {
		return identity{Cluster: f.info.ClusterID, NodeID: f.info.NodeID, Role: lab.RoleManager}
	}
	return f.cert
}

func (w *Watch) gather(targets []Target) ([]fact, map[string]time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	facts, old := make([]fact, len(targets)), map[string]time.Time{}
	for i, t := range targets {
		n := w.nodes[t.Name]
		facts[i] = n.fact
		if n.busy != nil && !n.at.IsZero() {
			old[t.Name] = n.at
		}
	}
	return facts, old
}

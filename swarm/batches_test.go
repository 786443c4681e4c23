package swarm

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcalab/dcalab/engine"
)

// newcomers are the nodes that have begun to join, in order, and how many of
// them were making their end of the ingress network at once.
type newcomers struct {
	mu        sync.Mutex
	order     []string
	busy, top int
}

// busyEngine makes its end of the ingress network for takes, after it has joined.
type busyEngine struct {
	*modelEngine
	all   *newcomers
	takes time.Duration
	done  *atomic.Bool
}

func (e busyEngine) Join(ctx context.Context, o engine.JoinOptions) error {
	e.all.mu.Lock()
	defer e.all.mu.Unlock()
	e.all.order = append(e.all.order, e.name)
	e.all.busy++
	e.all.top = max(e.all.top, e.all.busy)
	time.AfterFunc(e.takes, func() {
		e.all.mu.Lock()
		defer e.all.mu.Unlock()
		e.all.busy--
		e.done.Store(true)
	})
	return e.modelEngine.Join(ctx, o)
}

func (e busyEngine) OnIngress(context.Context) (bool, error) { return e.done.Load(), nil }

func busy(w *world, takes time.Duration) (*newcomers, []Target) {
	all, targets := &newcomers{}, w.targets()
	for i := range targets {
		targets[i].Engine = busyEngine{w.engines[i], all, takes, new(atomic.Bool)}
	}
	return all, targets
}

// Nodes of a large lab join in batches, the managers in the first one.
func TestNodesOfALargeLabJoinInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab(strings.Repeat("w", 2*joinsAtOnce) + "mmm"))
		all, targets := busy(w, 2*time.Second)
		if _, err := bootstrap(t.Context(), w.lab, targets, how{}); err != nil {
			t.Fatal(err)
		}
		if all.top != joinsAtOnce {
			t.Errorf("%d nodes were making their end of the ingress network at once, want %d", all.top, joinsAtOnce)
		}
		for i, name := range all.order {
			if n := w.lab.Nodes[len(w.lab.Nodes)-1].Name; name == n && i >= joinsAtOnce {
				t.Errorf("manager %s was the %dth to join", name, i+1)
			}
		}
		time.Sleep(3 * time.Second) // until the last is not busy any more
	})
}

// Where there is no ingress network, nodes join all the same.
func TestWithoutAnIngressNetworkAllJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(testLab("m" + strings.Repeat("w", 3*joinsAtOnce)))
		all, targets := busy(w, time.Hour)
		began := time.Now()
		if _, err := bootstrap(t.Context(), w.lab, targets, how{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); len(all.order) != 3*joinsAtOnce || took > 2*ingressTimeout {
			t.Errorf("%d joined, in %v: want all, after one wait", len(all.order), took)
		}
		time.Sleep(2 * time.Hour)
	})
}

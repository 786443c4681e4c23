package timeline

import (
	"context"
	"errors"
	"io/fs"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/raft"
)

// TestWhenCertificatesEnd: a node's is told when it is listened to, and again only where it
// is another one, which is looked for when something tells that it may be, and each hour.
func TestWhenCertificatesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		l := listening(&got)
		l.tell = func(e Event) { got = append(got, e.Words()) }
		l.names["id-w"] = "w1"
		looks, until, failed := 0, time.Time{}, fs.ErrNotExist
		ctx, cancel := context.WithCancel(t.Context())
		go l.watchCertificate(ctx, "w1", func(context.Context) (swarm.Validity, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			looks++
			return swarm.Validity{Until: until}, failed
		})
		becomes := func(ends time.Time, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			until, failed = ends, err
		}
		told := func(what string, atMost int, want ...string) {
			t.Helper()
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			if !reflect.DeepEqual(got, want) || looks > atMost {
				t.Errorf("%s: got %q after %d looks, want %q after %d at most", what, got, looks, want, atMost)
			}
			got, looks = nil, 0
		}
		day := func(n int) time.Time { return time.Date(2027, 2, n, 10, 26, 0, 0, time.UTC) }

		time.Sleep(time.Minute)
		told("it is in no swarm", 5)
		joined := raft.Change{Version: 7, Action: raft.ActionCreate, Object: nodeIs("id-w", "unknown")}
		l.change("m1", joined)
		synctest.Wait()
		becomes(day(1), nil)
		time.Sleep(certificateSoon)
		told("it has joined", 2, "node w1 created: unknown, worker, active", "swarm certificate until 2027-02-01 10:26 UTC")

		l.change("m2", joined)
		got = nil // as another manager tells it
		time.Sleep(time.Minute)
		told("nothing of it has changed", 0)
		becomes(day(2), nil)
		time.Sleep(certificateEvery)
		told("it was renewed, and nobody has told", 1, "swarm certificate until 2027-02-02 10:26 UTC")

		becomes(day(3), nil)
		l.engines["m1"] = "up"
		l.asked("m1", infoOf(false, true))
		l.asked("m1", infoOf(false, false))
		told("after another root CA", 1, "the root CA is being replaced", "the root CA was replaced", "swarm certificate until 2027-02-03 10:26 UTC")

		for version, state := range []string{"ready", "unknown", "ready"} {
			l.change("m1", raft.Change{Version: uint64(version) + 8, Action: raft.ActionUpdate, Object: nodeIs("id-w", state)})
		}
		got = nil
		time.Sleep(time.Minute)
		told("an election", 0)
		l.change("m1", raft.Change{Version: 11, Action: raft.ActionUpdate, Object: nodeIs("id-w", "ready")})
		got = nil
		becomes(day(4), nil)
		time.Sleep(certificateSoon)
		told("one was issued", 2, "swarm certificate until 2027-02-04 10:26 UTC")

		becomes(day(5), errors.New("no answer"))
		l.mu.Lock()
		l.mayBeRenewed("w1")
		l.mu.Unlock()
		time.Sleep(time.Minute)
		told("it cannot be read", 5)
		becomes(time.Time{}, fs.ErrNotExist)
		l.change("m1", raft.Change{Version: 12, Action: raft.ActionUpdate, Object: nodeIs("id-w", "down")})
		time.Sleep(time.Minute)
		told("it has left", 5, "node w1: down, worker, active", "no swarm certificate any more")
		cancel()
	})
}

// TestCertificateAtPresent: as long as its machine runs and it is in the swarm.
func TestCertificateAtPresent(t *testing.T) {
	ends := Event{Source: SourceEngine, Kind: KindCertificate, Node: "w1", Until: at(9000)}
	for name, c := range map[string]struct {
		events []Event
		want   time.Time
	}{
		"told":                           {nil, at(9000)},
		"there is none":                  {[]Event{{Source: SourceEngine, Kind: KindCertificate, Node: "w1"}}, time.Time{}},
		"its machine is gone":            {[]Event{machineIs(4, "w1", machine.StatusHalted)}, time.Time{}},
		"it hangs":                       {[]Event{{Source: SourceEngine, Kind: KindEngine, Node: "w1", Engine: "hangs"}}, at(9000)},
		"it was removed":                 {[]Event{change(8, raft.ActionRemove, nodeIs("id-w", "down"), "w1")}, time.Time{}},
		"somebody else begins to listen": {[]Event{{Source: SourceCommand, Kind: KindBegins}}, time.Time{}},
	} {
		events := append([]Event{is(7, nodeIs("id-w", "ready"), "w1"), ends}, c.events...)
		p := after(events...)
		if got := p.Nodes["w1"].Certificate; !got.Equal(c.want) {
			t.Errorf("%s: it ends %v", name, got)
		}
		for _, e := range p.News {
			if e.Kind == KindCertificate {
				t.Errorf("%s: it is news", name)
			}
		}
	}
}

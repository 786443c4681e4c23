package relay

import (
	"container/heap"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func shaped(t *testing.T, kind string) *shape {
	t.Helper()
	s, err := parse(kind, "10.0.0.1\n10.0.0.2\n")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParse(t *testing.T) {
	s := shaped(t, "relay:200:50:1000000:7")
	if s.delay != 200*time.Millisecond || s.jitter != 50*time.Millisecond || s.rate != 1_000_000 || len(s.from) != 2 || !s.from[netip.MustParseAddr("10.0.0.2")] {
		t.Errorf("it is %+v", s)
	}
	for _, kind := range []string{"", "net", "relay", "relay:1:2:3", "relay:1:2:3:4:5", "relay:-1:0:0:0", "relay:x:0:0:0", "netem:1:0:0:0"} {
		if s, err := parse(kind, ""); err == nil {
			t.Errorf("%q: it is %+v", kind, s)
		}
	}
	if s, err := parse("relay:1:0:0:0", "10.0.0.1\nm1\n"); err == nil {
		t.Errorf("of a name: it is %+v", s)
	}
}

// Each packet is late by the delay and no more than the jitter more or less, and the
// same seed draws the same.
func TestDelay(t *testing.T) {
	now := time.Unix(1000, 0)
	s, again, other := shaped(t, "relay:200:50:0:7"), shaped(t, "relay:200:50:0:7"), shaped(t, "relay:200:50:0:8")
	early, late, differs := false, false, false
	for range 1000 {
		at, kept := s.through(now, 1500)
		wait := at.Sub(now)
		if !kept || wait < 150*time.Millisecond || wait > 250*time.Millisecond {
			t.Fatalf("it waits %v, %v", wait, kept)
		}
		early, late = early || wait < 160*time.Millisecond, late || wait > 240*time.Millisecond
		if same, _ := again.through(now, 60); !same.Equal(at) {
			t.Fatalf("the same seed draws %v and %v", wait, same.Sub(now))
		}
		if o, _ := other.through(now, 60); !o.Equal(at) {
			differs = true
		}
	}
	if !early || !late || !differs {
		t.Errorf("early %v, late %v, another seed draws other times: %v", early, late, differs)
	}
}

// Packets take their time one after the other; what would wait too long for its turn is
// lost, and takes none.
func TestRate(t *testing.T) {
	now := time.Unix(1000, 0)
	s := shaped(t, "relay:0:0:8000:1") // 1000 bytes in a second
	for i, c := range []struct {
		after time.Duration
		size  int
		want  time.Duration // negative: lost
	}{
		{0, 500, 500 * time.Millisecond},
		{0, 500, time.Second},
		{0, 2000, 3 * time.Second},
		{0, 1, -1},
		{1500 * time.Millisecond, 1, -1},
		{2 * time.Second, 100, 3100 * time.Millisecond},
		{10 * time.Second, 1000, 11 * time.Second},
	} {
		at, kept := s.through(now.Add(c.after), c.size)
		if kept != (c.want >= 0) || kept && !at.Equal(now.Add(c.want)) {
			t.Errorf("packet %d: through at %v, %v, want %v", i, at.Sub(now), kept, c.want)
		}
	}
}

// What the folder has is done, one fault after the other, and a fault goes on as it is
// while others come and go.
func TestLook(t *testing.T) {
	l := shapes{dir: t.TempDir()}
	from, now := netip.MustParseAddr("10.0.0.1"), time.Unix(1000, 0)
	write := func(id, kind, addresses string) {
		t.Helper()
		for name, text := range map[string]string{id + ".rules": addresses, id + ".fault": "0 " + kind + "\n"} {
			if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l.look(true)
	}
	wait := func(want time.Duration) {
		t.Helper()
		if at, kept := l.through(from, now, 1000); !kept || at.Sub(now) != want {
			t.Errorf("it waits %v, %v, want %v", at.Sub(now), kept, want)
		}
	}
	l.look(true)
	wait(0)
	write("f1", "relay:200:0:0:1", "10.0.0.1\n")
	write("f3", "net", "-A DCALAB-f3 -s 10.0.0.1/32 -j DROP\n")
	write("f4", "relay:900:0:0:1", "10.0.0.9\n")
	write("f5", "relay:nonsense", "10.0.0.1\n")
	wait(200 * time.Millisecond)
	write("f10", "relay:0:0:8000:1", "10.0.0.1\n10.0.0.2\n")
	wait(1200 * time.Millisecond) // 1 s for the packet itself
	write("f2", "relay:100:0:0:1", "10.0.0.1\n")
	wait(2200 * time.Millisecond) // and for the one before
	if got := len(l.all); got != 4 {
		t.Errorf("there are %d", got)
	}
	if !slices.IsSortedFunc(l.all, func(a, b *shape) int { return int(a.rate - b.rate) }) {
		t.Error("f10 is not the last")
	}
	if err := os.Remove(filepath.Join(l.dir, "f1.fault")); err != nil {
		t.Fatal(err)
	}
	l.look(true)
	if at, kept := l.through(netip.MustParseAddr("10.0.0.9"), now, 1); !kept || at.Sub(now) != 900*time.Millisecond {
		t.Errorf("another source waits %v", at.Sub(now))
	}
	if _, kept := l.through(from, now, 1000); kept {
		t.Error("what f10 has let through before does not count any more")
	}
	l.dir += "/gone"
	l.look(false)
	wait(0)
}

// Those that are due first go first, and of one time those that came first.
func TestOrder(t *testing.T) {
	now := time.Unix(1000, 0)
	var w waiting
	for i, ms := range []int{5, 1, 5, 0, 1, 5} {
		heap.Push(&w, packet{uint32(i), 1, now.Add(time.Duration(ms) * time.Millisecond), uint64(i)}) //nolint:gosec // small
	}
	var got []uint32
	for len(w) > 0 {
		got = append(got, heap.Pop(&w).(packet).id)
	}
	if !slices.Equal(got, []uint32{3, 1, 4, 0, 2, 5}) {
		t.Errorf("they go as %v", got)
	}
}

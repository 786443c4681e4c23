// Package relay slows packets down in user space, where the kernel has no netem: on a
// node, as root, it takes them from a queue of netfilter and lets each go when its time
// has come.
//
// What it does follows from the folder that node.sh keeps the node's faults in: each
// one whose kind begins with relay. So it needs not be told when one is applied or
// healed, and ends when there is none left.
package relay

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// Queue is the number of the queue, of those of one network namespace.
	Queue = 20377
	// heldBytes and heldPackets are how much may wait in all; what is more is lost.
	heldBytes   = 64 << 20
	heldPackets = 20_000
	// turn is how long a packet may wait until the ones before it are through; one that
	// would have to wait longer is lost, as in the buffer of a router.
	turn = time.Second
)

// shape is what one fault does to the packets that arrive from some addresses.
type shape struct {
	// text is the fault, as the folder has it.
	text          string
	from          map[netip.Addr]bool
	delay, jitter time.Duration
	rate          int64 // bits in a second; 0 is any
	lot           *rand.Rand
	free          time.Time // when the packet that came last will be through
}

// parse reads a fault: its kind as relay:DELAY:JITTER:RATE:SEED, in milliseconds and
// bits in a second, and an address a line.
func parse(kind, addresses string) (*shape, error) {
	words := strings.Split(kind, ":")
	if len(words) != 5 || words[0] != "relay" {
		return nil, fmt.Errorf("%q is not what a relay does", kind)
	}
	var numbers [4]int64
	for i := range numbers {
		n, err := strconv.ParseInt(words[1+i], 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not what a relay does", kind)
		}
		numbers[i] = n
	}
	s := &shape{
		text: kind + "\n" + addresses, from: map[netip.Addr]bool{}, rate: numbers[2],
		delay: time.Duration(numbers[0]) * time.Millisecond, jitter: time.Duration(numbers[1]) * time.Millisecond,
		lot: rand.New(rand.NewPCG(uint64(numbers[3]), 0)), //nolint:gosec // a lot that can be drawn again
	}
	for word := range strings.FieldsSeq(addresses) {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return nil, err
		}
		s.from[a] = true
	}
	return s, nil
}

// through tells when a packet that gets here is on the other side; false where it is
// lost.
func (s *shape) through(here time.Time, size int) (time.Time, bool) {
	if s.rate > 0 {
		begins := here
		if s.free.After(begins) {
			begins = s.free
		}
		if begins.Sub(here) > turn {
			return here, false
		}
		here = begins.Add(time.Duration(float64(size) * 8 / float64(s.rate) * float64(time.Second)))
		s.free = here
	}
	late := s.delay
	if s.jitter > 0 {
		late += time.Duration(s.lot.Int64N(2*int64(s.jitter)+1)) - s.jitter
	}
	return here.Add(late), true
}

// shapes are those of a folder, in the order of their ids.
type shapes struct {
	dir  string
	seen time.Time // the folder's time when it was read
	all  []*shape
}

// look reads the folder where it has changed, or in any case. A fault that it has
// already goes on as it is.
func (l *shapes) look(inAnyCase bool) {
	info, err := os.Stat(l.dir)
	if err != nil {
		l.all = nil // the folder is gone, and so are the faults
		return
	}
	if !inAnyCase && info.ModTime().Equal(l.seen) {
		return
	}
	l.seen = info.ModTime()
	files, _ := filepath.Glob(filepath.Join(l.dir, "*.fault"))
	slices.SortFunc(files, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	var all []*shape
	for _, file := range files {
		record, err := os.ReadFile(file)
		words := strings.Fields(string(record))
		if err != nil || len(words) != 2 || !strings.HasPrefix(words[1], "relay:") {
			continue
		}
		addresses, err := os.ReadFile(strings.TrimSuffix(file, ".fault") + ".rules")
		if err != nil {
			continue // it is being healed
		}
		if at := slices.IndexFunc(l.all, func(s *shape) bool { return s.text == words[1]+"\n"+string(addresses) }); at >= 0 {
			all = append(all, l.all[at])
			continue
		}
		if s, err := parse(words[1], string(addresses)); err == nil {
			all = append(all, s)
		}
	}
	l.all = all
}

// through tells when a packet is through all of them, one after the other.
func (l *shapes) through(from netip.Addr, here time.Time, size int) (time.Time, bool) {
	for _, s := range l.all {
		if !s.from[from] {
			continue
		}
		var kept bool
		if here, kept = s.through(here, size); !kept {
			return here, false
		}
	}
	return here, true
}

// packet is one that waits.
type packet struct {
	id   uint32
	size int
	at   time.Time // when it is let go
	nth  uint64    // of all that came: those of one time keep their order
}

// waiting is a heap of packets.
type waiting []packet

func (w waiting) Len() int { return len(w) }
func (w waiting) Less(i, j int) bool {
	if !w[i].at.Equal(w[j].at) {
		return w[i].at.Before(w[j].at)
	}
	return w[i].nth < w[j].nth
}
func (w waiting) Swap(i, j int) { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(x any)   { *w = append(*w, x.(packet)) } //nolint:forcetypeassert // a heap of packets

func (w *waiting) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}

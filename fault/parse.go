package fault

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Request is a fault as it is asked for: nodes are names, or words such as leader.
type Request struct {
	Kind Kind
	// Targets are the sides of a partition, or the node of a bridge and then sides;
	// else one list of nodes.
	Targets [][]string
	To      []string
	OneWay  Direction
	Ports   []uint16
	Percent float64
	// Delay of packets, and by how much at most each may differ from it.
	Delay, Jitter time.Duration
	// Rate is in bits a second.
	Rate   int64
	Offset time.Duration
	// For is how long it lasts; 0 means that it does not end by itself.
	For time.Duration
	// Seed of what is drawn by lot; 0 draws a seed.
	Seed uint64
	// Asked is what was typed.
	Asked string
}

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{Partition, Isolate, Bridge, Block, Loss, Delay, Rate, Kill, Freeze, StopEngine, Disk, Clock}
}

// Between tells whether it is between nodes and others, and so may be of one direction
// only (OneWay), or towards some (To).
func (k Kind) Between() bool {
	return slices.Contains([]Kind{Isolate, Block, Loss, Delay, Rate}, k)
}

// Words that stand for nodes.
const (
	wordLeader   = "leader"
	wordFollower = "follower"
	wordManagers = "managers"
	wordWorkers  = "workers"
	wordMinority = "minority"
	wordMajority = "majority"
	wordRandom   = "random"
)

// NodeWords are the words that stand for nodes, where no node has that name.
func NodeWords() []string {
	return []string{wordLeader, wordFollower, wordManagers, wordWorkers, wordMinority, wordMajority, wordRandom}
}

// SyntaxError is a request that cannot be understood.
type SyntaxError struct{ Why string }

func (e *SyntaxError) Error() string { return e.Why }

// maxOffset of a clock.
const maxOffset = 366 * 24 * time.Hour

// maxDelay of packets: what is later than that is as good as lost.
const maxDelay = time.Minute

// The rates that there are: the lowest takes 1.5 s for one packet of 1500 bytes.
const minRate, maxRate = 8_000, 1_000_000_000

// Parse reads a fault as it is typed: its kind, and what that takes.
func Parse(args []string) (Request, error) {
	wrong := func(format string, a ...any) error { return &SyntaxError{fmt.Sprintf(format, a...)} }
	if len(args) == 0 || !slices.Contains(Kinds(), Kind(args[0])) {
		return Request{}, wrong("%q is no kind of fault", strings.Join(args[:min(1, len(args))], ""))
	}
	r := Request{Kind: Kind(args[0]), For: DefaultFor, Asked: strings.Join(args, " ")}
	rest := args[1:]
	switch r.Kind {
	case Loss:
		if len(rest) == 0 {
			return Request{}, wrong("loss of how many packets?")
		}
		percent, err := strconv.ParseFloat(strings.TrimSuffix(rest[0], "%"), 64)
		if err != nil || !strings.HasSuffix(rest[0], "%") {
			return Request{}, wrong("%q is no share of packets: write 20%%", rest[0])
		}
		if !(percent > 0 && percent <= 100) {
			return Request{}, wrong("%s of the packets cannot be lost: more than 0%%, and at most 100%%", rest[0])
		}
		r.Percent, rest = percent, rest[1:]
	case Delay:
		if len(rest) == 0 {
			return Request{}, wrong("delay by how much?")
		}
		var ok bool
		if r.Delay, r.Jitter, ok = parseDelay(rest[0]); !ok {
			return Request{}, wrong("%q is no delay: write 200ms, or 200ms±50ms; 1ms to 1m, and no more jitter than delay", rest[0])
		}
		rest = rest[1:]
	case Rate:
		if len(rest) == 0 {
			return Request{}, wrong("rate of how much?")
		}
		var ok bool
		if r.Rate, ok = parseRate(rest[0]); !ok {
			return Request{}, wrong("%q is no rate: write 1mbit or 500kbit; 8kbit to 1gbit a second", rest[0])
		}
		rest = rest[1:]
	case Block:
		if len(rest) != 2 {
			return Request{}, wrong("block takes one node, or several joined by commas, and ports joined by commas, or any")
		}
		if rest[1] != "any" {
			for word := range strings.SplitSeq(rest[1], ",") {
				port, err := strconv.ParseUint(word, 10, 16)
				if err != nil || port == 0 {
					return Request{}, wrong("%q is no port: 1 to 65535, joined by commas, or any", word)
				}
				r.Ports = append(r.Ports, uint16(port))
			}
			slices.Sort(r.Ports)
			r.Ports = slices.Compact(r.Ports)
		}
		rest = rest[:1]
	case Bridge:
		if len(rest) == 2 {
			return Request{}, wrong("a bridge has two sides, or none is named")
		}
		if len(rest) > 3 {
			return Request{}, wrong("a bridge has two sides, and not %d", len(rest)-1)
		}
	case Disk:
		if len(rest) != 2 {
			return Request{}, wrong("disk takes one node, or several joined by commas, and how full it is to be: 95%%")
		}
		percent, err := strconv.ParseFloat(strings.TrimSuffix(rest[1], "%"), 64)
		if err != nil || !strings.HasSuffix(rest[1], "%") || !(percent > 0 && percent <= 100) {
			return Request{}, wrong("%q is no share of a disk: more than 0%%, and at most 100%%", rest[1])
		}
		r.Percent, rest = percent, rest[:1]
	case Clock:
		if len(rest) != 2 {
			return Request{}, wrong("clock takes one node, or several joined by commas, and by how much it is to be wrong: +2h, -30m")
		}
		offset, err := time.ParseDuration(rest[1])
		if err != nil || offset.Abs() < time.Second || offset.Abs() > maxOffset {
			return Request{}, wrong("%q is no time by which a clock can be wrong: +2h, -30m, a year at most", rest[1])
		}
		r.Offset, rest = offset.Truncate(time.Second), rest[:1]
	case Partition, Isolate, Kill, Freeze, StopEngine:
	}
	if len(rest) == 0 {
		return Request{}, wrong("%s of what?", r.Kind)
	}
	for _, arg := range rest {
		side := strings.Split(arg, ",")
		if slices.Contains(side, "") {
			return Request{}, wrong("%q names a node that has no name", arg)
		}
		r.Targets = append(r.Targets, side)
	}
	if r.Kind != Partition && r.Kind != Bridge {
		r.Targets = [][]string{slices.Concat(r.Targets...)}
	}
	return r, nil
}

// parseDelay reads 200ms, 200ms±50ms or 200ms+-50ms.
func parseDelay(word string) (delay, jitter time.Duration, ok bool) {
	word, with, jitters := strings.Cut(strings.ReplaceAll(word, "+-", "±"), "±")
	delay, err := time.ParseDuration(word)
	if err != nil || delay < time.Millisecond || delay > maxDelay {
		return 0, 0, false
	}
	if jitters {
		jitter, err = time.ParseDuration(with)
		if err != nil || jitter < time.Millisecond || jitter > delay {
			return 0, 0, false
		}
	}
	return delay.Truncate(time.Millisecond), jitter.Truncate(time.Millisecond), true
}

// parseRate reads 1mbit, 1.5mbit or 500kbit, in bits a second.
func parseRate(word string) (int64, bool) {
	word = strings.ToLower(word)
	for _, u := range rateUnits() {
		if number, has := strings.CutSuffix(word, u.name); has {
			n, err := strconv.ParseFloat(number, 64)
			bits := n * float64(u.bits)
			if err != nil || !(bits >= minRate && bits <= maxRate) {
				return 0, false
			}
			return int64(bits), true
		}
	}
	return 0, false
}

// Check refuses what no fault can have.
func (r Request) Check() error {
	switch {
	case r.OneWay != Both && r.OneWay != In && r.OneWay != Out:
		return &SyntaxError{fmt.Sprintf("--one-way is in or out, and not %q", r.OneWay)}
	case !r.Kind.Between() && (r.OneWay != Both || len(r.To) > 0):
		return &SyntaxError{fmt.Sprintf("%s has neither --one-way nor --to", r.Kind)}
	case r.For < 0 || r.For > 0 && r.For < time.Second:
		return &SyntaxError{"a fault lasts a second at least, and with --for 0 until it is healed"}
	}
	return nil
}

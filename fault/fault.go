// Package fault is what can be broken in a lab: which faults there are and how they
// are asked for (Parse), which nodes one means (Resolve), what it does to each node
// (Work), what it costs the swarm (Quorum), and which ones there are now (Journal).
// It breaks nothing by itself: package lifecycle does, over connections that it has.
//
// A fault is in the journal before it is on a node, and on a node it has its end
// with it: a process there heals it when its time is over, whatever has become of
// the dcalab that made it.
package fault

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/lab"
)

// Kind is what sort of fault it is, as it is asked for.
type Kind string

// The kinds.
const (
	Partition  Kind = "partition"   // sides that do not hear each other
	Isolate    Kind = "isolate"     // nodes that hear nobody, or that nobody hears
	Bridge     Kind = "bridge"      // two sides, and one node that hears both
	Block      Kind = "block"       // ports of nodes
	Loss       Kind = "loss"        // packets of nodes are lost
	Delay      Kind = "delay"       // packets of nodes arrive late
	Rate       Kind = "rate"        // packets of nodes arrive at a rate
	Kill       Kind = "kill"        // power cut
	Freeze     Kind = "freeze"      // the engine stops where it is; containers run
	StopEngine Kind = "stop-engine" // the engine is stopped gracefully, and does not come back
	Disk       Kind = "disk"        // the file system of the engine's data is filled
	Clock      Kind = "clock"       // the clock is set
)

// Direction is the one in which a node is cut off.
type Direction string

// The directions.
const (
	Both Direction = ""
	In   Direction = "in"  // it hears nobody
	Out  Direction = "out" // nobody hears it
)

// DefaultFor is how long a fault lasts unless something else is asked for.
const DefaultFor = 5 * time.Minute

// Fault is one that was asked for, with the nodes that it means. It is plain data,
// and what `dcalab break list -o json` prints.
type Fault struct {
	// ID is "f1", "f2" and so on, in the lab's order.
	ID   string `json:"id" yaml:"id"`
	Kind Kind   `json:"kind" yaml:"kind"`
	// Asked is what was typed.
	Asked string `json:"asked" yaml:"asked"`
	// Nodes that it is about, in the lab's order; for a bridge the one that hears
	// both sides. A partition has none.
	Nodes []string `json:"nodes" yaml:"nodes"`
	// Sides of a partition or a bridge.
	Sides [][]string `json:"sides" yaml:"sides"`
	// To are the only nodes towards which packets are lost; none means all.
	To     []string  `json:"to" yaml:"to"`
	OneWay Direction `json:"one_way" yaml:"one_way"`
	// Ports are blocked, of TCP and UDP; none means all.
	Ports []uint16 `json:"ports" yaml:"ports"`
	// Percent of packets that are lost, or of a disk that is used.
	Percent float64 `json:"percent" yaml:"percent"`
	// DelayMS is by how many milliseconds packets are late, and JitterMS by how many at
	// most each is earlier or later than that.
	DelayMS  int `json:"delay_ms" yaml:"delay_ms"`
	JitterMS int `json:"jitter_ms" yaml:"jitter_ms"`
	// Rate is how many bits of packets arrive in a second.
	Rate int64 `json:"rate" yaml:"rate"`
	// Offset is by how many seconds a clock is wrong.
	Offset int `json:"offset" yaml:"offset"`
	// Seed of what was drawn by lot, or is; 0 where nothing is.
	Seed  uint64    `json:"seed" yaml:"seed"`
	Begun time.Time `json:"begun" yaml:"begun"`
	// Applied is when the first of its nodes had it; null where none has.
	Applied *time.Time `json:"applied" yaml:"applied"`
	// Ends is when it heals by itself; nil for one that does not.
	Ends *time.Time `json:"ends" yaml:"ends"`
	// On are the nodes that something was done to, and that have not been powered off
	// since.
	On []string `json:"on" yaml:"on"`
	// Active: it was seen on all its nodes. Until then it is being applied, or that
	// was interrupted.
	Active bool `json:"active" yaml:"active"`
}

// Words say what it is: "partition m1 | m2, m3".
func (f Fault) Words() string {
	what := string(f.Kind)
	switch f.Kind {
	case Loss:
		what += " " + strconv.FormatFloat(f.Percent, 'g', -1, 64) + "%"
	case Delay:
		what += " " + f.late()
	case Rate:
		what += " " + f.bits()
	case Block:
		what += " " + ports(f.Ports)
		if len(f.Ports) > 0 {
			what = strings.Replace(what, string(Block), "block port", 1)
		}
		what += " of"
	}
	if len(f.Nodes) > 0 {
		what += " " + strings.Join(f.Nodes, ", ")
	}
	switch f.Kind {
	case Disk:
		what += fmt.Sprintf(" %g%% full", f.Percent)
	case Clock:
		what += " " + f.offset()
	case Partition, Isolate, Bridge, Block, Loss, Delay, Rate, Kill, Freeze, StopEngine:
	}
	if len(f.Sides) > 0 {
		var sides []string
		for _, side := range f.Sides {
			sides = append(sides, strings.Join(side, ", "))
		}
		if f.Kind == Bridge {
			what += " between"
		}
		what += " " + strings.Join(sides, " | ")
	}
	if len(f.To) > 0 {
		what += " to " + strings.Join(f.To, ", ")
	}
	hears, heard := "hears nobody", "nobody hears it"
	if f.Slows() {
		hears, heard = "what it hears", "what is heard of it"
	}
	switch f.OneWay {
	case In:
		what += " (" + hears + ")"
	case Out:
		what += " (" + heard + ")"
	case Both:
	}
	return what
}

// offset reads "+2h0m0s".
func (f Fault) offset() string {
	text := (time.Duration(f.Offset) * time.Second).String()
	if f.Offset > 0 {
		text = "+" + text
	}
	return text
}

// late reads "200ms±50ms".
func (f Fault) late() string {
	text := milliseconds(f.DelayMS).String()
	if f.JitterMS > 0 {
		text += "±" + milliseconds(f.JitterMS).String()
	}
	return text
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// bits reads "1500kbit", as tc does: so much in a second.
func (f Fault) bits() string {
	for _, u := range rateUnits() {
		if f.Rate%u.bits == 0 {
			return strconv.FormatInt(f.Rate/u.bits, 10) + u.name
		}
	}
	return strconv.FormatInt(f.Rate, 10) + "bit"
}

// rateUnit is one in which a rate is written.
type rateUnit struct {
	name string
	bits int64
}

// rateUnits are tc's, the largest first.
func rateUnits() []rateUnit {
	return []rateUnit{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}}
}

// Slows tells whether packets are not dropped, but kept for a while.
func (f Fault) Slows() bool { return f.Kind == Delay || f.Kind == Rate }

// OwnKernel tells whether it takes a node with a kernel of its own.
func (f Fault) OwnKernel() bool { return f.Kind == Clock }

func ports(list []uint16) string {
	if len(list) == 0 {
		return "any port"
	}
	var out []string
	for _, p := range list {
		out = append(out, strconv.Itoa(int(p)))
	}
	return strings.Join(out, ", ")
}

// Same tells whether two faults do the same to the same nodes.
func (f Fault) Same(g Fault) bool { return f.Words() == g.Words() }

// Over tells whether its time is over, at which it heals by itself. A power cut is not
// over before its machine was started.
func (f Fault) Over(now time.Time) bool { return !f.Power() && f.Due(now) }

// Due tells whether its time has come.
func (f Fault) Due(now time.Time) bool { return f.Ends != nil && !now.Before(*f.Ends) }

// Network tells whether it is made of what happens to packets.
func (f Fault) Network() bool {
	switch f.Kind {
	case Partition, Isolate, Bridge, Block, Loss, Delay, Rate:
		return true
	case Kill, Freeze, StopEngine, Disk, Clock:
	}
	return false
}

// Power tells whether it is done to the machine, from outside.
func (f Fault) Power() bool { return f.Kind == Kill }

// Affected are the nodes that something is to be done to, in the lab's order.
func (f Fault) Affected(l *lab.Lab) []string {
	if !f.Network() {
		return f.Nodes
	}
	rules := f.Rules(l)
	var out []string
	for _, n := range l.Nodes {
		if len(rules[n.Name]) > 0 {
			out = append(out, n.Name)
		}
	}
	return out
}

// Rule is what a node does with packets that come from another.
type Rule struct {
	// From is the other node, and Address its own in the lab's network.
	From    string
	Address netip.Addr
	// Port is the one that packets are for, of TCP and UDP; 0 means all packets.
	Port uint16
	// Percent of them that are dropped; 0 where they are slowed down.
	Percent float64
}

// cuts tells whether a rule lets nothing of raft through.
func (r Rule) cuts() bool { return r.Percent >= 100 && (r.Port == 0 || r.Port == raftPort) }

// Cuts are the ways, from one node to another, on which it lets nothing of raft through.
func (f Fault) Cuts(l *lab.Lab) [][2]string {
	if !f.Network() {
		return nil
	}
	var out [][2]string
	rules := f.Rules(l)
	for _, n := range l.Nodes {
		for _, r := range rules[n.Name] {
			if way := [2]string{r.From, n.Name}; r.cuts() && (len(out) == 0 || out[len(out)-1] != way) {
				out = append(out, way)
			}
		}
	}
	return out
}

// raftPort is where managers listen (TCP).
const raftPort = 2377

// Rules are those of a fault of the network, by the node that they are on. Packets
// are dropped where they arrive: a sender is told of what is dropped on its own side.
func (f Fault) Rules(l *lab.Lab) map[string][]Rule {
	out := map[string][]Rule{}
	add := func(at, from string) {
		n, ok := l.Node(from)
		if !ok || at == from {
			return
		}
		for _, port := range f.portsOr0() {
			r := Rule{From: n.Name, Address: n.IP, Port: port, Percent: 100}
			switch {
			case f.Kind == Loss:
				r.Percent = f.Percent
			case f.Slows():
				r.Percent = 0
			}
			if !slices.Contains(out[at], r) {
				out[at] = append(out[at], r)
			}
		}
	}
	switch f.Kind {
	case Partition, Bridge:
		for i, side := range f.Sides {
			for j, other := range f.Sides {
				for _, at := range side {
					for _, from := range other {
						if i != j {
							add(at, from)
						}
					}
				}
			}
		}
	case Isolate, Block, Loss, Delay, Rate:
		others := f.To
		if len(others) == 0 {
			others = l.NodeNames()
		}
		for _, n := range f.Nodes {
			for _, o := range others {
				if f.OneWay != Out {
					add(n, o)
				}
				if f.OneWay != In {
					add(o, n)
				}
			}
		}
	case Kill, Freeze, StopEngine, Disk, Clock:
	}
	return out
}

func (f Fault) portsOr0() []uint16 {
	if f.Kind != Block || len(f.Ports) == 0 {
		return []uint16{0}
	}
	return f.Ports
}

// matches are the arguments of iptables that take the packets of a rule, one string
// for each line that it needs.
func (r Rule) matches() []string {
	from := "-s " + r.Address.String() + "/32"
	var lines []string
	switch r.Port {
	case 0:
		lines = []string{from}
	default:
		for _, protocol := range protocols(r.Port) {
			lines = append(lines, fmt.Sprintf("%s -p %s -m %s --dport %d", from, protocol, protocol, r.Port))
		}
	}
	for i := range lines {
		if r.Percent < 100 {
			lines[i] += " -m statistic --mode random --probability " + strconv.FormatFloat(r.Percent/100, 'f', -1, 64)
		}
		lines[i] += " -j DROP"
	}
	return lines
}

// protocols are those in which a swarm uses a port.
func protocols(port uint16) []string {
	switch port {
	case raftPort:
		return []string{"tcp"}
	case 4789:
		return []string{"udp"}
	}
	return []string{"tcp", "udp"}
}

// Effects say what is done to a node, a line each.
func (f Fault) Effects(l *lab.Lab, at string) []string {
	switch f.Kind {
	case Kill:
		return []string{"cut its power"}
	case Freeze:
		return []string{"freeze its engine, whose containers run on"}
	case StopEngine:
		return []string{"stop its engine, with its containers"}
	case Disk:
		return []string{fmt.Sprintf("fill the file system of /var/lib/docker until %g%% of it are used", f.Percent)}
	case Clock:
		return []string{"set its clock by " + f.offset()}
	case Partition, Isolate, Bridge, Block, Loss, Delay, Rate:
	}
	type what struct {
		port    uint16
		percent float64
	}
	var order []what
	from := map[what][]string{}
	for _, r := range f.Rules(l)[at] {
		w := what{r.Port, r.Percent}
		if len(from[w]) == 0 {
			order = append(order, w)
		}
		from[w] = append(from[w], r.From)
	}
	var out []string
	for _, w := range order {
		var text string
		switch {
		case f.Kind == Delay:
			text = "delay by " + f.late() + " "
		case f.Kind == Rate:
			text = "let through " + f.bits() + " a second of "
		case w.percent < 100:
			text = "drop " + strconv.FormatFloat(w.percent, 'g', -1, 64) + "% of "
		default:
			text = "drop "
		}
		text += "what arrives"
		if w.port != 0 {
			text += " for port " + strconv.Itoa(int(w.port))
		}
		out = append(out, text+" from "+strings.Join(from[w], ", "))
	}
	return out
}

package fault

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

//go:embed node.sh
var nodeText string

// script works on a node's faults. Stopping an engine takes as long as its
// containers may, 10 s each, at once.
func script() node.Script {
	return node.Script{Name: "node.sh", Text: nodeText, Within: 2 * time.Minute}
}

// lines are those of iptables-restore for one node, in a chain of the fault's own.
// Where packets are slowed down, the node makes them, of addresses.
func (f Fault) lines(l *lab.Lab, at string) []string {
	var out []string
	for _, r := range f.Rules(l)[at] {
		if f.Slows() {
			out = append(out, r.Address.String())
			continue
		}
		for _, match := range r.matches() {
			out = append(out, "-A "+f.chain()+" "+match)
		}
	}
	return out
}

// chain is the fault's own, in the table raw.
func (f Fault) chain() string { return "DCALAB-" + f.ID }

// lot is the seed for what is drawn on one node: others draw something else.
func (f Fault) lot(at string) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s", f.Seed, at)
	return h.Sum64() >> 1
}

// Means are what slows packets down on a node.
type Means string

// The means.
const (
	Netem Means = "netem"
	Relay Means = "relay"
)

// Words say by what means; empty where there is only one.
func (m Means) Words() string {
	switch m {
	case Netem:
		return ", by netem"
	case Relay:
		return ", by a relay in user space: its kernel has no netem"
	}
	return ""
}

// Apply breaks one node, and returns once it was seen broken there. With an error
// nothing is left. It is the same fault, with another end, where it is there already.
func (f Fault) Apply(ctx context.Context, l *lab.Lab, c *node.Conn, now time.Time) (Means, error) {
	kind, rules := string(f.Kind), []byte(nil)
	if f.Network() {
		kind, rules = "net", []byte(strings.Join(f.lines(l, c.Name()), "\n")+"\n")
	}
	switch f.Kind {
	case Delay, Rate:
		kind = fmt.Sprintf("slow:%d:%d:%d:%d", f.DelayMS, f.JitterMS, f.Rate, f.lot(c.Name()))
	case Disk:
		kind += ":" + strconv.FormatFloat(f.Percent, 'f', -1, 64)
	case Clock:
		kind += ":" + strconv.Itoa(f.Offset)
	case Partition, Isolate, Bridge, Block, Loss, Kill, Freeze, StopEngine:
	}
	seconds := 0
	if f.Ends != nil {
		seconds = max(1, int(f.Ends.Sub(now).Seconds()+0.5))
	}
	means, err := c.Root(ctx, script(), rules, "apply", f.ID, strconv.Itoa(seconds), kind, nodeText)
	var failed *node.RunError
	if errors.As(err, &failed) {
		failed.Command = "node.sh apply " + f.ID
		return "", &trouble.Error{
			ID: "fault-not-applied", Where: c.Name(), What: "apply " + f.Words(), Why: strings.TrimSpace(failed.Stderr), Err: err,
			Next: []string{"what is broken now: dcalab break list"},
		}
	}
	return Means(strings.TrimSpace(means)), err
}

// Heal heals faults on one node: all that there are, where none is named. One that
// is not there is healed.
func Heal(ctx context.Context, c *node.Conn, ids ...string) error {
	_, err := c.Root(ctx, script(), nil, append([]string{"heal"}, ids...)...)
	return err
}

// OwnDisk tells whether /var/lib/docker is a whole file system, so that nobody else's is
// filled with it. On a machine of its own it need not be.
func OwnDisk(ctx context.Context, c *node.Conn) (bool, error) {
	out, err := c.Root(ctx, script(), nil, "own-disk")
	return strings.TrimSpace(out) == "own", err
}

// Found is a fault that was found on a node.
type Found struct {
	ID string
	// Left is how long it stays; negative for one that does not end by itself.
	Left time.Duration
	// Applied: what it does to the node is still there.
	Applied bool
}

// Find tells which faults are on a node.
func Find(ctx context.Context, c *node.Conn) ([]Found, error) {
	text, err := c.Root(ctx, script(), nil, "list")
	if err != nil {
		return nil, err
	}
	return parseFound(text)
}

func parseFound(text string) ([]Found, error) {
	var out []Found
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 4 {
			return nil, fmt.Errorf("a node told of a fault in words that are not understood: %q", line)
		}
		f := Found{ID: words[0], Left: -1, Applied: words[3] == "applied"}
		if words[2] != "-" {
			seconds, err := strconv.ParseInt(words[2], 10, 32)
			if err != nil {
				return nil, fmt.Errorf("a node told of a fault in words that are not understood: %q", line)
			}
			f.Left = max(0, time.Duration(seconds)*time.Second)
		}
		out = append(out, f)
	}
	return out, nil
}

// FindOn finds what there is on nodes, by their names, over a pool's connections. failed
// says of each node that could not be asked why.
func FindOn(ctx context.Context, each Each, nodes []lab.Node) (found map[string][]Found, failed map[string]error) {
	var mu sync.Mutex
	found = map[string][]Found{}
	failed = each(ctx, nodes, func(ctx context.Context, n lab.Node, c *node.Conn) error {
		there, err := Find(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		found[n.Name] = there
		return err
	})
	return found, failed
}

// Each does something over a connection to each of some nodes, all at once, as a pool of
// a session does, and gives what went wrong by their names.
type Each func(ctx context.Context, nodes []lab.Node, do func(context.Context, lab.Node, *node.Conn) error) map[string]error

// device is the fault's own, for netem.
func (f Fault) device() string { return "dcalab-" + f.ID }

// filterPref is the place of the filter that leads to it.
const filterPref = "20377"

// netem are the arguments for it.
func (f Fault) netem() []string {
	if f.Kind == Rate {
		return []string{"rate", f.bits()}
	}
	out := []string{"delay", strconv.Itoa(f.DelayMS) + "ms"}
	if f.JitterMS > 0 {
		out = append(out, strconv.Itoa(f.JitterMS)+"ms")
	}
	return out
}

// Typed is what a person types on the nodes for the same, without an end. systemd
// tells whether their services are its.
func (f Fault) Typed(l *lab.Lab, systemd bool) runbook.Runbook {
	var out runbook.Runbook
	for _, at := range f.Affected(l) {
		add := func(why string, words ...string) {
			out = append(out, runbook.Command{Node: at, Text: runbook.Line(slices.Concat([]string{"sudo"}, words)...), Why: why})
		}
		switch f.Kind {
		case Delay, Rate:
			add("a device of its own, so that it can be undone", "ip", "link", "add", f.device(), "type", "ifb")
			add("", "ip", "link", "set", f.device(), "up")
			add("", slices.Concat([]string{"tc", "qdisc", "add", "dev", f.device(), "root", "netem"}, f.netem())...)
			add("", "tc", "qdisc", "add", "dev", "<interface>", "ingress")
			for _, address := range f.lines(l, at) {
				add("what arrives from there takes the way through it", "tc", "filter", "add", "dev", "<interface>", "parent", "ffff:", "protocol", "ip", "pref", filterPref,
					"u32", "match", "ip", "src", address+"/32", "action", "mirred", "egress", "redirect", "dev", f.device())
			}
		case Partition, Isolate, Bridge, Block, Loss:
			add("a chain of its own, so that it can be undone", "iptables", "-t", "raw", "-N", f.chain())
			for _, line := range f.lines(l, at) {
				add("", append([]string{"iptables", "-t", "raw"}, strings.Fields(line)...)...)
			}
			add("before anything else is done with packets that arrive", "iptables", "-t", "raw", "-I", "PREROUTING", "-j", f.chain())
		case Freeze:
			add("it stops where it is; its containers run on", "pkill", "-STOP", "-x", "dockerd")
		case StopEngine:
			out = append(out, runbook.Command{Node: at, Text: node.TypedService(systemd, "stop")})
		case Disk:
			add("as large as the share of the disk is that is to be filled", "fallocate", "-l", "<size>", "/var/lib/docker/"+f.chain())
		case Clock:
			add("", "date", "--set", f.offset())
		case Kill:
		}
	}
	return out
}

// TypedHeal is what a person types on the nodes to undo it.
func (f Fault) TypedHeal(l *lab.Lab, systemd bool) runbook.Runbook {
	var out runbook.Runbook
	for _, at := range f.Affected(l) {
		add := func(words ...string) {
			out = append(out, runbook.Command{Node: at, Text: runbook.Line(slices.Concat([]string{"sudo"}, words)...)})
		}
		switch f.Kind {
		case Delay, Rate:
			add("tc", "filter", "del", "dev", "<interface>", "parent", "ffff:", "pref", filterPref)
			add("tc", "qdisc", "del", "dev", "<interface>", "ingress")
			add("ip", "link", "del", f.device())
		case Partition, Isolate, Bridge, Block, Loss:
			add("iptables", "-t", "raw", "-D", "PREROUTING", "-j", f.chain())
			add("iptables", "-t", "raw", "-F", f.chain())
			add("iptables", "-t", "raw", "-X", f.chain())
		case Freeze:
			add("pkill", "-CONT", "-x", "dockerd")
		case StopEngine:
			out = append(out, runbook.Command{Node: at, Text: node.TypedService(systemd, "start")})
		case Disk:
			add("rm", "/var/lib/docker/"+f.chain())
		case Clock:
			add("date", "--set", "<time>")
		case Kill:
		}
	}
	return out
}

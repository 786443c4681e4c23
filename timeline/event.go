// Package timeline is what happens in a lab, in one order, from every source: each
// manager's raft log and the changes that it applies, machines, engines, faults, and what
// dcalab itself does. Listen hears it all; a Recording keeps it in the lab's state folder as
// JSON lines, and is read while it is written or afterwards.
//
// An event has the time at which this machine learnt of it, so that all are of one
// clock; on a sandbox that is some hundredths of a second later than it happened.
package timeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm/raft"
)

// Source is where an event was learnt from.
type Source string

// The sources.
const (
	SourceRaft    Source = "raft"    // a manager's raft log
	SourceSwarm   Source = "swarm"   // what a manager applied
	SourceMachine Source = "machine" // the driver
	SourceEngine  Source = "engine"  // a node's engine
	SourceCommand Source = "command" // a command of dcalab's
	SourceFault   Source = "fault"   // the lab's list of faults
	SourceProbe   Source = "probe"   // what writes through a manager, to learn whether it can
)

// Kind is what sort of event it is.
type Kind string

// The kinds.
const (
	KindState       Kind = "state"       // raft: how a manager's log is, when it is first read; swarm: how an object is that there is already
	KindTerm        Kind = "term"        // raft: a manager's term or vote has changed
	KindLog         Kind = "log"         // raft: its log has grown, or more of it is committed
	KindLeader      Kind = "leader"      // raft: Node has won an election
	KindLeft        Kind = "left"        // raft: the node is no manager any more
	KindChange      Kind = "change"      // swarm: an object was created, updated, removed
	KindMachine     Kind = "machine"     // machine: its status
	KindEngine      Kind = "engine"      // engine: it answers, does not run, hangs
	KindLocked      Kind = "locked"      // engine: its manager waits for the unlock key
	KindUnlocked    Kind = "unlocked"    // engine: it does not any more
	KindSettings    Kind = "settings"    // swarm: Settings of the swarm as a whole have changed; before the first, all are off
	KindCertificate Kind = "certificate" // engine: until when the node's swarm certificate is good; zero: it has none any more
	KindStarted     Kind = "started"     // engine: a container that no service asked for has started
	KindEnded       Kind = "ended"       // engine: such a container has ended
	KindBroken      Kind = "broken"      // fault: it is there
	KindHealed      Kind = "healed"      // fault: it was undone, or its time is over
	KindWritable    Kind = "writable"    // probe: writes through Node are accepted, from now on
	KindContainers  Kind = "containers"  // probe: how many of its containers the engine runs, from now on
	KindUnwritable  Kind = "unwritable"  // probe: they are not, from now on; Text is why
	KindStep        Kind = "step"        // command: something is begun
	KindDone        Kind = "done"        // command: it is done
	KindFailed      Kind = "failed"      // command: it has failed; raft: the log cannot be read
	KindNote        Kind = "note"        // command: further information
	KindBegins      Kind = "begins"      // command: from here on the lab is listened to; all that there is follows
)

// Event is one thing that happened.
type Event struct {
	Time   time.Time `json:"time"`
	Source Source    `json:"source"`
	Kind   Kind      `json:"kind"`
	// Node is the lab's node that tells of it, or that it is about; empty for the lab
	// as a whole.
	Node string `json:"node"`
	// Text of dcalab's own steps, and of what went wrong.
	Text string `json:"text,omitempty"`
	// Raft is how the manager's log is then, of the source raft.
	Raft *Raft `json:"raft,omitempty"`
	// Change is of the source swarm. Each manager tells it when it applies it.
	Change *Change `json:"change,omitempty"`
	// Fault is its id, of the source fault.
	Fault string `json:"fault,omitempty"`
	// Until is when the fault heals by itself, or the certificate ends; Nodes are those that something is done to,
	// and Cuts the ways from one node to another on which it lets nothing through.
	Until time.Time   `json:"until,omitzero"`
	Nodes []string    `json:"nodes,omitempty"`
	Cuts  [][2]string `json:"cuts,omitempty"`
	// Since is when it began, where that is told later: when the first node had a fault,
	// when the first write was asked that was not accepted.
	Since time.Time `json:"since,omitzero"`
	// Machine is the status of the node's machine.
	Machine machine.Status `json:"machine,omitempty"`
	// Engine is how the node's engine is.
	Engine engine.Life `json:"engine,omitempty"`
	// Settings are those of the swarm, of the kind settings.
	Settings *Settings `json:"settings,omitempty"`
}

// Settings are what holds for a swarm as a whole.
type Settings struct {
	// Autolock: managers that are started again wait for the unlock key.
	Autolock bool `json:"autolock,omitempty"`
	// Rotating: the root CA is being replaced.
	Rotating bool `json:"rotating,omitempty"`
}

// Raft is what a manager's log tells; Vote is the name of the node that it voted for.
type Raft struct {
	Term      uint64 `json:"term"`
	Vote      string `json:"vote"`
	Commit    uint64 `json:"commit"`
	LastTerm  uint64 `json:"last_term"`
	LastIndex uint64 `json:"last_index"`
}

// Change is a change of the cluster's state.
type Change struct {
	Version uint64      `json:"version"`
	Action  raft.Action `json:"action"`
	raft.Object
	// On is the lab's node that a task is on, or that a node's object stands for.
	On string `json:"on,omitempty"`
}

// Words say what happened, without the time, the node and the source.
func (e Event) Words() string {
	switch {
	case e.Change != nil:
		return e.Change.words()
	case e.Kind == KindMachine && e.Text != "":
		return fmt.Sprintf("machine %s: %s", e.Machine, e.Text)
	case e.Kind == KindMachine:
		return "machine " + string(e.Machine)
	case e.Kind == KindEngine && e.Text != "":
		return fmt.Sprintf("engine %s: %s", e.Engine, e.Text)
	case e.Kind == KindEngine:
		return "engine " + string(e.Engine)
	case e.Kind == KindCertificate && e.Until.IsZero():
		return "no swarm certificate any more"
	case e.Kind == KindCertificate:
		return "swarm certificate until " + e.Until.UTC().Format("2006-01-02 15:04 UTC")
	case e.Kind == KindStarted:
		return "container " + e.Text + " started"
	case e.Kind == KindEnded:
		return "container " + e.Text
	case e.Kind == KindBroken:
		return e.Fault + " broken: " + e.Text
	case e.Kind == KindHealed:
		return e.Fault + " healed: " + e.Text
	case e.Kind == KindWritable:
		return "writes through it are accepted"
	case e.Kind == KindUnwritable:
		return "writes through it are not accepted: " + e.Text
	case e.Kind == KindLeft:
		return "not a manager any more"
	case e.Kind == KindLeader && e.Raft != nil:
		return fmt.Sprintf("leader, elected in term %d", e.Raft.Term)
	case e.Raft != nil:
		return e.Raft.words(e.Node)
	}
	return e.Text
}

func (r Raft) words(node string) string {
	vote := "no vote yet"
	switch r.Vote {
	case "":
	case node:
		vote = "votes for itself"
	default:
		vote = "votes for " + r.Vote
	}
	return fmt.Sprintf("term %d, %s; committed %d, last entry %d", r.Term, vote, r.Commit, r.LastIndex)
}

func (c Change) words() string {
	name := cmp.Or(c.Name, c.ID)
	if c.Kind == raft.KindNode {
		name = cmp.Or(c.On, name)
	}
	what := string(c.Kind) + " " + name
	var parts []string
	add := func(format, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	switch c.Kind {
	case raft.KindNode:
		add("%s", c.State)
		add("%s", c.Role)
		if c.Desired != c.Role {
			add("to be %s", c.Desired)
		}
		add("%s", c.Availability)
	case raft.KindTask:
		add("%s", c.State)
		add("on %s", cmp.Or(c.On, c.Node))
		if c.Desired == "shutdown" && c.State != "shutdown" || c.Desired == "remove" {
			add("to be %s", map[string]string{"shutdown": "shut down", "remove": "removed"}[c.Desired])
		}
	case raft.KindService:
		if c.Replicas != nil {
			add("%s", plural(*c.Replicas, "replica"))
		}
		var ports []string
		for _, p := range c.Ports {
			ports = append(ports, p.String())
		}
		add("publishes %s", strings.Join(ports, ", "))
		if c.State != "" {
			add("update %s", strings.ReplaceAll(c.State, "_", " "))
		}
	}
	if c.Kind == raft.KindTask || c.Kind == raft.KindNode {
		add("%s", c.Message)
	}
	switch c.Action {
	case raft.ActionCreate:
		what += " created"
	case raft.ActionRemove:
		return what + " removed"
	}
	if len(parts) == 0 {
		return what
	}
	return what + ": " + strings.Join(parts, ", ")
}

func plural(n uint64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// line is an event as a recording has it.
func (e Event) line() ([]byte, error) {
	text, err := json.Marshal(e)
	return append(text, '\n'), err
}

// Story leaves out what only repeats: that a log has grown, changes that another
// manager has told before, and those in which nothing has changed that Words say. It
// takes events in their order.
type Story struct {
	seen map[string]string // by object: its words
}

// New tells whether an event is worth a line.
func (s *Story) New(e Event) bool {
	isNew, _ := s.take(e)
	return isNew
}

// take tells whether an event is worth a line, and whether it tells of an object of the
// cluster something later than what was told of it before.
func (s *Story) take(e Event) (isNew, later bool) {
	switch {
	case e.Kind == KindLog:
		return false, false
	case e.Change == nil:
		return true, false
	}
	if s.seen == nil {
		s.seen = map[string]string{}
	}
	c := *e.Change
	c.Action = raft.ActionUpdate
	state := c.words()
	// Managers apply the same changes in the same order, one of them later than the
	// others: what it tells of an object is old then.
	key := string(c.Kind) + " " + c.ID
	at := fmt.Sprintf("%020d", c.Version)
	if e.Change.Action == raft.ActionRemove {
		at = strings.Repeat("~", len(at)) // after all versions
	}
	before, known := s.seen[key]
	if known && before[:len(at)] >= at {
		return false, false
	}
	s.seen[key] = at + state
	switch {
	case e.Kind == KindState:
		return false, true // it was so before
	case e.Change.Action != raft.ActionUpdate:
		return true, true
	case known:
		return before[len(at):] != state, true
	}
	return c.Kind != raft.KindNetwork, true // of which an update says nothing
}

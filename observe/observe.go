// Package observe tells what becomes of a swarm from a fault until it is whole again: the
// milestones on the way, each with its time and the rule behind it. An Observer takes the
// events of a timeline, live or recorded; Run follows a lab, and writes through each of
// its managers meanwhile, to learn when that is possible.
package observe

import (
	"slices"
	"time"
)

// ID is what sort of milestone it is.
type ID string

// The milestones.
const (
	Broken     ID = "broken"     // a fault is there
	Healed     ID = "healed"     // it is not there any more
	Off        ID = "off"        // a machine does not run any more
	On         ID = "on"         // it runs again
	Unwritable ID = "unwritable" // writes through a manager are not accepted any more
	Term       ID = "term"       // the first term that is newer
	Vote       ID = "vote"       // the first vote for another manager in it
	Leader     ID = "leader"     // who has won
	Write      ID = "write"      // the first write that is accepted after none was
	Writable   ID = "writable"   // writes through a manager are accepted again
	Down       ID = "down"       // a node is Down
	Lost       ID = "lost"       // tasks are given up
	Placed     ID = "placed"     // as many run anew
	Containers ID = "containers" // how many of the load's containers a node runs
	CaughtUp   ID = "caught-up"  // a manager has what the leader has
	Ready      ID = "ready"      // all nodes are Ready again
	Whole      ID = "whole"      // nothing is missing any more
)

// Rule is why it takes as long: what SwarmKit and its raft go by.
func (id ID) Rule() string {
	switch id {
	case Unwritable:
		return "A write needs a leader, and a majority of the managers that stores it. A leader that a majority does not answer steps down after an election timeout."
	case Term:
		return "A manager that has not heard of a leader for an election timeout (10 to 19 ticks of 1 s, drawn anew each time) begins a new term and asks for votes."
	case Vote:
		return "A manager votes once in a term: for the first that asks and whose log is not behind its own."
	case Leader:
		return "A candidate with the votes of a majority of all managers leads. Where votes are split, the next election timeout decides."
	case Write:
		return "A new leader first commits an entry of its own term. From then on it takes writes, and managers pass on to it what they are asked."
	case Writable:
		return "A manager that does not lead passes writes on to the leader, as soon as it has heard of it and is connected to it."
	case Down:
		return "Nodes report to the leader every 5 s. One that was not heard of for three such periods is Down."
	case Lost:
		return "Tasks of a node that is Down are given up. Where the node still runs, so do their containers, until it hears of that."
	case Placed:
		return "For each task that was given up the orchestrator makes another one, and the scheduler places it on a node that is Ready."
	case CaughtUp:
		return "The leader sends what a manager's log lacks. Managers connect again after some seconds; what TCP had under way, it sends again after up to twice as long as it was cut off."
	case Ready:
		return "A node is Ready once it has reported to the leader: nodes try again after 0.1 s, then twice as long each time, up to 8 s."
	case Broken, Healed, Off, On, Containers, Whole:
	}
	return ""
}

// rank orders what is of the same moment: what it comes of is before it.
func (id ID) rank() int {
	causes := []ID{Broken, Healed, Off, On, Term, Vote, Leader}
	if at := slices.Index(causes, id); at >= 0 {
		return at
	}
	return len(causes)
}

// Milestone is one thing on the way.
type Milestone struct {
	ID   ID        `json:"id" yaml:"id"`
	Time time.Time `json:"time" yaml:"time"`
	// MS is in milliseconds since the first fault, and SinceMS since the last thing that
	// was broken or healed.
	MS      int64 `json:"ms" yaml:"ms"`
	SinceMS int64 `json:"since_ms" yaml:"since_ms"`
	// Node that it is about; empty for the swarm as a whole.
	Node string `json:"node" yaml:"node"`
	Text string `json:"text" yaml:"text"`
}

// Span is a state that lasted for a time, in milliseconds since the first fault; From is
// negative before it.
type Span struct {
	From  int64  `json:"from_ms" yaml:"from_ms"`
	To    int64  `json:"to_ms" yaml:"to_ms"`
	State string `json:"state" yaml:"state"`
	// Text says more: the term, or why.
	Text string `json:"text" yaml:"text"`
}

// Track is how one thing of a node was.
type Track struct {
	Node  string `json:"node" yaml:"node"`
	Spans []Span `json:"spans" yaml:"spans"`
}

// Fault is one that there was; To is nil for one that was there at the end.
type Fault struct {
	ID    string `json:"id" yaml:"id"`
	Words string `json:"words" yaml:"words"`
	From  int64  `json:"from_ms" yaml:"from_ms"`
	To    *int64 `json:"to_ms" yaml:"to_ms"`
}

// Report is what became of a swarm, as `dcalab observe -o json` prints it. Its keys are a
// promise.
type Report struct {
	Lab string `json:"lab" yaml:"lab"`
	// Began is when the first thing was broken; without one, when it was first looked.
	Began time.Time `json:"began" yaml:"began"`
	// MS is how long it was looked, in milliseconds since then.
	MS         int64       `json:"ms" yaml:"ms"`
	Faults     []Fault     `json:"faults" yaml:"faults"`
	Milestones []Milestone `json:"milestones" yaml:"milestones"`
	// Elections are how many were begun, and Leaders how many were won.
	Elections int `json:"elections" yaml:"elections"`
	Leaders   int `json:"leaders" yaml:"leaders"`
	// Raft is each manager as leader, follower, candidate, behind or off; Writes whether
	// writes through it were accepted or not; Nodes whether a node was ready, down,
	// unknown or off.
	Raft   []Track `json:"raft" yaml:"raft"`
	Writes []Track `json:"writes" yaml:"writes"`
	Nodes  []Track `json:"nodes" yaml:"nodes"`
	// TasksLost were given up, of which TasksPlaced run anew.
	TasksLost   int `json:"tasks_lost" yaml:"tasks_lost"`
	TasksPlaced int `json:"tasks_placed" yaml:"tasks_placed"`
	// Missing is what is not as it was at the end; none where the swarm is whole.
	Missing []string `json:"missing" yaml:"missing"`
	// Rules say of each id of a milestone why it takes as long.
	Rules map[ID]string `json:"rules" yaml:"rules"`
}

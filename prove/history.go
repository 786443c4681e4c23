// Package prove finds out whether a swarm keeps what it has acknowledged, also while it
// is broken. Clients write and read objects in the swarm's store through all managers
// (Run); what each of them asked, and was answered, is a History; Judge says what the
// history proves, and WritePage draws it.
//
// An object is a config, and its value a label, which clients change by compare-and-set
// on the config's version. Every write writes a value that no other one does. So a value
// tells which write it came from, and the values that an object had one after the other
// are a chain: each write names the value that it replaced.
package prove

import (
	"time"
)

// Kind is what a client asked for.
type Kind string

// The kinds.
const (
	Read  Kind = "read"
	Write Kind = "write"
)

// Outcome is what became of an operation, as far as its client knows.
type Outcome string

// The outcomes. Whatever was not acknowledged may have happened, and is asked for in what
// others saw: also a write that was refused, because a manager repeats a call by itself
// when it loses the leader, and the second one is refused for what the first has done.
const (
	OK      Outcome = "ok"      // acknowledged
	Refused Outcome = "refused" // the object had another version
	Failed  Outcome = "failed"  // it was not sent, or the manager says that it did not do it
	Unknown Outcome = "unknown" // no answer: it may have happened, or may happen yet
)

// Initial is the value of every object before the first write.
const Initial = "0"

// Operation is one that a client did.
type Operation struct {
	Client  int
	Manager string
	Object  string
	Kind    Kind
	// From is the value that a write replaces. Value is the one that is written, or was
	// read.
	From, Value string
	Outcome     Outcome
	// Call and Return are since the history's beginning.
	Call, Return time.Duration
	// Error is why it is not OK.
	Error string
}

// acknowledged tells whether it is a write that was.
func (o Operation) acknowledged() bool { return o.Kind == Write && o.Outcome == OK }

// History is all that was done, and what was found at the end.
type History struct {
	Objects    []string
	Operations []Operation
	// Final is what each object was in the end, when nothing was broken any more and all
	// clients had stopped. One that could not be read is not in it.
	Final map[string]string
}

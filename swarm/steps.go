package swarm

import (
	"context"
)

// Kind names a kind of step, for machines.
type Kind string

// The kinds of steps.
const (
	KindAwaitQuorum Kind = "await-quorum"
	KindUnlock      Kind = "unlock"
	KindWait        Kind = "wait"
	KindRemoveEntry Kind = "drop-entry"
	KindLeave       Kind = "leave"
	KindInit        Kind = "init"
	KindJoin        Kind = "join"
	KindPromote     Kind = "promote"
	KindDemote      Kind = "demote"
	KindUpdate      Kind = "update"
	KindConfigure   Kind = "configure"
	KindRotateCA    Kind = "rotate-ca"
	KindDrain       Kind = "drain"
	KindAwait       Kind = "await"
)

// Step is one thing to be done to one node, or to the swarm. Each kind has its
// file, step_*.go: what it is called, how it is done, and how a person does it.
type Step interface {
	Kind() Kind
	// Node is the short name of the node concerned, or empty.
	Node() string
	// String describes the step to a person, in the imperative.
	String() string
	// Do does it and waits for its effect, as far as the step is to. One that
	// has been done already is done again without harm.
	Do(context.Context, *Run) error
	// Runbook writes what a person would type for the step.
	Runbook(*RunbookWriter)
}

// on is the node that a step concerns.
type on string

// Node gives the node's short name.
func (o on) Node() string { return string(o) }

package engine

import (
	"context"
	"errors"
	"strings"

	"github.com/dcalab/dcalab/trouble"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// What an engine can answer that a caller decides on, for errors.Is. The
// texts are those of moby's daemon/cluster and of swarmkit's controlapi, from
// 20.10 to 29: the status code alone does not tell them apart (503 for most
// states, 400 for gRPC's invalid argument and failed precondition, 500 for
// "update out of sequence" and "does not have a leader").
var (
	ErrAlreadyInSwarm = errors.New("already part of a swarm")
	ErrNotInSwarm     = errors.New("not part of a swarm")
	ErrNotManager     = errors.New("not a manager")
	// ErrPreparing: a manager that is not ready to answer for the swarm yet, or
	// has lost touch with it.
	ErrPreparing = errors.New("the manager is being prepared or has trouble connecting to the swarm")
	ErrLocked    = errors.New("the swarm is locked on this node")
	ErrNotLocked = errors.New("the swarm is not locked on this node")
	ErrWrongKey  = errors.New("wrong unlock key")
	// ErrJoinTimeout: the join has not failed, it continues in the background;
	// the node's state is pending.
	ErrJoinTimeout = errors.New("the join continues in the background")
	ErrBadToken    = errors.New("the join token is not valid for this swarm")
	// ErrNoLeader: a manager without a quorum, or one that waits for an election.
	ErrNoLeader = errors.New("the swarm has no leader")
	// ErrQuorumLoss: refused by the swarm, because it would lose its quorum.
	ErrQuorumLoss   = errors.New("the swarm would lose its quorum")
	ErrLastManager  = errors.New("the last manager cannot be demoted")
	ErrStillManager = errors.New("a manager must be demoted before it is removed")
	// ErrNotInRaft: promoted, but not yet a member of raft, so it cannot be
	// demoted.
	ErrNotInRaft     = errors.New("the node does not take part in raft")
	ErrNotDown       = errors.New("the node is not down")
	ErrAmbiguous     = errors.New("the name matches more than one node")
	ErrOutOfSequence = errors.New("changed by somebody else at the same time")
	ErrNotFound      = errors.New("not found")
	ErrCertExpired   = errors.New("the node's swarm certificate has expired")
	// ErrUnreachable: the engine could not be dialled, or did not answer in
	// time (then errors.Is(err, context.DeadlineExceeded) holds too), or did not
	// stop answering (trouble "node-too-much-output").
	ErrUnreachable = errors.New("the engine does not answer")
	// ErrHangs: a call had no answer in time, and the engine answers a ping: a
	// manager does that while its swarm has no leader.
	ErrHangs = errors.New("the engine waits for the swarm")
)

// texts maps what an engine writes to what it means; the first match counts.
func texts() []meaning {
	return []meaning{
		{"already part of a swarm", ErrAlreadyInSwarm},
		{"not part of a swarm", ErrNotInSwarm},
		{`Use "docker swarm init" or "docker swarm join" to connect this node`, ErrNotInSwarm},
		{"Manager is being prepared", ErrPreparing},
		{"Swarm is encrypted and needs to be unlocked", ErrLocked},
		{"Swarm is encrypted and locked", ErrLocked},
		{"swarm is not locked", ErrNotLocked},
		{"invalid key provided", ErrWrongKey},
		{"invalid unlock key", ErrWrongKey},
		{"certificates have expired", ErrCertExpired},
		{"not a swarm manager", ErrNotManager},
		{"Timeout was reached before node joined", ErrJoinTimeout},
		{"invalid join token", ErrBadToken},
		{"A valid join token is necessary", ErrBadToken},
		{"remote CA does not match fingerprint", ErrBadToken},
		{"does not have a leader", ErrNoLeader},
		{"loss of quorum", ErrQuorumLoss},
		// Only the prompt of "swarm leave" without force says these.
		{"lose the consensus of your cluster", ErrQuorumLoss},
		{"Without a Raft quorum", ErrQuorumLoss},
		{"last manager", ErrLastManager},
		{"must be demoted", ErrStillManager},
		{"is not down and can't be removed", ErrNotDown},
		{"is ambiguous", ErrAmbiguous},
		{"can't find manager in raft memberlist", ErrNotInRaft},
		{"update out of sequence", ErrOutOfSequence},
		// The engine's own 20 s are over: it waited for a leader.
		{"context deadline exceeded", ErrNoLeader},
	}
}

type meaning struct {
	text string
	kind error
}

// Error is a call that failed on a node. Kind, where it is not nil, is one of
// the sentinels above. Message never holds a token or a key, and what Docker's
// client returned cannot be reached through it.
type Error struct {
	Node    string
	Op      string
	Kind    error
	Message string

	cause error
	hangs bool
}

// Error reads "node01: join: message".
func (e *Error) Error() string { return e.Node + ": " + e.Op + ": " + e.Message }

// Unwrap gives Kind, and the error of the dial or of the context where that
// was the cause.
func (e *Error) Unwrap() []error {
	var out []error
	if e.Kind != nil {
		out = append(out, e.Kind)
	}
	if e.cause != nil {
		out = append(out, e.cause)
	}
	if e.hangs {
		out = append(out, ErrHangs)
	}
	return out
}

// classify turns an error of Docker's client into an *Error. dialErr is that
// of the dial, where that is what failed.
func classify(node, op string, err, dialErr error) error {
	e := &Error{Node: node, Op: op}
	switch {
	case errors.Is(err, context.Canceled):
		e.cause, e.Message = context.Canceled, "interrupted"
		return e
	case dialErr != nil:
		e.Kind, e.cause, e.Message = ErrUnreachable, dialErr, trouble.Redact(dialErr.Error())
		return e
	case errors.Is(err, context.DeadlineExceeded):
		e.Kind, e.cause, e.Message = ErrUnreachable, context.DeadlineExceeded, "no answer in time"
		return e
	case client.IsErrConnectionFailed(err):
		e.Kind, e.Message = ErrUnreachable, trouble.Redact(err.Error())
		return e
	}
	e.Message = plain(err.Error())
	for _, t := range texts() {
		if strings.Contains(e.Message, t.text) {
			e.Kind = t.kind
			return e
		}
	}
	if cerrdefs.IsNotFound(err) {
		e.Kind = ErrNotFound
	}
	return e
}

// plain strips what the client library and gRPC put in front of the engine's
// own words, and every secret.
func plain(s string) string {
	s = strings.TrimPrefix(s, "Error response from daemon: ")
	for {
		at := strings.Index(s, "rpc error: code = ")
		if at < 0 {
			break
		}
		desc := strings.Index(s[at:], " desc = ")
		if desc < 0 {
			break
		}
		s = s[:at] + s[at+desc+len(" desc = "):]
	}
	return trouble.Redact(strings.TrimSpace(s))
}

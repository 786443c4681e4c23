package trouble

import "errors"

// Kind is what errors.Is finds in the chain of an Error with this ID.
type Kind string //nolint:errname // not an error by itself, but what errors.Is compares with

// The kinds that callers decide on.
const (
	ErrConnectionLost  Kind = "connection-lost"
	ErrEngineDown      Kind = "engine-down"
	ErrLastManager     Kind = "last-manager"
	ErrNobodyAnswers   Kind = "nobody-answers"
	ErrNodeUnreachable Kind = "node-unreachable"
	ErrNodeTimeout     Kind = "node-timeout"
	ErrNoQuorum        Kind = "no-quorum"
	ErrNoSwarm         Kind = "no-swarm"
	ErrTwoSwarms       Kind = "two-swarms"
)

// Error is the ID.
func (k Kind) Error() string { return string(k) }

// Is tells errors.Is of which Kind the error is.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && string(k) == e.ID
}

// IsAny tells whether err is of one of these kinds.
func IsAny(err error, kinds ...Kind) bool {
	for _, k := range kinds {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

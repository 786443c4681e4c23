package swarm

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
)

// Kind names a kind of step, for machines.
type Kind string

// The kinds of steps.
const (
	KindAwaitQuorum Kind = "await-quorum"
	KindUnlock      Kind = "unlock"
	KindWait        Kind = "wait"
	KindDrop        Kind = "drop-entry"
	KindLeave       Kind = "leave"
	KindInit        Kind = "init"
	KindJoin        Kind = "join"
	KindPromote     Kind = "promote"
	KindDemote      Kind = "demote"
	KindUpdate      Kind = "update"
	KindConfigure   Kind = "configure"
	KindDrain       Kind = "drain"
	KindAwait       Kind = "await"
)

// Step is one thing to be done to one node, or to the swarm.
type Step interface {
	Kind() Kind
	// Node is the short name of the node concerned, or empty.
	Node() string
	// String describes the step to a person, in the imperative.
	String() string
	// plain adds what a person would type for the step to a lesson.
	plain(*teacher)
}

// on is the node that a step concerns.
type on string

// Node gives the node's short name.
func (o on) Node() string { return string(o) }

type awaitQuorumStep struct{ on }

func (awaitQuorumStep) Kind() Kind     { return KindAwaitQuorum }
func (awaitQuorumStep) String() string { return "wait until the managers have elected a leader" }

type unlockStep struct {
	on
	// keyless: the managers that are not locked are no quorum, or nobody, and
	// cannot give the key.
	keyless bool
}

func (unlockStep) Kind() Kind { return KindUnlock }
func (s unlockStep) String() string {
	if s.keyless {
		return "unlock with the key that you give"
	}
	return "unlock with the key that the other managers hold"
}

type waitStep struct {
	on
	hung bool
}

func (waitStep) Kind() Kind { return KindWait }
func (s waitStep) String() string {
	if s.hung {
		return "wait until it answers (an engine may be silent while its leader or its role changes)"
	}
	return "wait until it is in the swarm (it is joining, or coming back)"
}

// dropStep removes an entry that stands for no living node.
type dropStep struct {
	on
	ID      string
	Manager bool
}

func (dropStep) Kind() Kind { return KindDrop }
func (s dropStep) String() string {
	if s.Manager {
		return "demote and remove its old entry " + s.ID
	}
	return "remove its old entry " + s.ID
}

type leaveStep struct {
	on
	Cluster string
	Why     string
	// failed: by then its engine has given up, whatever the view says.
	failed bool
}

func (leaveStep) Kind() Kind { return KindLeave }
func (s leaveStep) String() string {
	if s.Cluster == "" {
		return "leave its swarm (" + s.Why + ")"
	}
	return "leave swarm " + s.Cluster + " (" + s.Why + ")"
}

type initStep struct {
	on
	Options engine.InitOptions
}

func (initStep) Kind() Kind       { return KindInit }
func (s initStep) String() string { return "start a new swarm, advertising " + s.Options.Advertise }

type joinStep struct {
	on
	Role         engine.Role
	Advertise    string
	Availability engine.Availability
}

func (joinStep) Kind() Kind { return KindJoin }
func (s joinStep) String() string {
	return fmt.Sprintf("join as %s, advertising %s", s.Role, s.Advertise)
}

type promoteStep struct {
	on
	ID string
}

func (promoteStep) Kind() Kind       { return KindPromote }
func (s promoteStep) String() string { return "promote to manager" }

type demoteStep struct {
	on
	ID string
}

func (demoteStep) Kind() Kind       { return KindDemote }
func (s demoteStep) String() string { return "demote to worker" }

// updateStep sets labels and availability. ID is empty for a node that is
// still to join.
type updateStep struct {
	on
	ID           string
	Labels       map[string]string
	Availability engine.Availability
}

func (updateStep) Kind() Kind { return KindUpdate }
func (s updateStep) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		parts = append(parts, "label "+k+"="+s.Labels[k])
	}
	if s.Availability != "" {
		parts = append(parts, "availability "+string(s.Availability))
	}
	return "set " + strings.Join(parts, ", ")
}

// configureStep sets the settings of the whole swarm that can be changed; a
// nil field is left alone.
type configureStep struct {
	on
	Want settings
}

func (configureStep) Kind() Kind       { return KindConfigure }
func (s configureStep) String() string { return "set " + s.Want.String() }

type awaitStep struct {
	on
	// Ready nodes and Reachable managers, short names.
	Ready     []string
	Reachable []string
}

func (awaitStep) Kind() Kind { return KindAwait }
func (s awaitStep) String() string {
	out := "wait until " + strings.Join(s.Ready, ", ") + " are Ready"
	if len(s.Ready) == 1 {
		out = "wait until " + s.Ready[0] + " is Ready"
	}
	switch len(s.Reachable) {
	case 0:
	case 1:
		out += " and " + s.Reachable[0] + " is Reachable as a manager"
	default:
		out += " and " + strings.Join(s.Reachable, ", ") + " are Reachable as managers"
	}
	return out
}

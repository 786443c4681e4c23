package placement

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dcalab/dcalab/engine"
)

// Kind is what is changed. The kinds are ordered by how little they disturb: what
// changes a service starts its tasks anew.
type Kind int

// The kinds of changes.
const (
	Activate Kind = iota
	Return
	LabelSet
	LabelRemove
	MaxReplicas
	ReserveCPU
	ReserveMemory
	ReserveGeneric
	InstallPlugin
	DropConstraint
)

// Change is one change of a node or of a service.
type Change struct {
	Kind Kind
	// Node or Service that it is made to, by name.
	Node, Service string
	Key, Value    string
	Amount        int64
}

// Command is what a person types for the change.
func (c Change) Command() string {
	update := func(flags string) string { return "docker service update " + flags + " " + c.Service }
	switch c.Kind {
	case Activate:
		return "dcalab activate " + c.Node
	case Return:
		return "dcalab start " + c.Node
	case LabelSet:
		return "dcalab label set " + c.Node + " " + quoted(c.Key+"="+c.Value)
	case LabelRemove:
		return "dcalab label rm " + c.Node + " " + c.Key
	case MaxReplicas:
		return update(fmt.Sprintf("--replicas-max-per-node %d", c.Amount))
	case ReserveCPU:
		return update("--reserve-cpu " + CPUs(c.Amount))
	case ReserveMemory:
		return update("--reserve-memory " + Memory(c.Amount))
	case ReserveGeneric:
		if c.Amount == 0 {
			return update("--generic-resource-rm " + c.Key)
		}
		return update(fmt.Sprintf("--generic-resource-rm %s --generic-resource-add %[1]s=%d", c.Key, c.Amount))
	case InstallPlugin:
		return "dcalab exec " + c.Node + " -- docker plugin install " + c.Value
	case DropConstraint:
		return update("--constraint-rm " + quoted(c.Value))
	}
	return ""
}

// ForForeign is the command where the node is no node of the lab.
func (c Change) ForForeign() string {
	switch c.Kind {
	case Activate:
		return "docker node update --availability active " + c.Node
	case LabelSet:
		return "docker node update --label-add " + quoted(c.Key+"="+c.Value) + " " + c.Node
	case LabelRemove:
		return "docker node update --label-rm " + c.Key + " " + c.Node
	case Return, InstallPlugin:
		return ""
	}
	return c.Command()
}

// quoted is a word for a shell.
func quoted(word string) string {
	if !strings.ContainsFunc(word, func(r rune) bool { return strings.ContainsRune(" \t!*()?[]\\^$|'\"&;<>~#", r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// CPUs are processors as --reserve-cpu takes them, rounded down.
func CPUs(nano int64) string {
	return strconv.FormatFloat(float64(nano/1e6)/1000, 'f', -1, 64)
}

// Memory is an amount as --reserve-memory takes it, rounded down to whole MiB, and
// to whole GiB where nothing is lost.
func Memory(bytes int64) string {
	const mib = 1 << 20
	switch {
	case bytes < mib:
		return strconv.FormatInt(bytes, 10)
	case bytes%(1<<30) == 0:
		return strconv.FormatInt(bytes>>30, 10) + "G"
	}
	return strconv.FormatInt(bytes/mib, 10) + "M"
}

// Apply makes the change, in copies of what it touches.
func (c Change) Apply(s Swarm, q Question) (Swarm, Question) {
	if c.Node != "" {
		s.Nodes = slices.Clone(s.Nodes)
		for i := range s.Nodes {
			if s.Nodes[i].Name == c.Node {
				s.Nodes[i] = c.toNode(s.Nodes[i])
			}
		}
		return s, q
	}
	needs := &q.Needs
	switch c.Kind {
	case MaxReplicas:
		needs.MaxReplicas = uint64(c.Amount) //nolint:gosec // a count
	case ReserveCPU:
		needs.Reserved.NanoCPUs = c.Amount
	case ReserveMemory:
		needs.Reserved.Memory = c.Amount
	case ReserveGeneric:
		needs.Reserved.Generic = maps.Clone(needs.Reserved.Generic)
		if needs.Reserved.Generic[c.Key] = c.Amount; c.Amount == 0 {
			delete(needs.Reserved.Generic, c.Key)
		}
	case DropConstraint:
		needs.Constraints = slices.DeleteFunc(slices.Clone(needs.Constraints), func(text string) bool { return text == c.Value })
	}
	return s, q
}

func (c Change) toNode(n Node) Node {
	switch c.Kind {
	case Activate:
		n.Availability = engine.AvailabilityActive
	case Return:
		n.Status = engine.NodeReady
	case LabelSet:
		n.Labels = maps.Clone(n.Labels)
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		n.Labels[c.Key] = c.Value
	case LabelRemove:
		n.Labels = maps.Clone(n.Labels)
		delete(n.Labels, c.Key)
	case InstallPlugin:
		n.Plugins = append(slices.Clone(n.Plugins), engine.Plugin{Type: c.Key, Name: c.Value})
	}
	return n
}

// changesFor finds changes after which a node fits; none where there are none. A
// label that another constraint does not allow is not touched a second time: the
// constraint goes.
func changesFor(s Swarm, q Question, n Node) []Change {
	var out []Change
	for {
		at := slices.IndexFunc(s.Nodes, func(one Node) bool { return one.ID == n.ID })
		found := failing(s, q, s.Nodes[at])
		if len(found) == 0 {
			return out
		}
		next := slices.IndexFunc(found[0].remedies, func(c Change) bool {
			return !slices.ContainsFunc(out, func(o Change) bool {
				label := o.Kind == LabelSet || o.Kind == LabelRemove
				return o == c || label && (c.Kind == LabelSet || c.Kind == LabelRemove) && o.Key == c.Key
			})
		})
		if next < 0 {
			return nil
		}
		c := found[0].remedies[next]
		out = append(out, c)
		s, q = c.Apply(s, q)
	}
}

// Smallest are the fewest changes that would make some node fit, those first that
// disturb least; each is a series of changes that are made together. It is empty
// where a node fits already, and where nothing helps. Beside labels there is the
// constraint that asks for them.
func Smallest(s Swarm, q Question) [][]Change {
	var out [][]Change
	add := func(changes []Change) {
		if len(changes) > 0 && !slices.ContainsFunc(out, func(o []Change) bool { return slices.Equal(o, changes) }) {
			out = append(out, changes)
		}
	}
	for i, v := range Judge(s, q) {
		if v.Fits() {
			return nil
		}
		add(v.Changes)
		if found := failing(s, q, s.Nodes[i]); len(found) == 1 {
			for _, c := range found[0].remedies {
				if after, asked := c.Apply(s, q); len(failing(after, asked, after.Nodes[i])) == 0 {
					add([]Change{c})
				}
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	least := len(slices.MinFunc(out, func(a, b []Change) int { return len(a) - len(b) }))
	out = slices.DeleteFunc(out, func(c []Change) bool { return len(c) > least })
	worst := func(changes []Change) Kind {
		return slices.MaxFunc(changes, func(a, b Change) int { return int(a.Kind - b.Kind) }).Kind
	}
	slices.SortStableFunc(out, func(a, b []Change) int { return int(worst(a) - worst(b)) })
	return nearest(out)
}

// nearest keeps of several amounts for the same thing the one that is nearest to
// what is asked for now.
func nearest(list [][]Change) [][]Change {
	var out [][]Change
	for _, changes := range list {
		same := slices.IndexFunc(out, func(o []Change) bool {
			return len(o) == 1 && len(changes) == 1 && o[0].Kind == changes[0].Kind && o[0].Node == "" && changes[0].Node == "" && o[0].Key == changes[0].Key && o[0].Value == changes[0].Value
		})
		switch {
		case same < 0:
			out = append(out, changes)
		case changes[0].Kind == MaxReplicas && changes[0].Amount < out[same][0].Amount, changes[0].Kind != MaxReplicas && changes[0].Amount > out[same][0].Amount:
			out[same] = changes
		}
	}
	return out
}

package observe

import (
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/timeline"
)

type task struct{ name, state, desired string }

// given tells whether a task was given up.
func (t task) given() bool {
	return t.desired == "shutdown" || slices.Contains([]string{"failed", "rejected", "orphaned"}, t.state)
}

// tasks are those of the swarm, and which of them were given up.
type tasks struct {
	known map[string]task   // by id
	slots map[string]string // task that was given up, by name; empty once another one runs
}

// take notes what has become of a task. While something is broken it tells whether a task is
// given up, and whether another one runs in the place of one that was.
func (t *tasks) take(c *timeline.Change, broken bool) (lost, placed bool) {
	before := t.known[c.ID]
	now := task{c.Name, c.State, c.Desired}
	t.known[c.ID] = now
	if c.Name == "" || c.Action == raft.ActionRemove {
		delete(t.known, c.ID)
		return false, false
	}
	switch {
	case !broken:
	case now.given() && !before.given():
		if t.slots[c.Name] == "" {
			t.slots[c.Name] = c.ID
			return true, false
		}
	case now.state == "running" && now.desired == "running" && t.slots[c.Name] != "" && t.slots[c.Name] != c.ID:
		t.slots[c.Name] = ""
		return false, true
	}
	return false, false
}

// forget is that nothing was given up.
func (t *tasks) forget() { clear(t.slots) }

// removed forgets what a service that is removed has lost.
func (t *tasks) removed(service string) {
	maps.DeleteFunc(t.slots, func(name, _ string) bool { return strings.HasPrefix(name, service+".") })
}

// running counts the tasks of a service that run.
func (t *tasks) running(service string) int {
	n := 0
	for _, one := range t.known {
		if one.state == "running" && strings.HasPrefix(one.name, service+".") {
			n++
		}
	}
	return n
}

// counts are the tasks that were given up, and those of them that run anew.
func (t *tasks) counts() (lost, placed int) {
	for _, id := range t.slots {
		lost++
		if id == "" {
			placed++
		}
	}
	return lost, placed
}

// missing are the names of those that do not run anew.
func (t *tasks) missing() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(t.slots)) {
		if t.slots[name] != "" {
			out = append(out, name)
		}
	}
	return out
}

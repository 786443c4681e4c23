package placement

import (
	"maps"
	"slices"
)

// branch is a part of the nodes that tasks are spread over: those with the same
// value of a label. Nodes that do not fit count, too.
type branch struct {
	tasks int
	next  map[string]*branch
	nodes []Verdict // that fit, of a branch without further ones
}

// Next are the nodes that the scheduler may place one more task on: of those that
// fit the ones in the branches that the preferences are for, there those on which
// the service did not keep failing, and of these the ones with the fewest tasks
// of the service, then of all services. Among several it takes any.
func Next(s Swarm, q Question) []string {
	root := &branch{}
	for i, v := range Judge(s, q) {
		at := root
		for _, value := range values(q, s.Nodes[i]) {
			at.tasks += v.Tasks
			if at.next == nil {
				at.next = map[string]*branch{}
			}
			if at.next[value] == nil {
				at.next[value] = &branch{}
			}
			at = at.next[value]
		}
		at.tasks += v.Tasks
		if v.Fits() {
			at.nodes = append(at.nodes, v)
		}
	}
	out := root.place(1)
	slices.Sort(out)
	return out
}

// values are those of the labels that tasks are spread over, on a node. What is no
// label is passed over.
func values(q Question, n Node) []string {
	var out []string
	for _, p := range q.Needs.Preferences {
		if label, ok := cutPrefixFold(p, nodeLabels); ok {
			out = append(out, n.Labels[label])
		} else if label, ok := cutPrefixFold(p, engineLabels); ok {
			out = append(out, n.EngineLabels[label])
		}
	}
	return out
}

// place gives the nodes that one task may go to. The scheduler shares room for n
// tasks among the branches, so that each would have as many as the others, and
// takes the branches in any order: where they are very uneven, it may take one that
// is not the emptiest.
func (b *branch) place(n int) []string {
	if b.next == nil {
		return fewest(b.nodes)
	}
	full := map[*branch]bool{}
	usable := b.tasks
	for len(full) < len(b.next) {
		share, rest := (usable+n)/(len(b.next)-len(full)), (usable+n)%(len(b.next)-len(full))
		var out []string
		tried := false
		for _, key := range slices.Sorted(maps.Keys(b.next)) {
			one := b.next[key]
			if full[one] || one.tasks > share || one.tasks == share && rest == 0 {
				continue
			}
			tried = true
			room := share - one.tasks
			if rest > 0 {
				room++
			}
			here := one.place(room)
			if len(here) == 0 {
				full[one] = true
				usable -= one.tasks
			}
			out = append(out, here...)
		}
		if len(out) > 0 || !tried {
			return out
		}
	}
	return nil
}

func fewest(nodes []Verdict) []string {
	var out []string
	for _, n := range nodes {
		if !slices.ContainsFunc(nodes, func(o Verdict) bool { return better(o, n) }) {
			out = append(out, n.Node)
		}
	}
	return out
}

// better tells whether the scheduler prefers a to b.
func better(a, b Verdict) bool {
	switch {
	case (a.Failures >= manyFailures || b.Failures >= manyFailures) && a.Failures != b.Failures:
		return a.Failures < b.Failures
	case a.Tasks != b.Tasks:
		return a.Tasks < b.Tasks
	}
	return a.AllTasks < b.AllTasks
}

// Rather says why the scheduler prefers node a to b, which both fit, where no
// preferences are given; empty where it does not.
func Rather(a, b Verdict) string {
	switch {
	case !better(a, b):
		return ""
	case (a.Failures >= manyFailures || b.Failures >= manyFailures) && a.Failures != b.Failures:
		return "its tasks failed there again and again"
	case a.Tasks != b.Tasks:
		return "it has more tasks of the service"
	}
	return "it has more tasks of all services"
}

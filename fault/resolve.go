package fault

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
)

// MeaningError is why a request means no fault of this lab now.
type MeaningError struct {
	Why string
	// Unknown is a name that no node of the lab has; empty where that is not why.
	Unknown string
}

func (e *MeaningError) Error() string { return e.Why }

// Resolve finds the nodes that a request means, once: a leader that changes later
// changes nothing. What is drawn by lot follows from r.Seed.
func Resolve(r Request, l *lab.Lab, v swarm.View) (Fault, error) {
	d := resolver{lab: l, view: v, lot: rand.New(rand.NewPCG(r.Seed, 0))} //nolint:gosec // a lot that can be drawn again
	f := Fault{
		Kind: r.Kind, Asked: r.Asked, OneWay: r.OneWay, Ports: r.Ports, Percent: r.Percent, Offset: int(r.Offset.Seconds()),
		DelayMS: int(r.Delay.Milliseconds()), JitterMS: int(r.Jitter.Milliseconds()), Rate: r.Rate,
		Nodes: []string{}, Sides: [][]string{}, To: []string{}, On: []string{},
	}
	if f.Ports == nil {
		f.Ports = []uint16{}
	}
	d.drawMinority()
	var targets [][]string
	for _, target := range r.Targets {
		nodes, err := d.nodes(target)
		if err != nil {
			return Fault{}, err
		}
		targets = append(targets, nodes)
	}
	var err error
	switch r.Kind {
	case Partition:
		f.Sides, err = d.sides(targets, nil)
	case Bridge:
		f.Nodes = targets[0]
		if len(f.Nodes) != 1 {
			return Fault{}, &MeaningError{Why: "a bridge is one node, and not " + strings.Join(f.Nodes, ", ")}
		}
		if len(targets) == 1 {
			targets = append(targets, d.halves(f.Nodes[0])...)
		}
		f.Sides, err = d.sides(targets[1:], f.Nodes)
	case Isolate, Block, Loss, Delay, Rate, Kill, Freeze, StopEngine, Disk, Clock:
		f.Nodes = targets[0]
		if len(r.To) > 0 {
			f.To, err = d.nodes(r.To)
		}
	}
	if err != nil {
		return Fault{}, err
	}
	if d.drawn || f.JitterMS > 0 {
		f.Seed = r.Seed
	}
	if f.Network() && len(f.Affected(l)) == 0 {
		return Fault{}, &MeaningError{Why: f.Words() + " changes nothing: it needs another node"}
	}
	return f, nil
}

// resolver finds what words and names mean.
type resolver struct {
	lab      *lab.Lab
	view     swarm.View
	lot      *rand.Rand
	minority []string
	drawn    bool
}

// nodes gives those that words mean, each once, in the lab's order.
func (d *resolver) nodes(words []string) ([]string, error) {
	var names []string
	for _, word := range words {
		more, err := d.word(word)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	var out []string
	for _, n := range d.lab.Nodes {
		if slices.Contains(names, n.Name) {
			out = append(out, n.Name)
		}
	}
	if len(out) == 0 {
		return nil, &MeaningError{Why: strings.Join(words, ", ") + ": no node of labs.yaml is one now"}
	}
	return out, nil
}

func (d *resolver) word(word string) ([]string, error) {
	for _, n := range d.lab.Nodes {
		if n.Name == word || d.lab.Hostname(n) == word {
			return []string{n.Name}, nil
		}
	}
	managers := d.managers()
	none := func(why string) ([]string, error) { return nil, &MeaningError{Why: word + ": " + why} }
	var out []string
	switch word {
	case wordLeader:
		if d.view.Leader == "" {
			return none("the swarm has no leader now")
		}
		if _, ok := d.lab.Node(d.view.Leader); !ok {
			return none("it is " + d.view.Leader + ", which labs.yaml no longer has")
		}
		return []string{d.view.Leader}, nil
	case wordFollower:
		if d.view.Leader == "" {
			return none("the swarm has no leader now")
		}
		followers := slices.DeleteFunc(managers, func(name string) bool { return name == d.view.Leader })
		if len(followers) == 0 {
			return none("no other manager follows a leader now")
		}
		d.drawn = true
		return []string{followers[d.lot.IntN(len(followers))]}, nil
	case wordManagers:
		out = managers
	case wordWorkers:
		for _, n := range d.view.Nodes {
			if n.Role == lab.RoleWorker {
				out = append(out, n.Name)
			}
		}
	case wordMinority:
		d.drawn = true
		out = d.minority
	case wordMajority:
		d.drawn = true
		out = slices.DeleteFunc(managers, func(name string) bool { return slices.Contains(d.minority, name) })
	case wordRandom:
		d.drawn = true
		return []string{d.lab.Nodes[d.lot.IntN(len(d.lab.Nodes))].Name}, nil
	default:
		return nil, &MeaningError{Why: fmt.Sprintf("lab %s has no node %q", d.lab.Name, word), Unknown: word}
	}
	if len(out) == 0 {
		return none("no node of the swarm is one now")
	}
	return out, nil
}

// managers are those of the lab that take part in raft.
func (d *resolver) managers() []string { return managersOf(d.lab, d.view) }

func managersOf(l *lab.Lab, v swarm.View) []string {
	var out []string
	for _, n := range v.Nodes {
		if _, ours := l.Node(n.Name); ours && n.Role == lab.RoleManager {
			out = append(out, n.Name)
		}
	}
	return out
}

// drawMinority draws as many managers as may fail, so that minority and majority of
// one request share none.
func (d *resolver) drawMinority() {
	managers := d.managers()
	d.lot.Shuffle(len(managers), func(i, j int) { managers[i], managers[j] = managers[j], managers[i] })
	d.minority = managers[:min(len(managers), swarm.Tolerates(len(managers)))]
}

// sides completes those that are named: the nodes that are not are one more.
func (d *resolver) sides(named [][]string, without []string) ([][]string, error) {
	of := map[string]int{}
	for i, side := range named {
		for _, name := range side {
			if at, ok := of[name]; ok && at != i {
				return nil, &MeaningError{Why: name + " is on two sides"}
			}
			if slices.Contains(without, name) {
				return nil, &MeaningError{Why: name + " hears both sides, and is on neither"}
			}
			of[name] = i
		}
	}
	var rest []string
	for _, n := range d.lab.Nodes {
		if _, ok := of[n.Name]; !ok && !slices.Contains(without, n.Name) {
			rest = append(rest, n.Name)
		}
	}
	out := slices.Clone(named)
	if len(rest) > 0 && len(without) == 0 {
		out = append(out, rest)
	}
	if len(out) < 2 {
		return nil, &MeaningError{Why: "two sides are needed: no node is left for the other one"}
	}
	slices.SortFunc(out, func(a, b []string) int { return d.at(a[0]) - d.at(b[0]) }) // the same fault is written in one way
	return out, nil
}

// at is the place of a node in the lab.
func (d *resolver) at(name string) int {
	return slices.IndexFunc(d.lab.Nodes, func(n lab.Node) bool { return n.Name == name })
}

// halves splits the nodes but one into two sides, managers and others each in half.
func (d *resolver) halves(without string) [][]string {
	managers := d.managers()
	sides := make([][]string, 2)
	var of [2]int // managers, and others, that have been given away
	for _, n := range d.lab.Nodes {
		if n.Name == without {
			continue
		}
		kind := 0
		if !slices.Contains(managers, n.Name) {
			kind = 1
		}
		side := (of[kind] + kind) % 2 // the odd ones do not all go to the same side
		of[kind]++
		sides[side] = append(sides[side], n.Name)
	}
	return slices.DeleteFunc(sides, func(side []string) bool { return len(side) == 0 })
}

package prove

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/dcalab/dcalab/trouble"
)

// State is what was found out about the writes.
type State string

// The states.
const (
	Kept      State = "kept"      // every acknowledged write is there, in an order that can be
	Violated  State = "violated"  // one is not, or something is there that nobody wrote
	Undecided State = "undecided" // neither can be said
)

// Answer is whether a history is linearizable.
type Answer string

// The answers.
const (
	Linearizable    Answer = "linearizable"
	NotLinearizable Answer = "not linearizable"
	NotDecided      Answer = "undecided" // it would take too long
)

// Verdict is what a history proves.
//
// Writes and reads are judged apart. SwarmKit answers reads from the leader's memory,
// without asking the others whether it still leads. So one that is cut off gives old
// values until it steps down: this is told, and is no loss of a write.
type Verdict struct {
	State State
	// Acknowledged writes, and Found those of them that are in the chain of values from
	// the beginning to what the objects are in the end.
	Acknowledged, Found int
	// Lost are the others.
	Lost []Operation
	// Unstored are reads of values that are not in the chain: nobody wrote them, or the
	// write never came to be.
	Unstored []Operation
	// Unread are objects whose value in the end is not known.
	Unread []string
	// Writes alone, and all operations.
	Writes, All Answer
	// Reads that were answered, and Stale those whose value was no longer true when they
	// were asked: an operation that had returned before has written or read a newer one.
	Reads int
	Stale []StaleRead
}

// StaleRead is a read whose value was no longer true when it was asked for. Newer is the
// first operation of those that show it, and Age the time from its return.
type StaleRead struct {
	Operation
	Newer Operation
	Age   time.Duration
}

// Judge says what a history proves. Each of its two searches for an order takes as long
// as limit at most.
func Judge(h History, limit time.Duration) Verdict {
	var v Verdict
	var writes, all []porcupine.Operation
	for _, object := range h.Objects {
		var ops []Operation
		for _, o := range h.Operations {
			if o.Object == object {
				ops = append(ops, o)
			}
		}
		final, known := h.Final[object]
		if !known {
			v.Unread = append(v.Unread, object)
		} else {
			v.follow(ops, chain(ops, final))
		}
		for _, o := range ops {
			switch {
			case o.acknowledged():
				v.Acknowledged++
			case o.Kind == Read && o.Outcome == OK:
				v.Reads++
			}
		}
		writes = append(writes, searched(ops, false)...)
		all = append(all, searched(ops, true)...)
	}
	v.Writes, v.All = answer(writes, limit), NotLinearizable
	if len(v.Stale) == 0 { // one is proof enough, which a search for an order needs long to find
		v.All = answer(all, limit)
	}
	slices.SortFunc(v.Stale, func(a, b StaleRead) int { return cmp.Compare(b.Age, a.Age) })
	switch {
	case len(v.Lost) > 0 || len(v.Unstored) > 0 || v.Writes == NotLinearizable:
		v.State = Violated
	case len(v.Unread) > 0 || v.Writes == NotDecided || v.Acknowledged == 0:
		v.State = Undecided
	default:
		v.State = Kept
	}
	return v
}

// chain gives the place of each value that an object had, from its last one back. Values
// that lead nowhere, as one that nobody wrote, have no chain.
func chain(ops []Operation, final string) map[string]int {
	from := map[string]string{}
	for _, o := range ops {
		if o.Kind == Write {
			from[o.Value] = o.From
		}
	}
	back := []string{final}
	for value := final; value != Initial; back = append(back, value) {
		was, written := from[value]
		if !written || len(back) > len(ops) {
			return nil
		}
		value = was
	}
	place := map[string]int{}
	for i, value := range back {
		place[value] = len(back) - 1 - i
	}
	return place
}

// follow holds the operations on one object against its chain.
func (v *Verdict) follow(ops []Operation, place map[string]int) {
	var seen []Operation // what shows a value of the chain, by the time of its return
	for _, o := range ops {
		_, stored := place[o.Value]
		switch {
		case o.Outcome != OK:
		case stored:
			seen = append(seen, o)
			if o.Kind == Write {
				v.Found++
			}
		case o.Kind == Write:
			v.Lost = append(v.Lost, o)
		default:
			v.Unstored = append(v.Unstored, o)
		}
	}
	slices.SortFunc(seen, func(a, b Operation) int { return cmp.Compare(a.Return, b.Return) })
	// newest are those of seen that show a newer value than all before them.
	var newest []Operation
	for _, o := range seen {
		if len(newest) == 0 || place[o.Value] > place[newest[len(newest)-1].Value] {
			newest = append(newest, o)
		}
	}
	for _, o := range seen {
		if o.Kind != Read {
			continue
		}
		i, _ := slices.BinarySearchFunc(newest, place[o.Value], func(n Operation, at int) int { return cmp.Compare(place[n.Value], at+1) })
		if i < len(newest) && newest[i].Return < o.Call {
			v.Stale = append(v.Stale, StaleRead{o, newest[i], o.Call - newest[i].Return})
		}
	}
}

// searched are the operations on one object that an order is searched for: what was
// acknowledged, and of the rest the writes without which that cannot have been. A write
// whose value nobody saw is left out: whether it happened makes no difference to the
// others. One without an acknowledgement may have happened at any time after its call.
func searched(ops []Operation, reads bool) []porcupine.Operation {
	var out []porcupine.Operation
	add := func(o Operation, end int64) {
		out = append(out, porcupine.Operation{ClientId: o.Client, Input: o, Output: o, Call: int64(o.Call), Return: end})
	}
	open := map[string]Operation{}
	var needed []string
	for _, o := range ops {
		switch {
		case o.acknowledged():
			add(o, int64(o.Return))
			needed = append(needed, o.From)
		case o.Kind == Write:
			open[o.Value] = o
		case reads && o.Outcome == OK:
			add(o, int64(o.Return))
			needed = append(needed, o.Value)
		}
	}
	for len(needed) > 0 {
		value := needed[len(needed)-1]
		needed = needed[:len(needed)-1]
		if o, is := open[value]; is {
			delete(open, value)
			add(o, math.MaxInt64)
			needed = append(needed, o.From)
		}
	}
	return out
}

// model is an object that does one operation after the other. Its state is its value.
func model() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			var order []string
			by := map[string][]porcupine.Operation{}
			for _, p := range history {
				o, _ := p.Input.(Operation)
				if by[o.Object] == nil {
					order = append(order, o.Object)
				}
				by[o.Object] = append(by[o.Object], p)
			}
			var out [][]porcupine.Operation
			for _, object := range order {
				out = append(out, by[object])
			}
			return out
		},
		Init: func() any { return Initial },
		Step: func(state, input, _ any) (bool, any) {
			o, _ := input.(Operation)
			if o.Kind == Read {
				return state == o.Value, state
			}
			return state == o.From, o.Value
		},
	}
}

func answer(ops []porcupine.Operation, limit time.Duration) Answer {
	switch porcupine.CheckOperationsTimeout(model(), ops, limit) {
	case porcupine.Ok:
		return Linearizable
	case porcupine.Illegal:
		return NotLinearizable
	case porcupine.Unknown:
	}
	return NotDecided
}

// Sentence says what was found out about the writes.
func (v Verdict) Sentence() string {
	counted := fmt.Sprintf("%s acknowledged, %d found", trouble.Count(v.Acknowledged, "write"), v.Found)
	switch {
	case len(v.Lost) > 0:
		return fmt.Sprintf("Acknowledged writes were lost: %s. %s", counted, told(v.Lost[0], "it is not among the values that the object had"))
	case len(v.Unstored) > 0:
		return fmt.Sprintf("Managers told what was never stored: %s. %s", counted, told(v.Unstored[0], "the object never had this value"))
	case v.Writes == NotLinearizable:
		return fmt.Sprintf("Writes happened in an order that cannot be: %s.", counted)
	case len(v.Unread) > 0:
		return fmt.Sprintf("Whether an acknowledged write was lost is not known: %s acknowledged, and in the end nobody told what became of them.", trouble.Count(v.Acknowledged, "write"))
	case v.Acknowledged == 0:
		return "Nothing is proved: no write was acknowledged."
	case v.Writes == NotDecided:
		return fmt.Sprintf("No acknowledged write was lost: %s. Whether their order can be took too long to find out.", counted)
	}
	return fmt.Sprintf("No acknowledged write was lost: %s.", counted)
}

func told(o Operation, what string) string {
	return fmt.Sprintf("The %s of %s in %s through %s, at %s: %s.", o.Kind, o.Value, o.Object, o.Manager, trouble.Duration(o.Return), what)
}

// ReadSentence says what was found out about the reads.
func (v Verdict) ReadSentence() string {
	if len(v.Stale) == 0 {
		text := fmt.Sprintf("No read was stale: %s.", trouble.Count(v.Reads, "read"))
		if v.All == NotDecided {
			text += " Whether all operations have an order took too long to find out."
		}
		return text
	}
	old := v.Stale[0]
	return fmt.Sprintf("Reads were stale: %d of %d gave what was no longer true, which a leader that is cut off does, from its memory, until it steps down. "+
		"The oldest: %s through %s, asked for at %s, had been replaced %s before.",
		len(v.Stale), v.Reads, old.Value, old.Manager, trouble.Duration(old.Call), trouble.Duration(old.Age))
}

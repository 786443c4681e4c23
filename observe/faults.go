package observe

import (
	"slices"
	"time"
)

// faults are those that were told of.
type faults struct {
	list     []Fault
	open     map[string]bool
	standing map[string]bool // those that were there before
	unsure   map[string]bool // those that a new listener has not told of yet
}

// begins notes one.
func (f *faults) begins(at time.Time, id, words string, standing bool) {
	f.open[id], f.standing[id] = true, standing
	f.list = append(f.list, Fault{ID: id, Words: words, From: at.UnixMilli()})
}

// ends notes that one is over, and gives its words.
func (f *faults) ends(at time.Time, id string) string {
	delete(f.open, id)
	words := ""
	for i := range f.list {
		if one := &f.list[i]; one.ID == id && one.To == nil {
			to := at.UnixMilli()
			one.To, words = &to, one.Words
		}
	}
	return words
}

// stand makes those that are there such as were there before, and forgets the others.
func (f *faults) stand() {
	for id := range f.open {
		f.standing[id] = true
	}
	f.list = slices.DeleteFunc(f.list, func(one Fault) bool { return one.To != nil })
}

// breaking tells whether one is there that was not there before.
func (f *faults) breaking() bool {
	for id := range f.open {
		if !f.standing[id] {
			return true
		}
	}
	return false
}

// missing says which those are.
func (f *faults) missing() []string {
	var out []string
	for _, one := range f.list {
		if f.open[one.ID] && !f.standing[one.ID] && one.To == nil {
			out = append(out, one.ID+" is there: "+one.Words)
		}
	}
	return out
}

// report are those that were not over at from, in milliseconds since began.
func (f *faults) report(from, began time.Time) []Fault {
	out := []Fault{}
	for _, one := range f.list {
		if one.To != nil && *one.To < from.UnixMilli() {
			continue
		}
		one.From -= began.UnixMilli()
		if one.To != nil {
			to := *one.To - began.UnixMilli()
			one.To = &to
		}
		out = append(out, one)
	}
	return out
}

package prove

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// at makes an operation on one object, from and to in seconds.
func at(client int, kind Kind, outcome Outcome, from, value string, call, back float64) Operation {
	second := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	return Operation{
		Client: client, Manager: fmt.Sprintf("m%d", client+1), Object: "o", Kind: kind, From: from, Value: value, Outcome: outcome,
		Call: second(call), Return: second(back),
	}
}

func history(final string, ops ...Operation) History {
	return History{Objects: []string{"o"}, Operations: ops, Final: map[string]string{"o": final}}
}

func TestJudge(t *testing.T) {
	w := func(from, value string, call, back float64) Operation {
		return at(0, Write, OK, from, value, call, back)
	}
	r := func(value string, call, back float64) Operation { return at(1, Read, OK, "", value, call, back) }
	for name, c := range map[string]struct {
		h     History
		state State
		all   Answer
		stale int
		says  string
	}{
		"as it should be": {history("b", w(Initial, "a", 1, 2), r("a", 3, 4), w("a", "b", 5, 6), r("b", 7, 8)), Kept, Linearizable, 0, "2 writes acknowledged, 2 found"},
		"nothing":         {history(Initial, r(Initial, 1, 2)), Undecided, Linearizable, 0, "no write was acknowledged"},

		// The planted errors.
		"an acknowledged write is lost":             {history("a", w(Initial, "a", 1, 2), w("a", "b", 3, 4), r("a", 5, 6)), Violated, NotLinearizable, 0, "2 writes acknowledged, 1 found. The write of b"},
		"two of the same version are acknowledged":  {history("b", w(Initial, "a", 1, 2), at(1, Write, OK, Initial, "b", 1, 2)), Violated, NotLinearizable, 0, "2 writes acknowledged, 1 found. The write of a"},
		"a value that nobody wrote is read":         {history("a", w(Initial, "a", 1, 2), r("x", 3, 4)), Violated, NotLinearizable, 0, "never stored"},
		"a write that came to nothing is read":      {history(Initial, at(0, Write, Unknown, Initial, "a", 1, 2), r("a", 3, 4)), Violated, Linearizable, 0, "never stored"},
		"a value that nobody wrote is there":        {history("x", w(Initial, "a", 1, 2)), Violated, Linearizable, 0, "1 write acknowledged, 0 found"},
		"a write comes before the one it replaces":  {history("b", w("a", "b", 1, 2), w(Initial, "a", 3, 4)), Violated, NotLinearizable, 0, "an order that cannot be"},
		"all is as it was at the beginning":         {history(Initial, w(Initial, "a", 1, 2)), Violated, Linearizable, 0, "1 write acknowledged, 0 found"},
		"a chain that bites its tail":               {history("b", w("b", "a", 1, 2), w("a", "b", 1, 2)), Violated, NotLinearizable, 0, "lost"},
		"nobody tells what there is in the end":     {History{Objects: []string{"o"}, Operations: []Operation{w(Initial, "a", 1, 2)}}, Undecided, Linearizable, 0, "is not known"},
		"a read is stale":                           {history("b", w(Initial, "a", 1, 2), w("a", "b", 3, 4), r("a", 6, 7)), Kept, NotLinearizable, 1, ""},
		"a read while it is replaced is not stale":  {history("b", w(Initial, "a", 1, 2), w("a", "b", 3, 6), r("a", 4, 5)), Kept, Linearizable, 0, ""},
		"older than another has read":               {history("a", at(0, Write, Unknown, Initial, "a", 1, 9), r("a", 3, 4), at(2, Read, OK, "", Initial, 5, 6)), Undecided, NotLinearizable, 1, ""},
		"no answer, and it happened":                {history("b", at(0, Write, Unknown, Initial, "a", 1, 2), w("a", "b", 8, 9)), Kept, Linearizable, 0, "1 write acknowledged, 1 found"},
		"no answer, and it happened late":           {history("a", at(0, Write, Unknown, Initial, "a", 1, 2), r(Initial, 3, 4), r("a", 5, 6), w("a", "c", 7, 8), r("c", 9, 10)), Violated, Linearizable, 0, "The write of c"},
		"no answer, and it did not happen":          {history("b", at(0, Write, Unknown, Initial, "a", 1, 2), w(Initial, "b", 8, 9)), Kept, Linearizable, 0, ""},
		"refused at the second call of the manager": {history("b", at(0, Write, Refused, Initial, "a", 1, 2), w("a", "b", 3, 4)), Kept, Linearizable, 0, ""},
		"a read without an answer":                  {history("a", w(Initial, "a", 1, 2), at(1, Read, Failed, "", "", 3, 8)), Kept, Linearizable, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := Judge(c.h, 0)
			if v.State != c.state || v.All != c.all || len(v.Stale) != c.stale || !strings.Contains(v.Sentence(), c.says) {
				t.Errorf("%s, all %s, %d stale: %s", v.State, v.All, len(v.Stale), v.Sentence())
			}
		})
	}
}

func TestTheOldestStaleReadIsTold(t *testing.T) {
	v := Judge(history("c",
		at(0, Write, OK, Initial, "a", 1, 2), at(0, Write, OK, "a", "b", 3, 4), at(0, Write, OK, "b", "c", 5, 6),
		at(1, Read, OK, "", "a", 9, 10), at(1, Read, OK, "", "b", 13, 14), at(1, Read, OK, "", "c", 15, 16)), 0)
	const want = "Reads were stale: 2 of 3 gave what was no longer true, which a leader that is cut off does, from its memory, until it steps down. " +
		"The oldest: b through m2, asked for at 13s, had been replaced 7.0s before."
	if got := v.ReadSentence(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// register is an object that does one operation after the other: each takes effect at a
// moment between its call and its return.
type register struct {
	value string
	ops   []Operation
}

// generate draws a history of some clients that share a register. Some writes get no
// answer, and happen late or never.
func generate(t *rapid.T) (h History, acknowledged []int) {
	type step struct {
		client    int
		wait, lag time.Duration
		act       int
	}
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{rapid.IntRange(0, 3).Draw(t, "client"), time.Duration(rapid.IntRange(0, 20).Draw(t, "wait")),
			time.Duration(rapid.IntRange(0, 20).Draw(t, "lag")), rapid.IntRange(0, 9).Draw(t, "act")}
	}), 1, 60).Draw(t, "steps")
	reg := register{value: Initial}
	free := map[int]time.Duration{} // when a client has returned
	known := map[int]string{}       // what it has read last
	now := time.Duration(0)
	for i, s := range steps {
		now += s.wait + 1
		call := max(free[s.client]+1, now-s.lag)
		back := now + s.lag
		free[s.client] = back
		o := Operation{Client: s.client, Manager: "m", Object: "o", Kind: Read, Outcome: OK, Call: min(call, now), Return: back}
		switch base, has := known[s.client]; {
		case s.act < 5 || !has:
			o.Value = reg.value
			known[s.client] = reg.value
		default:
			o.Kind, o.From, o.Value = Write, base, fmt.Sprintf("v%d", i)
			happens := base == reg.value
			if s.act == 9 { // never, and nobody knows
				happens, o.Outcome = false, Unknown
			}
			switch {
			case happens:
				reg.value = o.Value
				if s.act == 8 {
					o.Outcome = Unknown
				}
			case o.Outcome == OK:
				o.Outcome = Refused
			}
			delete(known, s.client)
		}
		if now = max(now, o.Call); o.acknowledged() {
			acknowledged = append(acknowledged, len(reg.ops))
		}
		reg.ops = append(reg.ops, o)
	}
	return history(reg.value, reg.ops...), acknowledged
}

func TestWhatARegisterDoesIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, acknowledged := generate(t)
		v := Judge(h, 0)
		want := Kept
		if len(acknowledged) == 0 {
			want = Undecided
		}
		if v.State != want || v.Writes != Linearizable || v.All != Linearizable || len(v.Stale) > 0 || v.Found != len(acknowledged) {
			t.Fatalf("%+v\n%+v", v, h)
		}
	})
}

// What follows a write that is dropped goes on from what was before it, as in a store
// that has lost it.
func TestALostWriteIsFoundOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, acknowledged := generate(t)
		if len(acknowledged) == 0 {
			t.Skip("nothing to lose")
		}
		lost := h.Operations[acknowledged[rapid.IntRange(0, len(acknowledged)-1).Draw(t, "lost")]]
		for i, o := range h.Operations {
			if o.From == lost.Value {
				h.Operations[i].From = lost.From
			}
			if o.Kind == Read && o.Value == lost.Value {
				h.Operations[i].Value = lost.From
			}
		}
		if h.Final["o"] == lost.Value {
			h.Final["o"] = lost.From
		}
		v := Judge(h, 0)
		if v.State != Violated || !slices.ContainsFunc(v.Lost, func(o Operation) bool { return o.Value == lost.Value }) {
			t.Fatalf("%s is lost, and it says: %s", lost.Value, v.Sentence())
		}
	})
}

// A read of what was replaced before it was asked is stale, and nothing else is.
func TestAStaleReadIsFoundOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, acknowledged := generate(t)
		if len(acknowledged) == 0 {
			t.Skip("nothing that could be old")
		}
		w := h.Operations[acknowledged[rapid.IntRange(0, len(acknowledged)-1).Draw(t, "replaced by")]]
		late := time.Duration(rapid.IntRange(1, 100).Draw(t, "late"))
		h.Operations = append(h.Operations, Operation{Client: 9, Object: "o", Kind: Read, Value: w.From, Outcome: OK, Call: w.Return + late, Return: w.Return + late + 1})
		v := Judge(h, 0)
		if v.State != Kept || v.All != NotLinearizable || len(v.Stale) != 1 || v.Stale[0].Client != 9 {
			t.Fatalf("%s, all %s, stale %+v", v.State, v.All, v.Stale)
		}
	})
}

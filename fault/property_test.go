package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// many calls try with as many lots as a property is tried with, which are the same
// each time. The first failure ends it.
func many(t *testing.T, try func(r *rand.Rand)) {
	t.Helper()
	for seed := range uint64(500) {
		try(rand.New(rand.NewPCG(seed, 1))) //nolint:gosec // lots that can be drawn again
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// drawLab draws a lab of 1 to 9 nodes.
func drawLab(r *rand.Rand) *lab.Lab {
	var roles strings.Builder
	for range 1 + r.IntN(9) {
		roles.WriteByte("mmmw-"[r.IntN(5)])
	}
	return testLab(roles.String())
}

// drawNames draws some nodes of a lab, and at least one, in any order.
func drawNames(r *rand.Rand, l *lab.Lab) []string {
	names := l.NodeNames()
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:1+r.IntN(len(names))]
}

// drawRequest draws any request, which may mean nothing in the lab.
func drawRequest(r *rand.Rand, l *lab.Lab) Request {
	q := Request{Kind: Kinds()[r.IntN(len(Kinds()))], Seed: 1 + r.Uint64N(1000)}
	switch q.Kind {
	case Partition, Bridge:
		names := drawNames(r, l)
		if q.Kind == Bridge {
			q.Targets, names = [][]string{names[:1]}, names[1:]
			if r.IntN(2) == 0 || len(names) < 2 { // its sides are halves
				return q
			}
			at := 1 + r.IntN(len(names)-1)
			q.Targets = append(q.Targets, names[:at], names[at:])
			return q
		}
		for len(names) > 0 {
			at := 1 + r.IntN(len(names))
			q.Targets, names = append(q.Targets, names[:at]), names[at:]
		}
		return q
	case Isolate, Block, Loss, Delay, Rate:
		if r.IntN(3) == 0 {
			q.To = drawNames(r, l)
		}
		q.OneWay = []Direction{Both, Both, In, Out}[r.IntN(4)]
		if q.Kind == Loss {
			q.Percent = []float64{0.5, 20, 99, 100}[r.IntN(4)]
		}
		if q.Kind == Block && r.IntN(3) > 0 {
			q.Ports = [][]uint16{{2377}, {7946}, {2377, 4789}, {80, 2377, 7946}}[r.IntN(4)]
		}
		switch q.Kind { //nolint:exhaustive // the others take no more
		case Delay:
			q.Delay, q.Jitter = 200*time.Millisecond, time.Duration(r.IntN(2))*50*time.Millisecond
		case Rate:
			q.Rate = []int64{8000, 1_000_000}[r.IntN(2)]
		}
	case Disk:
		q.Percent = 95
	case Clock:
		q.Offset = time.Hour
	case Kill, Freeze, StopEngine:
	}
	if r.IntN(2) == 0 {
		q.Targets = [][]string{{NodeWords()[r.IntN(len(NodeWords()))]}}
	} else {
		q.Targets = [][]string{drawNames(r, l)}
	}
	return q
}

// drawFault draws a fault that means something in the lab.
func drawFault(r *rand.Rand, l *lab.Lab) (Fault, bool) {
	for range 20 {
		if f, err := Resolve(drawRequest(r, l), l, testView(l)); err == nil {
			return f, true
		}
	}
	return Fault{}, false
}

// sideOf is the number of the side that a node is on, or -1.
func sideOf(f Fault, name string) int {
	return slices.IndexFunc(f.Sides, func(side []string) bool { return slices.Contains(side, name) })
}

// deafTo tells whether a node has a rule for another.
func deafTo(rules map[string][]Rule, at, from string) bool {
	return slices.ContainsFunc(rules[at], func(r Rule) bool { return r.From == from })
}

// At a node is a rule for another exactly if they are on different sides, and every
// node of a partition is on one.
func TestRulesOfPartitions(t *testing.T) {
	many(t, func(r *rand.Rand) {
		l := drawLab(r)
		q := drawRequest(r, l)
		if q.Kind != Partition && q.Kind != Bridge {
			return
		}
		f, err := Resolve(q, l, testView(l))
		if err != nil {
			return
		}
		rules := f.Rules(l)
		for _, at := range l.NodeNames() {
			if q.Kind == Partition && sideOf(f, at) < 0 {
				t.Errorf("%s is on no side of %s", at, f.Words())
			}
			for _, from := range l.NodeNames() {
				a, b := sideOf(f, at), sideOf(f, from)
				if want := a >= 0 && b >= 0 && a != b; deafTo(rules, at, from) != want {
					t.Errorf("%s: %s has a rule for %s is %v", f.Words(), at, from, !want)
				}
			}
		}
		if q.Kind == Bridge && (len(rules[f.Nodes[0]]) > 0 || sideOf(f, f.Nodes[0]) >= 0 || len(f.Sides) != 2) {
			t.Errorf("%s does not hear both sides", f.Words())
		}
	})
}

// Of any kind, rules are of nodes of the lab, for other nodes of the lab at their
// addresses, each once, and on both ends unless it is one way.
func TestRulesOfAnyKind(t *testing.T) {
	kinds := map[Kind]int{}
	many(t, func(r *rand.Rand) {
		l := drawLab(r)
		f, ok := drawFault(r, l)
		if !ok {
			return
		}
		kinds[f.Kind]++
		f.ID = "f1"
		rules := f.Rules(l)
		if f.Network() != (len(rules) > 0) {
			t.Errorf("%s: rules %v", f.Words(), rules)
		}
		lines := 0
		for at, list := range rules {
			if _, ok := l.Node(at); !ok || len(list) == 0 {
				t.Errorf("%s: rules %v at %q", f.Words(), list, at)
			}
			for i, rule := range list {
				n, ok := l.Node(rule.From)
				if !ok || rule.Address != n.IP || at == rule.From {
					t.Errorf("%s: at %s, a rule for %q at %s", f.Words(), at, rule.From, rule.Address)
				}
				if slices.Contains(list[:i], rule) {
					t.Errorf("%s: at %s twice %+v", f.Words(), at, rule)
				}
				want := 100.0
				switch {
				case f.Kind == Loss:
					want = f.Percent
				case f.Slows():
					want = 0
				}
				if rule.Percent != want {
					t.Errorf("%s: %v%% at %s", f.Words(), rule.Percent, at)
				}
				if f.Kind != Block && rule.Port != 0 || f.Kind == Block && len(f.Ports) > 0 && !slices.Contains(f.Ports, rule.Port) {
					t.Errorf("%s: port %d at %s", f.Words(), rule.Port, at)
				}
				if f.OneWay == Both && !deafTo(rules, rule.From, at) {
					t.Errorf("%s: %s drops what is from %s, and not the other way round", f.Words(), at, rule.From)
				}
			}
			lines += len(list)
			for _, line := range f.lines(l, at) {
				if f.Slows() {
					if _, err := netip.ParseAddr(line); err != nil {
						t.Errorf("%s: %q is no address", f.Words(), line)
					}
					continue
				}
				if !strings.HasPrefix(line, "-A DCALAB-f1 -s 10.20.20.") || !strings.HasSuffix(line, " -j DROP") || strings.ContainsAny(line, "\n'\";*") {
					t.Errorf("%s: %q is given to iptables", f.Words(), line)
				}
			}
		}
		if on := f.Affected(l); f.Network() && len(on) != len(rules) || len(on) == 0 {
			t.Errorf("%s is on %v, and has rules on %d nodes", f.Words(), on, len(rules))
		}
		for _, at := range f.Affected(l) {
			if len(f.Effects(l, at)) == 0 {
				t.Errorf("%s does nothing to %s", f.Words(), at)
			}
		}
		// What it is about is its own: a mix of nodes and ports that nobody asked for
		// would be more rules than pairs.
		if n := len(l.Nodes); lines > n*(n-1)*max(1, len(f.Ports)) {
			t.Errorf("%s: %d rules for %d nodes", f.Words(), lines, n)
		}
	})
	for _, kind := range Kinds() {
		if kinds[kind] < 10 {
			t.Errorf("%s was drawn %d times", kind, kinds[kind])
		}
	}
}

// What a node does not hear in one direction is what nobody hears of it in the other,
// and both together are no direction.
func TestRulesOneWay(t *testing.T) {
	many(t, func(r *rand.Rand) {
		l := drawLab(r)
		q := drawRequest(r, l)
		switch q.Kind {
		case Isolate, Block, Loss, Delay, Rate:
		case Partition, Bridge, Kill, Freeze, StopEngine, Disk, Clock:
			return
		}
		q.OneWay = Both
		f, err := Resolve(q, l, testView(l))
		if err != nil {
			return
		}
		in, out, both := f, f, f.Rules(l)
		in.OneWay, out.OneWay = In, Out
		heard, said := in.Rules(l), out.Rules(l)
		for _, at := range l.NodeNames() {
			for _, from := range l.NodeNames() {
				if deafTo(heard, at, from) != deafTo(said, from, at) {
					t.Errorf("%s: in and out are not each other's mirror for %s and %s", f.Words(), at, from)
				}
				if deafTo(both, at, from) != (deafTo(heard, at, from) || deafTo(said, at, from)) {
					t.Errorf("%s: in and out are not both, at %s from %s", f.Words(), at, from)
				}
				if deafTo(heard, at, from) && !slices.Contains(f.Nodes, at) || deafTo(said, at, from) && !slices.Contains(f.Nodes, from) {
					t.Errorf("%s: at %s from %s", f.Words(), at, from)
				}
			}
		}
	})
}

// Whatever is asked for, the same seed means the same nodes; a fault has each node
// once, in the lab's order, and never null in its JSON.
func TestResolveProperties(t *testing.T) {
	many(t, func(r *rand.Rand) {
		l := drawLab(r)
		q := drawRequest(r, l)
		f, err := Resolve(q, l, testView(l))
		if g, again := Resolve(q, l, testView(l)); !reflect.DeepEqual(f, g) || fmt.Sprint(err) != fmt.Sprint(again) {
			t.Errorf("%+v: %+v %v, and then %+v %v", q, f, err, g, again)
		}
		var wrong *MeaningError
		if err != nil && (!errors.As(err, &wrong) || wrong.Why == "" || wrong.Unknown != "") {
			t.Errorf("%+v: %v", q, err)
		}
		if err != nil {
			return
		}
		for _, list := range slices.Concat([][]string{f.Nodes, f.To}, f.Sides) {
			at := 0
			for _, n := range l.Nodes {
				if at < len(list) && list[at] == n.Name {
					at++
				}
			}
			if list == nil || at != len(list) {
				t.Errorf("%s: %q is not in the lab's order", f.Words(), list)
			}
		}
		if f.Sides == nil || f.Ports == nil {
			t.Errorf("%+v has a list that is not there", f)
		}
	})
}

// One more fault connects nobody, and the quorum is lost with it only where it was
// there without it.
func TestQuorumProperties(t *testing.T) {
	lost, kept := 0, 0
	many(t, func(r *rand.Rand) {
		l := drawLab(r)
		v := testView(l)
		for i := range v.Nodes {
			if r.IntN(6) == 0 {
				v.Nodes[i].State = []swarm.State{swarm.StateUnreachable, swarm.StateEngineDown}[r.IntN(2)]
			}
		}
		var have []Fault
		for range r.IntN(3) {
			if f, ok := drawFault(r, l); ok {
				have = append(have, f)
			}
		}
		f, ok := drawFault(r, l)
		if !ok {
			return
		}
		c := Quorum(l, v, have, f)
		if c.Connected > c.Before || c.Before > c.Managers || c.Connected < 0 || c.Majority != swarm.Majority(c.Managers) {
			t.Errorf("%s: %+v", f.Words(), c)
		}
		if c.Lost() != (c.Before >= c.Majority && c.Connected < c.Majority) {
			t.Errorf("%+v: lost is %v", c, c.Lost())
		}
		if (c.Words() != "") != (c.Lost() || c.Leader != "" || c.Late != "") {
			t.Errorf("%+v: %q", c, c.Words())
		}
		if c.Leader != "" && c.Leader != v.Leader {
			t.Errorf("%+v, and %s leads", c, v.Leader)
		}
		if c.Lost() && len(have) == 0 && v.Leader != "" && c.Before == c.Managers && c.Leader == "" {
			t.Errorf("%s: the quorum is lost, and the leader has it: %+v", f.Words(), c)
		}
		// A second time it costs nothing.
		if again := Quorum(l, v, append(slices.Clone(have), f), f); f.Network() && (again.Before != c.Connected || again.Connected != c.Connected || again.Lost() || again.Leader != "") {
			t.Errorf("%s twice: %+v, and then %+v", f.Words(), c, again)
		}
		if c.Lost() {
			lost++
		} else {
			kept++
		}
	})
	if lost < 20 || kept < 20 {
		t.Errorf("lost %d times, kept %d times", lost, kept)
	}
}

// Nodes that are killed, frozen or without an engine are as those that do not answer.
func TestQuorumDown(t *testing.T) {
	many(t, func(r *rand.Rand) {
		l := drawLab(r)
		down := drawNames(r, l)
		v, w := testView(l), testView(l)
		for i, n := range w.Nodes {
			if slices.Contains(down, n.Name) {
				w.Nodes[i].State = swarm.StateUnreachable
			}
		}
		nothing := Fault{Kind: Kill}
		want := Quorum(l, w, nil, nothing).Before
		for _, kind := range []Kind{Kill, Freeze, StopEngine} {
			if got := Quorum(l, v, nil, Fault{Kind: kind, Nodes: down}); got.Connected != want {
				t.Errorf("%s %v: %+v, want %d", kind, down, got, want)
			}
		}
	})
}

func TestNetworkAndPower(t *testing.T) {
	for _, c := range []struct {
		kind           Kind
		network, power bool
	}{
		{Partition, true, false}, {Isolate, true, false}, {Bridge, true, false}, {Block, true, false}, {Loss, true, false},
		{Kill, false, true}, {Freeze, false, false}, {StopEngine, false, false}, {Disk, false, false}, {Clock, false, false},
	} {
		f := Fault{Kind: c.kind}
		if f.Network() != c.network || f.Power() != c.power {
			t.Errorf("%s: network %v, power %v", c.kind, f.Network(), f.Power())
		}
	}
}

func testState(t *testing.T) *lab.State {
	t.Helper()
	s, err := lab.OpenState(t.TempDir(), "dca", lab.Owner{})
	must(t, err)
	must(t, s.Create())
	return s
}

// A journal is played with: faults begin, are applied, are healed, and are written and
// read. No id is ever given twice.
func TestJournalProperties(t *testing.T) {
	many(t, func(r *rand.Rand) {
		l := drawLab(r)
		var j Journal
		given := map[string]string{} // the words of each id
		now := time.Unix(1000, 0).UTC()
		for range 30 {
			now = now.Add(time.Second)
			switch r.IntN(4) {
			case 0, 1:
				f, ok := drawFault(r, l)
				if !ok {
					return
				}
				f.Begun = now
				if r.IntN(3) > 0 {
					f.Ends = at(now.Add(time.Duration(1+r.IntN(20)) * time.Second))
				}
				same := slices.IndexFunc(j.Faults, f.Same)
				next, length := j.NextID(f), len(j.Faults)
				g, again := j.Begin(f)
				if g.ID != next || again != (same >= 0) || g.Words() != f.Words() || g.Ends != f.Ends || g.Active != (again && j.Faults[max(same, 0)].Active) {
					t.Errorf("%+v has begun as %+v, again %v, announced as %s", f, g, again, next)
				}
				if again && (len(j.Faults) != length || given[g.ID] != f.Words() || j.Faults[same].ID != g.ID || g.Begun.Equal(now)) {
					t.Errorf("%s again, as %+v", f.Words(), g)
				}
				if _, there := given[g.ID]; !again && (there || len(j.Faults) != length+1 || !g.Begun.Equal(now)) {
					t.Errorf("%s: the id %s is given again", f.Words(), g.ID)
				}
				given[g.ID] = f.Words()
				if h, known := j.Get(g.ID); !known || !reflect.DeepEqual(g, h) {
					t.Errorf("%+v is not in the journal, but %+v", g, h)
				}
			case 2:
				if len(j.Faults) > 0 {
					id := j.Faults[r.IntN(len(j.Faults))].ID
					j.Applied(id, time.Unix(1e9, 0).UTC())
					if f, _ := j.Get(id); !f.Active {
						t.Errorf("%s is applied, and not active", id)
					}
				}
			case 3:
				if len(j.Faults) > 0 {
					id := j.Faults[r.IntN(len(j.Faults))].ID
					j.Healed(id, "f0", "nonsense")
					if f, known := j.Get(id); !known || f.ID != "" {
						t.Errorf("%s is healed: %+v, %v", id, f, known)
					}
				}
			}
			there := j.Now(now)
			for _, f := range j.Faults {
				if slices.ContainsFunc(there, func(g Fault) bool { return g.ID == f.ID }) != (f.Power() || f.Ends == nil || f.Ends.After(now)) {
					t.Errorf("%s ends at %v, and now, at %v, there are %v", f.ID, f.Ends, now, Explained(there))
				}
			}
		}
		for _, id := range []string{"", "f", "f0", "f01", "f-1", "F1", idOf(j.Last + 1)} {
			if f, known := j.Get(id); known || f.ID != "" {
				t.Errorf("%q is known: %+v", id, f)
			}
		}
	})
}

func TestJournalWriteAndRead(t *testing.T) {
	s := testState(t)
	j, err := ReadJournal(s)
	must(t, err)
	if j.Last != 0 || len(j.Faults) != 0 {
		t.Errorf("a lab without a journal has %+v", j)
	}
	must(t, j.Write(s)) // an empty one
	if data, err := s.ReadFile(journalFile); err != nil || !strings.Contains(string(data), `"faults": []`) {
		t.Errorf("an empty journal is %s, %v", data, err)
	}
	r := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // lots that can be drawn again
	for range 50 {                   // each is on the disk when Write returns, which takes its time
		l := drawLab(r)
		for range 1 + r.IntN(4) {
			if f, ok := drawFault(r, l); ok {
				f.Begun = time.Unix(r.Int64N(1<<32), r.Int64N(1e9)).UTC()
				if r.IntN(2) == 0 {
					f.Ends = at(f.Begun.Add(DefaultFor))
				}
				g, _ := j.Begin(f)
				if r.IntN(2) == 0 {
					j.Applied(g.ID, time.Unix(1e9, 0).UTC())
				}
			}
		}
		must(t, j.Write(s))
		got, err := ReadJournal(s)
		must(t, err)
		if !reflect.DeepEqual(got, j) {
			t.Fatalf("written\n%+v\nand read\n%+v", j, got)
		}
		if len(j.Faults) > 0 {
			j.Healed(j.Faults[r.IntN(len(j.Faults))].ID)
		}
	}
}

// What cannot be read as a journal is told of, whatever is wrong with it, and a new
// one can be begun.
func TestJournalDamaged(t *testing.T) {
	s := testState(t)
	j := Journal{Format: journalFormat}
	j.Begin(Fault{Kind: Kill, Nodes: []string{"m1"}, Asked: "kill m1"})
	must(t, j.Write(s))
	whole, err := s.ReadFile(journalFile)
	must(t, err)
	damaged := []string{"", "x", "null", "[]", "{}", `{"format":0}`, `{"format":2,"last":1,"faults":[]}`, `{"format":1,"last":"one"}`, `{"format":1,"faults":{}}`, string(whole) + "{}"}
	for cut := 0; cut < len(whole)-2; cut += 7 { // as a disk that is full leaves it
		damaged = append(damaged, string(whole[:cut]))
	}
	for _, text := range damaged {
		must(t, os.WriteFile(filepath.Join(s.Dir(), journalFile), []byte(text), 0o600))
		got, err := ReadJournal(s)
		var e *trouble.Error
		if !errors.As(err, &e) || e.ID != "faults-unreadable" || len(e.Next) == 0 || !strings.Contains(e.Where, journalFile) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if !reflect.DeepEqual(got, Journal{}) {
			t.Errorf("%q: with an error, it gives %+v", text, got)
		}
	}
	must(t, Journal{}.Write(s))
	if _, err := ReadJournal(s); err != nil {
		t.Error(err)
	}
}

// Machines that are started have power again, and nothing else changes.
func TestJournalOn(t *testing.T) {
	l := testLab("mmmww")
	begin := func() *Journal {
		var j Journal
		for _, typed := range []string{"kill m1,m2", "kill w4", "freeze m1", "partition m1", "stop-engine w4"} {
			f := resolved(t, typed, l, 1)
			f.On = f.Affected(l)
			j.Begin(f)
		}
		return &j
	}
	for _, c := range []struct {
		nodes string
		want  string
	}{
		{"", "f1 kill m1, m2; f2 kill w4; f3 freeze m1; f4 partition m1 | m2, m3, w4, w5; f5 stop-engine w4"},
		{"m3 w5", "f1 kill m1, m2; f2 kill w4; f3 freeze m1; f4 partition m1 | m2, m3, w4, w5; f5 stop-engine w4"},
		{"m1", "f1 kill m2; f2 kill w4; f3 freeze m1; f4 partition m1 | m2, m3, w4, w5; f5 stop-engine w4"},
		{"w4", "f1 kill m1, m2; f3 freeze m1; f4 partition m1 | m2, m3, w4, w5; f5 stop-engine w4"},
		{"m2 w4 m1", "f3 freeze m1; f4 partition m1 | m2, m3, w4, w5; f5 stop-engine w4"},
	} {
		j := begin()
		before := slices.Clone(j.Faults[0].Nodes)
		kept := j.Faults[0]
		j.On(strings.Fields(c.nodes)...)
		if got := strings.Join(Explained(j.Faults), "; "); got != c.want {
			t.Errorf("on %q:\n got %s\nwant %s", c.nodes, got, c.want)
		}
		if !slices.Equal(kept.Nodes, before) { // a copy that somebody has is theirs
			t.Errorf("on %q: it was %v, and is %v", c.nodes, before, kept.Nodes)
		}
	}
}

// What is on nodes that are powered off is gone, and so is that their power was cut:
// they are off in order. What is on other nodes as well stays there.
func TestJournalOff(t *testing.T) {
	l := testLab("mmmww")
	for _, c := range []struct {
		nodes string
		want  string
	}{
		{"", "f1 kill m1; f2 freeze m1, m2; f3 partition m1, m2, m3 | w4, w5; f4 isolate m1 to w5; f5 stop-engine w4"},
		{"m1", "f2 freeze m2; f3 partition m1, m2, m3 | w4, w5; f4 isolate m1 to w5; f5 stop-engine w4"},
		{"m2 m1", "f3 partition m1, m2, m3 | w4, w5; f4 isolate m1 to w5; f5 stop-engine w4"},
		{"w4 w5", "f1 kill m1; f2 freeze m1, m2; f3 partition m1, m2, m3 | w4, w5; f4 isolate m1 to w5"},
		{"m1 w5", "f2 freeze m2; f3 partition m1, m2, m3 | w4, w5; f5 stop-engine w4"},
		{"m1 m2 m3 w4 w5", ""},
	} {
		var j Journal
		for _, typed := range []string{"kill m1", "freeze m1,m2", "partition managers workers", "isolate m1", "stop-engine w4"} {
			f := resolved(t, typed, l, 1)
			if f.Kind == Isolate {
				f.To = []string{"w5"}
			}
			f.On = f.Affected(l)
			j.Begin(f)
		}
		j.Off(strings.Fields(c.nodes)...)
		if got := strings.Join(Explained(j.Faults), "; "); got != c.want {
			t.Errorf("off %q:\n got %s\nwant %s", c.nodes, got, c.want)
		}
		if j.Last != 5 {
			t.Errorf("off %q: the last id is %d", c.nodes, j.Last)
		}
	}
}

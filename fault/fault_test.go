package fault

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
)

// testLab makes a lab of m (managers), w (workers) and - (in no swarm), whose nodes
// are called m1, w2, n3: by what they are, and where in the lab.
func testLab(roles string) *lab.Lab {
	l := &lab.Lab{Name: "t", Domain: "lab.example", Subnet: netip.MustParsePrefix("10.20.20.0/24")}
	for i, r := range roles {
		name := map[rune]string{'m': "m", 'w': "w", '-': "n"}[r]
		l.Nodes = append(l.Nodes, lab.Node{
			Name: fmt.Sprintf("%s%d", name, i+1), IP: netip.AddrFrom4([4]byte{10, 20, 20, byte(11 + i)}),
			Role: map[rune]lab.Role{'m': lab.RoleManager, 'w': lab.RoleWorker, '-': lab.RoleNone}[r],
		})
	}
	return l
}

// testView is a lab whose swarm is as its file says. Its first manager leads.
func testView(l *lab.Lab) swarm.View {
	var v swarm.View
	for _, n := range l.Nodes {
		node := swarm.NodeView{Name: n.Name, Hostname: l.Hostname(n), Addr: n.IP, State: swarm.StateMember, Role: n.Role}
		if n.Role == lab.RoleNone {
			node.State, node.Role = swarm.StateInactive, ""
		}
		if v.Leader == "" && n.Role == lab.RoleManager {
			v.Leader, node.Leader = n.Name, true
		}
		v.Nodes = append(v.Nodes, node)
	}
	return v
}

// at is a time that a fault ends.
func at(when time.Time) *time.Time { return &when }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// parsed reads what is typed, and wants that it can be.
func parsed(t *testing.T, typed string) Request {
	t.Helper()
	r, err := Parse(strings.Fields(typed))
	if err != nil {
		t.Fatalf("%s: %v", typed, err)
	}
	must(t, r.Check())
	return r
}

// resolved is what is typed in a lab whose swarm is as its file says.
func resolved(t *testing.T, typed string, l *lab.Lab, seed uint64) Fault {
	t.Helper()
	r := parsed(t, typed)
	r.Seed = seed
	f, err := Resolve(r, l, testView(l))
	if err != nil {
		t.Fatalf("%s: %v", typed, err)
	}
	return f
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		typed string
		want  Request // Kind, For and Asked follow from what is typed
	}{
		{"partition m1", Request{Targets: [][]string{{"m1"}}}},
		{"partition m1 m2,m3", Request{Targets: [][]string{{"m1"}, {"m2", "m3"}}}},
		{"partition a b c d", Request{Targets: [][]string{{"a"}, {"b"}, {"c"}, {"d"}}}},
		{"partition minority majority", Request{Targets: [][]string{{"minority"}, {"majority"}}}},
		{"isolate leader", Request{Targets: [][]string{{"leader"}}}},
		{"isolate m1 m2,w1", Request{Targets: [][]string{{"m1", "m2", "w1"}}}},
		{"bridge m1", Request{Targets: [][]string{{"m1"}}}},
		{"bridge m1 m2,w1 m3", Request{Targets: [][]string{{"m1"}, {"m2", "w1"}, {"m3"}}}},
		{"block m1 2377", Request{Targets: [][]string{{"m1"}}, Ports: []uint16{2377}}},
		{"block m1,w1 7946,4789,7946,1,65535", Request{Targets: [][]string{{"m1", "w1"}}, Ports: []uint16{1, 4789, 7946, 65535}}},
		{"block m1 any", Request{Targets: [][]string{{"m1"}}}},
		{"loss 20% m1", Request{Targets: [][]string{{"m1"}}, Percent: 20}},
		{"loss 0.5% m1,m2 w1", Request{Targets: [][]string{{"m1", "m2", "w1"}}, Percent: 0.5}},
		{"loss 100% managers", Request{Targets: [][]string{{"managers"}}, Percent: 100}},
		{"delay 200ms m1", Request{Targets: [][]string{{"m1"}}, Delay: 200 * time.Millisecond}},
		{"delay 1.5s±50.9ms m1,m2 w1", Request{Targets: [][]string{{"m1", "m2", "w1"}}, Delay: 1500 * time.Millisecond, Jitter: 50 * time.Millisecond}},
		{"delay 1m+-1m m1", Request{Targets: [][]string{{"m1"}}, Delay: time.Minute, Jitter: time.Minute}},
		{"rate 1mbit m1", Request{Targets: [][]string{{"m1"}}, Rate: 1_000_000}},
		{"rate 1.5Mbit workers", Request{Targets: [][]string{{"workers"}}, Rate: 1_500_000}},
		{"rate 8kbit m1", Request{Targets: [][]string{{"m1"}}, Rate: 8000}},
		{"rate 1gbit m1", Request{Targets: [][]string{{"m1"}}, Rate: 1_000_000_000}},
		{"kill m1", Request{Targets: [][]string{{"m1"}}}},
		{"kill m1 m1.lab.example", Request{Targets: [][]string{{"m1", "m1.lab.example"}}}},
		{"freeze follower", Request{Targets: [][]string{{"follower"}}}},
		{"stop-engine workers", Request{Targets: [][]string{{"workers"}}}},
		{"disk m1,w1 95%", Request{Targets: [][]string{{"m1", "w1"}}, Percent: 95}},
		{"disk leader 100%", Request{Targets: [][]string{{"leader"}}, Percent: 100}},
		{"clock m1 +2h", Request{Targets: [][]string{{"m1"}}, Offset: 2 * time.Hour}},
		{"clock m1,m2 -1m30.9s", Request{Targets: [][]string{{"m1", "m2"}}, Offset: -90 * time.Second}},
		{"clock m1 8784h", Request{Targets: [][]string{{"m1"}}, Offset: maxOffset}},
	} {
		c.want.Kind, c.want.For, c.want.Asked = Kind(strings.Fields(c.typed)[0]), DefaultFor, c.typed
		got, err := Parse(strings.Fields(c.typed))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.typed, got, err, c.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		typed []string
		want  string // is in the error
	}{
		{nil, `"" is no kind`},
		{[]string{""}, `"" is no kind`},
		{[]string{"partitoin", "m1"}, `"partitoin" is no kind`},
		{[]string{"Partition", "m1"}, `"Partition" is no kind`},
		{[]string{"partition"}, "partition of what?"},
		{[]string{"isolate"}, "isolate of what?"},
		{[]string{"bridge"}, "bridge of what?"},
		{[]string{"kill"}, "kill of what?"},
		{[]string{"freeze"}, "freeze of what?"},
		{[]string{"stop-engine"}, "stop-engine of what?"},
		{[]string{"partition", ""}, "has no name"},
		{[]string{"partition", "m1,"}, `"m1," names a node that has no name`},
		{[]string{"partition", "m1", ",m2"}, `",m2"`},
		{[]string{"isolate", "m1,,m2"}, "has no name"},
		{[]string{"block", ",", "2377"}, "has no name"},
		{[]string{"bridge", "m1", "m2"}, "a bridge has two sides, or none is named"},
		{[]string{"bridge", "m1", "m2", "m3", "m4"}, "and not 3"},
		{[]string{"loss"}, "how many packets?"},
		{[]string{"loss", "20%"}, "loss of what?"},
		{[]string{"loss", "20", "m1"}, "write 20%"},
		{[]string{"loss", "m1", "20%"}, `"m1" is no share`},
		{[]string{"loss", "%", "m1"}, `"%" is no share`},
		{[]string{"loss", "20%%", "m1"}, "is no share"},
		{[]string{"loss", "1e999%", "m1"}, "is no share"},
		{[]string{"loss", "0%", "m1"}, "more than 0%, and at most 100%"},
		{[]string{"loss", "-1%", "m1"}, "more than 0%"},
		{[]string{"loss", "100.1%", "m1"}, "at most 100%"},
		{[]string{"loss", "101%", "m1"}, "101% of the packets cannot be lost"},
		{[]string{"loss", "NaN%", "m1"}, "cannot be lost"},
		{[]string{"loss", "Inf%", "m1"}, "cannot be lost"},
		{[]string{"delay"}, "by how much?"},
		{[]string{"delay", "200ms"}, "delay of what?"},
		{[]string{"delay", "200", "m1"}, `"200" is no delay: write 200ms`},
		{[]string{"delay", "m1", "200ms"}, `"m1" is no delay`},
		{[]string{"delay", "0s", "m1"}, "1ms to 1m"},
		{[]string{"delay", "-1s", "m1"}, "is no delay"},
		{[]string{"delay", "1m1ms", "m1"}, "1ms to 1m"},
		{[]string{"delay", "50ms±51ms", "m1"}, "no more jitter than delay"},
		{[]string{"delay", "50ms±", "m1"}, "is no delay"},
		{[]string{"delay", "±50ms", "m1"}, "is no delay"},
		{[]string{"delay", "50ms±0s", "m1"}, "is no delay"},
		{[]string{"delay", "50ms+-5", "m1"}, "is no delay"},
		{[]string{"delay", "50ms±5ms±5ms", "m1"}, "is no delay"},
		{[]string{"rate"}, "of how much?"},
		{[]string{"rate", "1mbit"}, "rate of what?"},
		{[]string{"rate", "1", "m1"}, `"1" is no rate: write 1mbit`},
		{[]string{"rate", "1mb", "m1"}, "is no rate"},
		{[]string{"rate", "mbit", "m1"}, "is no rate"},
		{[]string{"rate", "7.9kbit", "m1"}, "8kbit to 1gbit"},
		{[]string{"rate", "1.1gbit", "m1"}, "8kbit to 1gbit"},
		{[]string{"rate", "NaNmbit", "m1"}, "is no rate"},
		{[]string{"rate", "-1mbit", "m1"}, "is no rate"},
		{[]string{"block"}, "block takes one node"},
		{[]string{"block", "m1"}, "block takes one node"},
		{[]string{"block", "m1", "2377", "7946"}, "block takes one node"},
		{[]string{"block", "m1", "0"}, `"0" is no port`},
		{[]string{"block", "m1", "65536"}, `"65536" is no port`},
		{[]string{"block", "m1", "-1"}, `"-1" is no port`},
		{[]string{"block", "m1", "2377,"}, `"" is no port`},
		{[]string{"block", "m1", "any,2377"}, `"any" is no port`},
		{[]string{"block", "m1", "http"}, `"http" is no port`},
		{[]string{"disk"}, "disk takes one node"},
		{[]string{"disk", "m1"}, "disk takes one node"},
		{[]string{"disk", "m1", "m2", "95%"}, "disk takes one node"},
		{[]string{"disk", "95%", "m1"}, `"m1" is no share of a disk`},
		{[]string{"disk", "m1", "95"}, `"95" is no share of a disk`},
		{[]string{"disk", "m1", "0%"}, "more than 0%, and at most 100%"},
		{[]string{"disk", "m1", "101%"}, "at most 100%"},
		{[]string{"disk", "m1", "NaN%"}, "is no share of a disk"},
		{[]string{"disk", "m1,", "95%"}, "has no name"},
		{[]string{"clock"}, "clock takes one node"},
		{[]string{"clock", "m1"}, "clock takes one node"},
		{[]string{"clock", "m1", "+2h", "m2"}, "clock takes one node"},
		{[]string{"clock", "m1", "2"}, `"2" is no time`},
		{[]string{"clock", "m1", "0s"}, `"0s" is no time`},
		{[]string{"clock", "m1", "-999ms"}, "is no time"},
		{[]string{"clock", "m1", "8784h1s"}, "a year at most"},
		{[]string{"clock", "m1", "-9000h"}, "a year at most"},
		{[]string{"clock", "m1", "+2d"}, "is no time"},
	} {
		got, err := Parse(c.typed)
		var wrong *SyntaxError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.typed, err, c.want)
		}
		if !reflect.DeepEqual(got, Request{}) {
			t.Errorf("%q: with an error, it gives %+v", c.typed, got)
		}
		if err != nil && strings.Contains(err.Error(), "%!") {
			t.Errorf("%q: Go's words, not the user's: %v", c.typed, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		r    Request
		want string // is in the error; empty wants none
	}{
		{Request{}, ""},
		{Request{For: time.Second}, ""},
		{Request{For: DefaultFor, OneWay: In}, ""},
		{Request{For: 1000 * time.Hour, OneWay: Out}, ""},
		{Request{OneWay: "both"}, `--one-way is in or out, and not "both"`},
		{Request{OneWay: "IN"}, "--one-way"},
		{Request{For: -time.Second}, "a second at least"},
		{Request{For: -1}, "a second at least"},
		{Request{For: 1}, "a second at least"},
		{Request{For: time.Second - 1}, "a second at least"},
	} {
		for _, kind := range Kinds() {
			c.r.Kind = kind
			// Not every kind has a direction, so only what is wrong whatever the
			// kind is wanted of those.
			if c.want == "" && c.r.OneWay != Both && kind != Isolate {
				continue
			}
			err := c.r.Check()
			var wrong *SyntaxError
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%+v: %v", c.r, err)
			case c.want != "" && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%+v: %v, want %q", c.r, err, c.want)
			}
		}
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct{ roles, typed, want string }{
		// Names, in the lab's order and each once.
		{"mmmww", "isolate m1", "isolate m1"},
		{"mmmww", "isolate w5,m2 m2.lab.example,w5.lab.example", "isolate m2, w5"},
		{"mmmww", "kill m3.lab.example", "kill m3"},
		{"mm-", "freeze n3", "freeze n3"},
		// Words.
		{"wmmm", "isolate leader", "isolate m2"},
		{"mmmww", "stop-engine managers", "stop-engine m1, m2, m3"},
		{"mmmww", "kill workers", "kill w4, w5"},
		{"mm-w", "kill workers", "kill w4"},
		{"mw", "isolate leader workers", "isolate m1, w2"},
		{"mm", "kill follower", "kill m2"},
		{"m", "kill random", "kill m1"},
		{"m", "kill majority", "kill m1"},
		{"mm", "kill majority", "kill m1, m2"},
		// The nodes that are not named are one more side.
		{"mmm", "partition m1", "partition m1 | m2, m3"},
		{"mmmww", "partition m3,m1 w4", "partition m1, m3 | m2, w5 | w4"},
		{"mmm", "partition m1 m2,m3", "partition m1 | m2, m3"},
		{"mmm", "partition m3 m2 m1", "partition m1 | m2 | m3"},
		{"m-", "partition leader", "partition m1 | n2"},
		{"mmmww", "partition managers", "partition m1, m2, m3 | w4, w5"},
		{"mmmww", "partition managers workers", "partition m1, m2, m3 | w4, w5"},
		// Bridges.
		{"mmm", "bridge m1", "bridge m1 between m2 | m3"},
		{"mmm", "bridge leader", "bridge m1 between m2 | m3"},
		{"mmmmm", "bridge m3", "bridge m3 between m1, m4 | m2, m5"},
		{"mmmww", "bridge m2", "bridge m2 between m1, w5 | m3, w4"},
		{"mmw", "bridge m1", "bridge m1 between m2 | w3"},
		{"mww", "bridge w2", "bridge w2 between m1 | w3"},
		{"mmmw", "bridge w4", "bridge w4 between m1, m3 | m2"},
		{"mmmw", "bridge m1 m3 m2", "bridge m1 between m2 | m3"}, // w4 hears all
		{"mmmww", "bridge m1 m2,w4 m3,w5", "bridge m1 between m2, w4 | m3, w5"},
		// The rest of what is asked for goes through.
		{"mw", "block m1 2377", "block port 2377 of m1"},
		{"mw", "block m1,w2 7946,4789", "block port 4789, 7946 of m1, w2"},
		{"mw", "block workers any", "block any port of w2"},
		{"mw", "loss 12.5% m1", "loss 12.5% m1"},
		{"mw", "delay 1500ms workers", "delay 1.5s w2"},
		{"mw", "rate 1500kbit m1", "rate 1500kbit m1"},
		{"mw", "disk workers,leader 95%", "disk m1, w2 95% full"},
		{"mw", "clock leader 2h", "clock m1 +2h0m0s"},
	} {
		f := resolved(t, c.typed, testLab(c.roles), 7)
		if got := f.Words(); got != c.want {
			t.Errorf("%s in %s: %s, want %s", c.typed, c.roles, got, c.want)
		}
		if f.Kind != Kind(strings.Fields(c.typed)[0]) || f.Asked != c.typed {
			t.Errorf("%s: its kind is %q, and what was asked for %q", c.typed, f.Kind, f.Asked)
		}
		if f.ID != "" || f.Active || f.Ends != nil || !f.Begun.IsZero() {
			t.Errorf("%s: it has begun: %+v", c.typed, f)
		}
		lot := strings.Contains(c.typed, "random") || strings.Contains(c.typed, "majority") || strings.Contains(c.typed, "follower")
		if (f.Seed == 7) != lot || f.Seed != 0 && f.Seed != 7 {
			t.Errorf("%s: its seed is %d", c.typed, f.Seed)
		}
	}
}

func TestResolveTowards(t *testing.T) {
	l := testLab("mmmw")
	r := parsed(t, "loss 20% m1")
	r.To, r.OneWay = []string{"w4.lab.example", "follower", "m2", "m3"}, Out
	f, err := Resolve(r, l, testView(l))
	must(t, err)
	if got := f.Words(); got != "loss 20% m1 to m2, m3, w4 (nobody hears it)" {
		t.Error(got)
	}
	r.To = []string{"m9"}
	var wrong *MeaningError
	if _, err = Resolve(r, l, testView(l)); !errors.As(err, &wrong) || wrong.Unknown != "m9" {
		t.Errorf("towards nobody: %v", err)
	}
	r.To = []string{"m1"} // itself
	if _, err = Resolve(r, l, testView(l)); !errors.As(err, &wrong) || !strings.Contains(wrong.Why, "changes nothing") {
		t.Errorf("towards itself: %v", err)
	}
}

func TestResolveErrors(t *testing.T) {
	for _, c := range []struct{ roles, typed, want, unknown string }{
		{"mmm", "isolate m4", `lab t has no node "m4"`, "m4"},
		{"mmm", "isolate m1,m9", `"m9"`, "m9"},
		{"mmm", "isolate m1.other.example", "no node", "m1.other.example"},
		{"mmm", "kill M1", "no node", "M1"},
		{"mmm", "partition m1 m2,mx", "no node", "mx"},
		{"mmm", "bridge mx m1 m2", "no node", "mx"},
		{"mmm", "partition m1 m1", "m1 is on two sides", ""},
		{"mmm", "partition m1,m2 m3,m2.lab.example", "m2 is on two sides", ""},
		{"mmm", "partition m1 leader", "m1 is on two sides", ""},
		{"mmmw", "partition minority managers", "is on two sides", ""},
		{"mmm", "partition m1,m2,m3", "no node is left", ""},
		{"mmm", "partition managers", "no node is left", ""},
		{"m", "partition m1", "no node is left", ""},
		{"mmm", "bridge m1,m2", "a bridge is one node, and not m1, m2", ""},
		{"mmm", "bridge managers m1 m2", "a bridge is one node", ""},
		{"mmm", "bridge m1 m1,m2 m3", "m1 hears both sides, and is on neither", ""},
		{"mmm", "bridge m1 m2 m2,m3", "m2 is on two sides", ""},
		{"m", "bridge m1", "two sides", ""},
		{"mm", "bridge m1", "two sides", ""},
		{"m", "isolate m1", "isolate m1 changes nothing: it needs another node", ""},
		{"m", "loss 20% m1", "changes nothing", ""},
		{"m", "block m1 2377", "changes nothing", ""},
		{"ww", "kill leader", "leader: the swarm has no leader now", ""},
		{"mw", "kill follower", "follower: no other manager", ""},
		{"ww", "kill managers", "managers: no node of the swarm is one now", ""},
		{"--", "kill managers", "managers: no node", ""},
		{"mm-", "kill workers", "workers: no node", ""},
		{"m", "kill minority", "minority: no node", ""},
		{"mm", "kill minority", "minority: no node", ""},
		{"ww", "kill majority", "majority: no node", ""},
	} {
		l := testLab(c.roles)
		f, err := Resolve(parsed(t, c.typed), l, testView(l))
		var wrong *MeaningError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) || wrong.Unknown != c.unknown {
			t.Errorf("%s in %s: %v (%+v), want %q and the unknown name %q", c.typed, c.roles, err, f, c.want, c.unknown)
		}
		if !reflect.DeepEqual(f, Fault{}) {
			t.Errorf("%s: with an error, it gives %+v", c.typed, f)
		}
	}
}

// A node may have the name of a word, and is meant then.
func TestResolveNameBeforeWord(t *testing.T) {
	l := testLab("mmm")
	l.Nodes[2].Name = "leader"
	v := testView(l)
	f, err := Resolve(parsed(t, "kill leader"), l, v)
	must(t, err)
	if v.Leader == "leader" || f.Words() != "kill leader" {
		t.Errorf("%s, where %s leads", f.Words(), v.Leader)
	}
}

// The leader of a swarm may be a manager that the lab does not have.
func TestResolveForeignLeader(t *testing.T) {
	l := testLab("mmm")
	v := testView(l)
	v.Leader = "elsewhere"
	var wrong *MeaningError
	if _, err := Resolve(parsed(t, "kill leader"), l, v); !errors.As(err, &wrong) || wrong.Unknown != "" {
		t.Errorf("got %v", err)
	}
}

// What is drawn by lot follows from the seed, and every node has its chance.
func TestResolveByLot(t *testing.T) {
	l := testLab("mmmmmww")
	for _, c := range []struct {
		typed string
		among []string
	}{
		{"kill random", l.NodeNames()},
		{"kill follower", []string{"m2", "m3", "m4", "m5"}},
		{"kill minority", []string{"m1", "m2", "m3", "m4", "m5"}},
		{"kill majority", []string{"m1", "m2", "m3", "m4", "m5"}},
	} {
		seen := map[string]bool{}
		for seed := range uint64(300) {
			f := resolved(t, c.typed, l, seed+1)
			if again := resolved(t, c.typed, l, seed+1); !reflect.DeepEqual(f, again) {
				t.Fatalf("%s, seed %d: %+v, and then %+v", c.typed, seed+1, f, again)
			}
			if f.Seed != seed+1 {
				t.Fatalf("%s: its seed is %d", c.typed, f.Seed)
			}
			for _, name := range f.Nodes {
				seen[name] = true
				if !slices.Contains(c.among, name) {
					t.Fatalf("%s drew %s", c.typed, name)
				}
			}
		}
		if len(seen) != len(c.among) {
			t.Errorf("%s drew none but %v", c.typed, seen)
		}
	}
}

// Minority and majority of one request share no manager, and are all of them; the
// minority is as many as may fail.
func TestResolveMinorityAndMajority(t *testing.T) {
	for n := 3; n <= 9; n++ {
		l := testLab(strings.Repeat("m", n) + "ww")
		for seed := range uint64(20) {
			f := resolved(t, "partition minority majority workers", l, seed+1)
			if len(f.Sides) != 3 || min(len(f.Sides[0]), len(f.Sides[1])) != swarm.Tolerates(n) || max(len(f.Sides[0]), len(f.Sides[1])) != n-swarm.Tolerates(n) {
				t.Fatalf("of %d managers: %s", n, f.Words())
			}
			both := slices.Concat(f.Sides[0], f.Sides[1])
			slices.Sort(both)
			if want := l.NodeNames()[:n]; !slices.Equal(both, want) {
				t.Fatalf("minority and majority are %v, and the managers %v", both, want)
			}
			// In whatever order they are asked for, it is the same fault.
			for _, typed := range []string{"partition majority minority workers", "partition workers minority majority"} {
				if g := resolved(t, typed, l, seed+1); !f.Same(g) {
					t.Fatalf("seed %d: %s, and then %s", seed+1, f.Words(), g.Words())
				}
			}
		}
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		f    Fault
		want string
	}{
		{Fault{Kind: Partition, Sides: [][]string{{"m1"}, {"m2", "m3"}}}, "partition m1 | m2, m3"},
		{Fault{Kind: Isolate, Nodes: []string{"m1"}}, "isolate m1"},
		{Fault{Kind: Isolate, Nodes: []string{"m1"}, OneWay: In}, "isolate m1 (hears nobody)"},
		{Fault{Kind: Isolate, Nodes: []string{"m1"}, OneWay: Out}, "isolate m1 (nobody hears it)"},
		{Fault{Kind: Bridge, Nodes: []string{"m1"}, Sides: [][]string{{"m2", "w1"}, {"m3"}}}, "bridge m1 between m2, w1 | m3"},
		{Fault{Kind: Block, Nodes: []string{"m1"}, Ports: []uint16{2377}}, "block port 2377 of m1"},
		{Fault{Kind: Block, Nodes: []string{"m1"}, Ports: []uint16{4789, 7946}}, "block port 4789, 7946 of m1"},
		{Fault{Kind: Block, Nodes: []string{"m1", "m2"}}, "block any port of m1, m2"},
		{Fault{Kind: Loss, Nodes: []string{"m1"}, Percent: 20}, "loss 20% m1"},
		{Fault{Kind: Loss, Nodes: []string{"m1"}, Percent: 0.5, To: []string{"m2", "m3"}}, "loss 0.5% m1 to m2, m3"},
		{Fault{Kind: Delay, Nodes: []string{"m1"}, DelayMS: 200}, "delay 200ms m1"},
		{Fault{Kind: Delay, Nodes: []string{"m1"}, DelayMS: 1500, JitterMS: 50, To: []string{"m2"}}, "delay 1.5s±50ms m1 to m2"},
		{Fault{Kind: Rate, Nodes: []string{"m1"}, Rate: 1_500_000, OneWay: In}, "rate 1500kbit m1 (what it hears)"},
		{Fault{Kind: Rate, Nodes: []string{"m1"}, Rate: 8001}, "rate 8001bit m1"},
		{Fault{Kind: Kill, Nodes: []string{"m1", "m2"}}, "kill m1, m2"},
		{Fault{Kind: Freeze, Nodes: []string{"m1"}}, "freeze m1"},
		{Fault{Kind: StopEngine, Nodes: []string{"m1"}}, "stop-engine m1"},
		{Fault{Kind: Disk, Nodes: []string{"m1", "m2"}, Percent: 95}, "disk m1, m2 95% full"},
		{Fault{Kind: Clock, Nodes: []string{"m1"}, Offset: 7200}, "clock m1 +2h0m0s"},
		{Fault{Kind: Clock, Nodes: []string{"m1"}, Offset: -90}, "clock m1 -1m30s"},
	} {
		if got := c.f.Words(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Two faults are the same if they do the same to the same nodes, whenever, for however
// long, and however they were asked for.
func TestSame(t *testing.T) {
	l := testLab("mmmw")
	f := resolved(t, "partition m1", l, 1)
	g := resolved(t, "partition leader m2,m3,w4", l, 2)
	g.ID, g.Ends, g.Active = "f9", at(time.Unix(1, 0)), true
	if !f.Same(g) {
		t.Errorf("%s and %s are not the same", f.Words(), g.Words())
	}
	var all []Fault
	for _, typed := range []string{
		"partition m1", "partition m1 m2", "isolate m1", "isolate m2", "isolate m1,m2", "bridge m1", "bridge m1 m2,w4 m3",
		"block m1 2377", "block m1 7946", "block m1 2377,7946", "block m1 any", "loss 20% m1", "loss 21% m1",
		"delay 200ms m1", "delay 201ms m1", "delay 200ms±1ms m1", "rate 1mbit m1", "rate 1001kbit m1", "kill m1", "freeze m1", "stop-engine m1",
		"disk m1 95%", "disk m1 96%", "disk m2 95%", "clock m1 1h", "clock m1 -1h",
	} {
		all = append(all, resolved(t, typed, l, 1))
	}
	for _, oneWay := range []Direction{In, Out} {
		f := resolved(t, "isolate m1", l, 1)
		f.OneWay = oneWay
		all = append(all, f)
	}
	for i, f := range all {
		for j, g := range all {
			// A bridge without sides means halves, which may be named as well.
			if f.Same(g) != (i == j) && (f.Kind != Bridge || g.Kind != Bridge) {
				t.Errorf("%s, %s: Same is %v", f.Words(), g.Words(), f.Same(g))
			}
		}
	}
}

func TestOver(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		ends *time.Time
		want bool
	}{
		{nil, false}, {at(now.Add(time.Second)), false}, {at(now.Add(1)), false}, {at(now), true}, {at(now.Add(-1)), true},
	} {
		if got := (Fault{Ends: c.ends}).Over(now); got != c.want {
			t.Errorf("it ends at %v: over is %v", c.ends, got)
		}
	}
}

func TestEffects(t *testing.T) {
	l := testLab("mmmw")
	for _, c := range []struct {
		typed  string
		oneWay Direction
		at     string
		want   []string
	}{
		{"partition m1", Both, "m1", []string{"drop what arrives from m2, m3, w4"}},
		{"partition m1", Both, "m2", []string{"drop what arrives from m1"}},
		{"isolate m1", In, "m1", []string{"drop what arrives from m2, m3, w4"}},
		{"isolate m1", In, "m2", nil},
		{"isolate m1", Out, "m1", nil},
		{"isolate m1", Out, "w4", []string{"drop what arrives from m1"}},
		{"bridge m1", Both, "m1", nil},
		{"bridge m1", Both, "m2", []string{"drop what arrives from m3, w4"}},
		{"block m1 2377", In, "m1", []string{"drop what arrives for port 2377 from m2, m3, w4"}},
		{"block m1 2377,7946", In, "m1", []string{"drop what arrives for port 2377 from m2, m3, w4", "drop what arrives for port 7946 from m2, m3, w4"}},
		{"block m1 any", In, "m1", []string{"drop what arrives from m2, m3, w4"}},
		{"loss 12.5% m1", Both, "m2", []string{"drop 12.5% of what arrives from m1"}},
		{"loss 100% m1", Both, "m2", []string{"drop what arrives from m1"}},
		{"delay 200ms±50ms m1", Both, "m2", []string{"delay by 200ms±50ms what arrives from m1"}},
		{"delay 200ms m1", In, "m1", []string{"delay by 200ms what arrives from m2, m3, w4"}},
		{"rate 1mbit m1", Both, "m1", []string{"let through 1mbit a second of what arrives from m2, m3, w4"}},
		{"kill m1", Both, "m1", []string{"cut its power"}},
		{"freeze m1", Both, "m1", []string{"freeze its engine, whose containers run on"}},
		{"stop-engine m1", Both, "m1", []string{"stop its engine, with its containers"}},
		{"disk m1 95%", Both, "m1", []string{"fill the file system of /var/lib/docker until 95% of it are used"}},
		{"clock m1 -2h", Both, "m1", []string{"set its clock by -2h0m0s"}},
	} {
		f := resolved(t, c.typed, l, 1)
		f.OneWay = c.oneWay
		if got := f.Effects(l, c.at); !slices.Equal(got, c.want) {
			t.Errorf("%s at %s: %q, want %q", f.Words(), c.at, got, c.want)
		}
		if f.Network() && slices.Contains(f.Affected(l), c.at) != (c.want != nil) {
			t.Errorf("%s is on %v", f.Words(), f.Affected(l))
		}
	}
}

// The lines that iptables gets, which are also those that a person is told to type.
func TestLines(t *testing.T) {
	l := testLab("mm")
	for _, c := range []struct {
		typed string
		want  string // joined by " / "
	}{
		{"isolate m1", "-A DCALAB-f3 -s 10.20.20.12/32 -j DROP"},
		{"partition m1", "-A DCALAB-f3 -s 10.20.20.12/32 -j DROP"},
		{"block m1 any", "-A DCALAB-f3 -s 10.20.20.12/32 -j DROP"},
		{"block m1 2377", "-A DCALAB-f3 -s 10.20.20.12/32 -p tcp -m tcp --dport 2377 -j DROP"},
		{"block m1 4789", "-A DCALAB-f3 -s 10.20.20.12/32 -p udp -m udp --dport 4789 -j DROP"},
		{"block m1 7946", "-A DCALAB-f3 -s 10.20.20.12/32 -p tcp -m tcp --dport 7946 -j DROP / -A DCALAB-f3 -s 10.20.20.12/32 -p udp -m udp --dport 7946 -j DROP"},
		{"loss 12.5% m1", "-A DCALAB-f3 -s 10.20.20.12/32 -m statistic --mode random --probability 0.125 -j DROP"},
		{"loss 100% m1", "-A DCALAB-f3 -s 10.20.20.12/32 -j DROP"},
		{"delay 200ms m1", "10.20.20.12"},
		{"rate 1mbit m1", "10.20.20.12"},
		{"kill m1", ""},
	} {
		f := resolved(t, c.typed, l, 1)
		f.ID = "f3"
		if got := strings.Join(f.lines(l, "m1"), " / "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.typed, got, c.want)
		}
		for _, systemd := range []bool{false, true} {
			typed := fmt.Sprint(f.Typed(l, systemd))
			for line := range strings.SplitSeq(c.want, " / ") {
				if !strings.Contains(typed, line) {
					t.Errorf("%s: it is typed as %s", c.typed, typed)
				}
			}
			if undone := f.TypedHeal(l, systemd); f.Kind != Kill && len(undone) == 0 {
				t.Errorf("%s: nothing undoes it", c.typed)
			}
		}
	}
}

func TestParseFound(t *testing.T) {
	got, err := parseFound("f1 net 299 applied\nf2 freeze - missing\nf10 stop-engine -3 applied\nf11 net 0 missing\n")
	must(t, err)
	want := []Found{{"f1", 299 * time.Second, true}, {"f2", -1, false}, {"f10", 0, true}, {"f11", 0, false}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, err := parseFound(""); len(got) != 0 || err != nil {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	for _, text := range []string{"f1", "\n", "f1 net 3 applied x\n", "f1 net soon applied\n", "f1 net 99999999999 applied\n"} {
		if got, err := parseFound(text); err == nil {
			t.Errorf("%q: it was understood as %v", text, got)
		}
	}
}

func TestCost(t *testing.T) {
	for _, c := range []struct {
		roles  string
		down   string
		have   string // a fault that is there already; may be empty
		typed  string
		before int
		after  int
		leader string
		words  string // are in Words; empty wants none
	}{
		{"mmm", "", "", "partition m1", 3, 2, "m1", "the leader m1 is cut off"},
		{"mmm", "", "", "partition m2", 3, 2, "", ""},
		{"mmm", "", "", "partition m1 m2 m3", 3, 1, "m1", "at most 1 of 3 managers stay connected, and the majority is 2"},
		{"mmm", "", "", "bridge m1", 3, 3, "", ""},
		{"mmm", "", "", "bridge m2", 3, 3, "", ""},
		{"mmmmm", "", "", "bridge m1", 5, 5, "", ""},
		{"mmmmm", "", "", "partition m1,m2", 5, 3, "m1", "a new one"},
		{"mmmmm", "", "partition m1,m2", "kill m3", 3, 2, "", "the quorum will be lost"}, // the leader is cut off already
		{"mmm", "", "", "kill m1", 3, 2, "m1", "the leader m1"},
		{"mmm", "", "", "freeze m1", 3, 2, "m1", "the leader m1"},
		{"mmm", "", "", "stop-engine m1", 3, 2, "m1", "the leader m1"},
		{"mmm", "", "", "kill m1,m2", 3, 1, "m1", "the quorum will be lost"},
		{"mmm", "m2", "kill m2", "freeze m3", 2, 1, "m1", "the quorum will be lost"},
		{"mmm", "m3", "", "kill m2", 2, 1, "m1", "the quorum will be lost"},
		{"mmm", "m2 m3", "", "kill m1", 1, 0, "", ""}, // it is lost already
		{"mmm", "m2", "kill m2", "loss 50% m1", 2, 2, "", ""},
		{"mmm", "", "", "loss 100% m1", 3, 2, "m1", "the leader m1"},
		{"mmm", "", "", "loss 99.9% managers", 3, 3, "", ""},
		{"mmm", "", "", "rate 8kbit managers", 3, 3, "", ""},
		{"mmm", "", "", "block managers 2377", 3, 1, "m1", "the quorum will be lost"},
		{"mmm", "", "", "block managers any", 3, 1, "m1", "the quorum will be lost"},
		{"mmm", "", "", "block managers 7946,4789", 3, 3, "", ""},
		{"mmmww", "", "", "kill workers", 3, 3, "", ""},
		{"mmm", "", "", "disk managers 100%", 3, 3, "", ""}, // it is not known before
		{"mmm", "", "", "clock managers 2h", 3, 3, "", ""},
		{"mw", "", "", "partition managers", 1, 1, "", ""},
		{"m", "", "", "kill m1", 1, 0, "m1", "at most 0 of 1 manager stay"},
		{"ww", "", "", "kill w1", 0, 0, "", ""},
	} {
		l := testLab(c.roles)
		v := testView(l)
		for i, n := range v.Nodes {
			if slices.Contains(strings.Fields(c.down), n.Name) {
				v.Nodes[i].State = swarm.StateUnreachable
			}
		}
		var have []Fault
		if c.have != "" {
			have = append(have, resolved(t, c.have, l, 1))
		}
		f := resolved(t, c.typed, l, 1)
		got := Quorum(l, v, have, f)
		n := strings.Count(c.roles, "m")
		if want := (Cost{Managers: n, Majority: swarm.Majority(n), Before: c.before, Connected: c.after, Leader: c.leader}); got != want {
			t.Errorf("%s in %s, without %q, beside %q:\n got %+v\nwant %+v", c.typed, c.roles, c.down, c.have, got, want)
		}
		if words := got.Words(); !strings.Contains(words, c.words) || (words == "") != (c.words == "") {
			t.Errorf("%s in %s: %q, want %q", c.typed, c.roles, words, c.words)
		}
	}
}

// A delay cuts nobody off, and managers do not wait for ever.
func TestCostOfDelay(t *testing.T) {
	for _, c := range []struct{ have, typed, want string }{
		{"", "delay 999ms managers", ""},
		{"", "delay 1s m2", "those of m2 to the leader m1 take longer: they count as unreachable"},
		{"", "delay 1s m1", "those of m2, m3 to the leader m1 take longer: it keeps the lead, and nothing can be changed"},
		{"", "delay 1m w4", ""},
		{"delay 900ms m2", "delay 100ms m1", "those of m2 "},
		{"delay 1s m2", "delay 1s m2", ""},
		{"delay 900ms m1", "loss 1% m1", ""},
		{"delay 1s m2", "delay 1s m3", "nothing can be changed"},
	} {
		l := testLab("mmmw")
		var have []Fault
		if c.have != "" {
			have = append(have, resolved(t, c.have, l, 1))
		}
		got := Quorum(l, testView(l), have, resolved(t, c.typed, l, 1))
		if words := got.Words(); !strings.Contains(words, c.want) || (words == "") != (c.want == "") || got.Lost() {
			t.Errorf("%s beside %q: %q, want %q", c.typed, c.have, words, c.want)
		}
	}
}

func TestExplained(t *testing.T) {
	got := Explained([]Fault{{ID: "f1", Kind: Kill, Nodes: []string{"m1"}}, {Kind: Freeze, Nodes: []string{"m2"}}})
	if !slices.Equal(got, []string{"f1 kill m1", "freeze m2"}) {
		t.Errorf("%q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, typed := range []string{
		"", "partition m1 m2,m3", "isolate leader", "bridge m1", "bridge m1 a b", "block m1 2377,7946", "block m1 any", "loss 20% m1",
		"loss 1e-300% m1", "kill m1,", "freeze , ", "stop-engine x y z", "loss", "block m1 22", "loss 0x1p-2% m1", "delay 200ms±50ms m1", "delay 1h+-1h m1", "rate 1mbit m1", "rate 1e300gbit m1", "disk m1 95%", "clock m1 -2h", "clock m1 1ns",
	} {
		f.Add(strings.ReplaceAll(typed, " ", "\x00"))
	}
	f.Fuzz(func(t *testing.T, typed string) {
		args := strings.Split(typed, "\x00") // as the arguments of a program are
		r, err := Parse(args)
		_ = r.Check()
		if err != nil {
			var wrong *SyntaxError
			if !errors.As(err, &wrong) || wrong.Why == "" {
				t.Fatalf("%q: %v", args, err)
			}
			return
		}
		if !slices.Contains(Kinds(), r.Kind) || len(r.Targets) == 0 || r.Asked != strings.Join(args, " ") || r.For != DefaultFor {
			t.Fatalf("%q: %+v", args, r)
		}
		for _, target := range r.Targets {
			if len(target) == 0 || slices.Contains(target, "") {
				t.Fatalf("%q: a target is empty: %q", args, r.Targets)
			}
		}
		if r.Kind != Partition && r.Kind != Bridge && len(r.Targets) != 1 || r.Kind == Bridge && len(r.Targets) != 1 && len(r.Targets) != 3 {
			t.Fatalf("%q: targets %q", args, r.Targets)
		}
		if (r.Kind == Loss || r.Kind == Disk) != (r.Percent != 0) || (r.Kind == Clock) != (r.Offset != 0) || (r.Kind == Delay) != (r.Delay != 0) || (r.Kind == Rate) != (r.Rate != 0) || r.Jitter > r.Delay || !(r.Percent >= 0 && r.Percent <= 100) {
			t.Fatalf("%q: %v%%, %v", args, r.Percent, r.Offset)
		}
		if slices.Contains(r.Ports, 0) || !slices.IsSorted(r.Ports) || r.Kind != Block && r.Ports != nil {
			t.Fatalf("%q: ports %v", args, r.Ports)
		}
		// What is understood means something in a lab, or is refused: no panic.
		l := testLab("mmmww")
		if g, err := Resolve(r, l, testView(l)); err == nil {
			_, _ = g.Words(), Quorum(l, testView(l), nil, g)
		}
	})
}

func FuzzFound(f *testing.F) {
	for _, text := range []string{"", "f1 net 299 applied\n", "f1 net - missing\nf2 freeze -1 applied", "f1", "\n\n", "f1 net 9999999999 applied\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFound(text)
		if err != nil {
			if got != nil {
				t.Fatalf("%q: %v, and %v", text, err, got)
			}
			return
		}
		if lines := strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1; text != "" && len(got) != lines {
			t.Fatalf("%q: %d faults", text, len(got))
		}
		for _, found := range got {
			if found.ID == "" || strings.ContainsAny(found.ID, " \n\t") || found.Left < -1 {
				t.Fatalf("%q: %+v", text, found)
			}
		}
	})
}

package prove

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/session/store"
	"github.com/dcalab/dcalab/trouble"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a run with one of everything.
func sample() Ran {
	object := func(name string, ops ...Operation) []Operation {
		for i := range ops {
			ops[i].Object = name
		}
		return ops
	}
	lost := at(2, Write, Unknown, "a", "c", 12, 17)
	lost.Error = "m3: config update: no answer within 5s"
	failed := at(2, Read, Failed, "", "", 19, 24)
	failed.Error = "m3: config inspect: no answer within 5s"
	ops := append(object("o",
		at(0, Write, OK, Initial, "a", 1, 1.2), at(1, Read, OK, "", "a", 2, 2.1), lost, failed,
		at(0, Write, OK, "a", "b", 14, 14.5), at(1, Write, Refused, "a", "d", 14.1, 14.3), at(2, Read, OK, "", "a", 18, 18.2),
		at(0, Read, OK, "", "b", 28, 28.1), at(2, Read, OK, "", "b", 29, 29.2),
	), object("p", at(1, Write, OK, Initial, "<&>", 5, 5.5), at(1, Read, OK, "", "<&>", 29, 29.1))...)
	f := fault.Fault{ID: "f1", Kind: fault.Partition, Asked: "partition m3", Sides: [][]string{{"m3"}, {"m1", "m2"}}, On: []string{"m1", "m2", "m3"}}
	return Ran{
		Began: time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC), For: 30 * time.Second, Took: 30 * time.Second, Managers: []string{"m1", "m2", "m3"},
		Faults: []Applied{{f, 10 * time.Second, 25 * time.Second}}, Missed: []string{"disk leader 95%: not here"},
		Elections: []Election{{12300 * time.Millisecond, "m2", 4}},
		History:   History{Objects: []string{"o", "p"}, Operations: ops, Final: map[string]string{"o": "b", "p": "<&>"}},
		Views: map[string]map[string]string{
			"o": {"m1": "b", "m2": "b", "m3": "b"}, "p": {"m1": "<&>", "m2": "<&>", "m3": "<&>"},
		},
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := "testdata/" + file
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Error(d)
	}
}

func TestReportGolden(t *testing.T) {
	var b bytes.Buffer
	if err := NewReport("dca", 7, sample()).Write(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.golden", b.Bytes())
}

func TestPageGolden(t *testing.T) {
	var b bytes.Buffer
	if err := WritePage(&b, NewReport("dca", 7, sample()), sample()); err != nil {
		t.Fatal(err)
	}
	golden(t, "page.golden.html", b.Bytes())
	for _, never := range []string{"<script", "http:", "https:", "url(http", "@import", "<link", "<&>"} {
		if bytes.Contains(b.Bytes(), []byte(never)) {
			t.Errorf("the page has %q in it", never)
		}
	}
}

func TestWhatAVerdictIsAsAnError(t *testing.T) {
	lost := sample()
	lost.Final = map[string]string{"o": "a", "p": "<&>"}
	none := sample()
	none.Final = nil
	missed := sample()
	missed.Faults = nil
	unlike := sample()
	unlike.Views["o"]["m3"] = "a"
	for name, c := range map[string]struct {
		ran   Ran
		state State
		exit  int
		agree bool
	}{
		"kept": {sample(), Kept, trouble.ExitOK, true}, "lost": {lost, Violated, trouble.ExitUnfinished, true},
		"not read": {none, Undecided, trouble.ExitUnfinished, false}, "no fault could be applied": {missed, Undecided, trouble.ExitUnfinished, true},
		"managers differ": {unlike, Kept, trouble.ExitOK, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReport("dca", 7, c.ran)
			if r.State != c.state || trouble.ExitStatus(r.Trouble()) != c.exit || r.Agree != c.agree {
				t.Errorf("%s, exit %d, agree %v", r.State, trouble.ExitStatus(r.Trouble()), r.Agree)
			}
		})
	}
}

func TestSchedule(t *testing.T) {
	words := func(total time.Duration, seed uint64, asked ...string) (out []string) {
		t.Helper()
		var requests []fault.Request
		for _, line := range asked {
			r, err := ParseFault(line)
			if err != nil {
				t.Fatal(err)
			}
			requests = append(requests, r)
		}
		list, err := Schedule(total, seed, requests)
		if err != nil {
			t.Fatal(err)
		}
		end := time.Duration(0)
		for _, p := range list {
			if p.At < end+rest || p.At+p.For+rest > total {
				t.Errorf("%s at %s for %s, of %s", p.Asked, p.At, p.For, total)
			}
			end = p.At + p.For
			out = append(out, fmt.Sprintf("%s %s %s", p.At, p.For, p.Asked))
		}
		return out
	}
	if d := cmp.Diff([]string{"5s 25s freeze leader", "40s 25s loss 5% m1 --to m2", "1m15s 20s freeze leader"}, words(100*time.Second, 1, "freeze leader", "loss 5% m1 --to m2")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"5s 10s partition leader"}, words(LeastTime, 1)); d != "" {
		t.Error(d)
	}
	if len(words(LeastTime-1, 1)) != 0 {
		t.Error("a fault in less than the least time")
	}
	long := words(10*time.Minute, 9)
	if d := cmp.Diff(long, words(10*time.Minute, 9)); d != "" {
		t.Error("the same seed has other faults:", d)
	}
	if cmp.Equal(long, words(10*time.Minute, 10)) {
		t.Error("another seed has the same faults")
	}
}

func TestParseFault(t *testing.T) {
	r, err := ParseFault("isolate leader --one-way in --to=m1,m2")
	if err != nil || r.Kind != fault.Isolate || r.OneWay != fault.In || !cmp.Equal(r.To, []string{"m1", "m2"}) || r.Asked != "isolate leader --one-way in --to=m1,m2" {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := ParseFault("delay 50ms leader --to m2 --one-way out"); err != nil || r.OneWay != fault.Out || !cmp.Equal(r.To, []string{"m2"}) {
		t.Errorf("%+v %v", r, err)
	}
	for _, line := range []string{"", "explode m1", "isolate", "isolate m1 --one-way up", "freeze m1 --one-way in", "isolate m1 --for 2m", "isolate m1 --one-way"} {
		if _, err := ParseFault(line); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}

func TestOutcomes(t *testing.T) {
	for want, kinds := range map[Outcome][]error{
		Refused: {engine.ErrOutOfSequence}, Failed: {engine.ErrNotManager, engine.ErrLocked, store.ErrNotSent},
		Unknown: {engine.ErrNoLeader, engine.ErrUnreachable, engine.ErrHangs, engine.ErrPreparing}, OK: {nil},
	} {
		for _, kind := range kinds {
			if got := outcomeOf(kind); got != want {
				t.Errorf("%v: %s", kind, got)
			}
		}
	}
}

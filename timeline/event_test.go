package timeline

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm/raft"
)

func change(version uint64, action raft.Action, o raft.Object, on string) Event {
	return Event{Source: SourceSwarm, Kind: KindChange, Node: "m1", Change: &Change{Version: version, Action: action, Object: o, On: on}}
}

func count(n uint64) *uint64 { return &n }

func TestWords(t *testing.T) {
	task := raft.Object{Kind: raft.KindTask, ID: "id-t", Name: "web.2", State: "running", Desired: "running", Node: "id-a"}
	going := task
	going.Desired = "shutdown"
	refused := task
	refused.State, refused.Desired, refused.Message = "rejected", "shutdown", "No such image: web:1"
	lost := raft.Object{Kind: raft.KindNode, ID: "id-a", Name: "a.lab.example", State: "down", Role: "manager", Desired: "worker", Availability: "active", Message: "heartbeat failure"}
	web := raft.Object{Kind: raft.KindService, ID: "id-w", Name: "web", Replicas: count(1)}
	global := raft.Object{Kind: raft.KindService, ID: "id-g", Name: "everywhere", State: "rollback_paused"}
	for want, e := range map[string]Event{
		"task web.2: running, on a":                                                          change(9, raft.ActionUpdate, task, "a"),
		"task web.2: running, on id-a, to be shut down":                                      change(9, raft.ActionUpdate, going, ""),
		"task web.2: rejected, on a, to be shut down, No such image: web:1":                  change(9, raft.ActionUpdate, refused, "a"),
		"task web.2 removed":                                                                 change(9, raft.ActionRemove, task, "a"),
		"node a: down, manager, to be worker, active, heartbeat failure":                     change(9, raft.ActionUpdate, lost, "a"),
		"node a.lab.example created: down, manager, to be worker, active, heartbeat failure": change(9, raft.ActionCreate, lost, ""),
		"service web created: 1 replica":                                                     change(9, raft.ActionCreate, web, ""),
		"service everywhere: update rollback paused":                                         change(9, raft.ActionUpdate, global, ""),
		"network id-n": change(9, raft.ActionUpdate, raft.Object{Kind: raft.KindNetwork, ID: "id-n"}, ""),
		"term 3, votes for itself; committed 8, last entry 9": {Kind: KindTerm, Node: "m1", Raft: &Raft{Term: 3, Vote: "m1", Commit: 8, LastIndex: 9}},
		"term 3, votes for m2; committed 8, last entry 9":     {Kind: KindTerm, Node: "m1", Raft: &Raft{Term: 3, Vote: "m2", Commit: 8, LastIndex: 9}},
		"term 3, no vote yet; committed 8, last entry 9":      {Kind: KindState, Node: "m1", Raft: &Raft{Term: 3, Commit: 8, LastIndex: 9}},
		"leader, elected in term 3":                           {Kind: KindLeader, Node: "m1", Raft: &Raft{Term: 3}},
		"not a manager any more":                              {Kind: KindLeft, Node: "m1"},
		"machine halted":                                      {Kind: KindMachine, Node: "m1", Machine: machine.StatusHalted},
		"machine unknown: no such host":                       {Kind: KindMachine, Machine: machine.StatusUnknown, Text: "no such host"},
		"stopping":                                            {Kind: KindStep, Node: "m1", Text: "stopping"},
		"engine up: Docker 20.10.24":                          {Kind: KindEngine, Node: "m1", Engine: engine.LifeUp, Text: "Docker 20.10.24"},
		"engine hangs":                                        {Kind: KindEngine, Node: "m1", Engine: engine.LifeHangs},
		"container by-hand started":                           {Kind: KindStarted, Node: "w1", Text: "by-hand"},
		"container by-hand ended, exit status 137":            {Kind: KindEnded, Node: "w1", Text: "by-hand ended, exit status 137"},
	} {
		if got := e.Words(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		text, err := json.Marshal(e)
		var back Event
		if err != nil || json.Unmarshal(text, &back) != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("%s: not the same again: %s, %v", want, text, err)
		}
	}
}

func TestStory(t *testing.T) {
	task := func(state string) raft.Object {
		return raft.Object{Kind: raft.KindTask, ID: "id-t", Name: "web.2", State: state, Desired: "running"}
	}
	net := raft.Object{Kind: raft.KindNetwork, ID: "id-n", Name: "ingress"}
	var s Story
	for i, step := range []struct {
		e    Event
		want bool
	}{
		{Event{Kind: KindLog, Raft: &Raft{Term: 2}}, false},
		{Event{Kind: KindTerm, Raft: &Raft{Term: 3}}, true},
		{change(7, raft.ActionCreate, task("new"), ""), true},
		{change(7, raft.ActionCreate, task("new"), ""), false}, // another manager
		{change(9, raft.ActionUpdate, task("running"), ""), true},
		{change(8, raft.ActionUpdate, task("starting"), ""), false}, // one that is late
		{change(12, raft.ActionUpdate, task("running"), ""), false}, // of which nothing is shown
		{change(13, raft.ActionUpdate, task("failed"), ""), true},
		{change(13, raft.ActionRemove, task("failed"), ""), true},
		{change(13, raft.ActionRemove, task("failed"), ""), false},
		{change(3, raft.ActionUpdate, net, ""), false},
		{change(4, raft.ActionRemove, net, ""), true},
	} {
		if got := s.New(step.e); got != step.want {
			t.Errorf("step %d, %s: new %t", i, step.e.Words(), got)
		}
	}
}

// TestNothingElseIsKept: what an object may have of secrets has no place in an event.
func TestNothingElseIsKept(t *testing.T) {
	allowed := strings.Fields("Kind ID Name State Desired Role Availability Service Node Replicas Message Ports")
	o := reflect.TypeFor[raft.Object]()
	for i := range o.NumField() {
		if !slices.Contains(allowed, o.Field(i).Name) {
			t.Errorf("%s: may it hold a secret? It is written to a file", o.Field(i).Name)
		}
	}
}

func TestRecording(t *testing.T) {
	r := Recording{State: state(t), Mine: true}
	var got []string
	tell := func(e Event) { got = append(got, e.Text) }
	if err := r.Read(time.Time{}, tell); err != nil || got != nil {
		t.Fatalf("of nothing: %q, %v", got, err)
	}
	at := time.Now()
	add := func(text string, when time.Time) {
		t.Helper()
		if err := r.Add(Event{Time: when, Source: SourceCommand, Kind: KindNote, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	add("old", at.Add(-time.Hour))
	add("new", at)
	add("the token is SWMTKN-1-49nj1cmql0jkz5s954yi3oex3nedyz0fb0xx14ie39trti4wxv-8vxv8rssmk743ojnwacrr2e7c", at)
	f, err := os.OpenFile(r.State.Recording().Path(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("{\"time\":\ncut o"); err != nil { // and an event that is being written
		t.Fatal(err)
	}
	_ = f.Close()
	if err := r.Read(at, tell); err != nil || len(got) != 2 || got[0] != "new" || strings.Contains(got[1], "49nj1cmql") {
		t.Errorf("got %q, %v", got, err)
	}
	info, err := os.Stat(r.State.Recording().Path())
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read it: %v, %v", info, err)
	}
}

// TestFollowing: whoever follows misses nothing, while the recording becomes the old
// one again and again, and several processes write it.
func TestFollowing(t *testing.T) {
	s := state(t)
	mine, others := Recording{State: s, Mine: true}, Recording{State: s}
	seen := make(chan string)
	ended := make(chan error, 1)
	go func() {
		ended <- mine.Follow(t.Context(), time.Time{}, func(e Event) {
			select {
			case seen <- e.Text:
			case <-t.Context().Done():
			}
		})
	}()
	large := []byte(strings.Repeat(".", 6<<20) + "\n") // no event; three of them are a recording
	for i := range 12 {
		want := string(rune('a' + i))
		r := mine
		if i%2 == 1 {
			r = others
		}
		if err := errors.Join(s.Recording().Add(large, r.Mine), r.Add(Event{Source: SourceCommand, Kind: KindNote, Text: want})); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-seen:
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		case err := <-ended:
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(s.Dir(), "timeline*.jsonl"))
	if err != nil || len(names) != 2 {
		t.Errorf("left: %q, %v", names, err)
	}
}
